/** HL7 v2 batches (chapter 2, 2.10.3): the messages between FHS, BHS, BTS and FTS, and the batch of acknowledgements that answers them. */
import { randomUUID } from 'node:crypto';
import { WetreadError } from '../domain/errors.ts';
import { timestamp } from './acknowledgement.ts';
import {
  parseMessage,
  standardDelimiters,
  writeMessage,
  type Hl7Message,
  type Segment,
  type WrittenSegment,
} from './message.ts';

/** BHS or FHS, read; in `segments` stands nothing else. */
type BatchHeader = Hl7Message;

export type Batch = {
  /** Some senders leave it out: one MSH follows the other. */
  readonly header?: BatchHeader;
  readonly messages: readonly Buffer[];
  /** BTS-1: how many messages the sender says there are. Not every sender says it. */
  readonly said?: number;
};

export type BatchFile = {
  readonly header?: BatchHeader;
  readonly batches: readonly Batch[];
  /** FTS-1. */
  readonly said?: number;
};

/** Each is one more round to the database and one more acknowledgement, while the sender waits for all of them. */
const mostMessages = 1_000;

const separator = '[!-/:-@\\[-`{-~]';

/** Undefined for a frame that is one message, or nothing of HL7. Throws `request.too-large` for too many messages. */
export function batchFile(bytes: Uint8Array): BatchFile | undefined {
  const frame = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const first = beginsWith(frame);
  if (first === undefined || (first.name === 'MSH' && !frame.includes('MSH', first.at + 3))) return undefined;
  const pieces = piecesOf(frame, first.at, first.field);
  if (first.name === 'MSH' && pieces.length === 1) return undefined;
  if (pieces.filter(({ name }) => name === 'MSH').length > mostMessages) throw tooMany();

  let header: BatchHeader | undefined;
  let saidBatches: number | undefined;
  const batches: { header?: BatchHeader; messages: Buffer[]; said?: number; ended?: true }[] = [];
  const open = () => {
    const last = batches.at(-1);
    if (last !== undefined && last.ended !== true) return last;
    const next: (typeof batches)[number] = { messages: [] };
    batches.push(next);
    return next;
  };
  for (const { name, bytes: piece } of pieces) {
    if (name === 'MSH') {
      open().messages.push(piece);
      continue;
    }
    if (name === 'FHS') header ??= headerOf(piece, name);
    if (name === 'BHS') {
      const read = headerOf(piece, name);
      batches.push({ messages: [], ...(read === undefined ? {} : { header: read }) });
    }
    // Segments that stand outside every message are refused as one that has no header, not passed over.
    const stray = behindFirstLine(piece);
    if (stray !== undefined) open().messages.push(stray);
    const said = countIn(piece, first.field);
    if (name === 'BTS') Object.assign(open(), { ended: true }, said === undefined ? {} : { said });
    if (name === 'FTS') saidBatches = said;
  }
  return {
    ...(header === undefined ? {} : { header }),
    ...(saidBatches === undefined ? {} : { said: saidBatches }),
    batches,
  };
}

/** The header by which a batch can be named that is not read as a whole; undefined when the bytes begin with none. */
export function batchBeginning(bytes: Uint8Array): BatchHeader | undefined {
  const first = beginsWith(bytes);
  return first === undefined || first.name === 'MSH' ? undefined : headerOf(bytes.subarray(first.at), first.name);
}

function beginsWith(
  bytes: Uint8Array,
): { readonly name: string; readonly at: number; readonly field: string } | undefined {
  const text = Buffer.from(bytes.subarray(0, 4096)).toString('latin1');
  const match = new RegExp(`^(?:\\xef\\xbb\\xbf)?\\s*(?=(MSH|BHS|FHS)(${separator}))`).exec(text);
  return match === null ? undefined : { name: match[1]!, at: match[0].length, field: match[2]! };
}

/**
 * From one header or trailer to the next. A line of somebody's text may begin with the same letters: only the file's own
 * field separator makes it a segment, or a header that names separators of its own, for the messages of a batch may come
 * from several systems. Line ends and these letters are single bytes in every character set that MLLP can carry.
 */
function piecesOf(frame: Buffer, from: number, field: string): { readonly name: string; readonly bytes: Buffer }[] {
  const text = frame.toString('latin1', from);
  const end = '[\\r\\n]|$';
  const starts = new RegExp(
    `(?:^|[\\r\\n])(?=(?:MSH|BHS|FHS|BTS|FTS)(?:\\${field}|${end})|(?:MSH|BHS|FHS)(${separator})${separator}{1,6}(?:\\1|${end}))`,
    'g',
  );
  const at: number[] = [];
  for (const { index, 0: lineEnd } of text.matchAll(starts)) {
    at.push(index + lineEnd.length);
    // Headers and trailers around every single message, and around the file: eight megabytes of them would be millions.
    if (at.length > 3 * mostMessages + 2) throw tooMany();
  }
  return at.map((start, number) => ({
    name: text.slice(start, start + 3),
    bytes: frame.subarray(from + start, from + (at[number + 1] ?? text.length)),
  }));
}

/** Undefined when it cannot be read: the messages behind it can all the same. */
function headerOf(piece: Uint8Array, name: string): BatchHeader | undefined {
  try {
    const { delimiters, header } = parseMessage(piece.subarray(0, 4096), name);
    return { delimiters, header, segments: [header] };
  } catch {
    return undefined;
  }
}

const tooMany = () => new WetreadError('request.too-large', `more than ${mostMessages} messages in a batch`);

function behindFirstLine(piece: Buffer): Buffer | undefined {
  const end = piece.findIndex((byte) => byte === 0x0d || byte === 0x0a);
  const rest = end === -1 ? undefined : piece.subarray(end);
  return rest?.some((byte) => byte > 0x20) ? rest : undefined;
}

function countIn(trailer: Uint8Array, field: string): number | undefined {
  const said =
    Buffer.from(trailer)
      .toString('latin1')
      .split(/[\r\n]/, 1)[0]!
      .split(field)[1]
      ?.trim() ?? '';
  return /^\d{1,9}$/.test(said) ? Number(said) : undefined;
}

/** A batch header read as the message header that a refusal of the whole batch answers: MSA-2 is then BHS-11 or FHS-11. */
export function asMessage({ delimiters, header }: BatchHeader): Hl7Message {
  const raw = (field: number) => (field >= 3 && field <= 6 ? header.raw(field) : field === 10 ? header.raw(11) : '');
  const stand: Segment = { name: header.name, raw, text: () => '', repetitions: () => [] };
  return { delimiters, header: stand, segments: [stand] };
}

/** The acknowledgements of each batch in the order of the messages; whoever asked for none has none. */
export type AnsweredBatch = { readonly header?: BatchHeader; readonly acknowledgements: readonly Uint8Array[] };

export function batchOfAcknowledgements(
  file: { readonly header?: BatchHeader; readonly batches: readonly AnsweredBatch[] },
  now = new Date(),
): Uint8Array {
  const parts: Uint8Array[] = [];
  const write = (segment: WrittenSegment, header: BatchHeader | undefined) =>
    parts.push(Buffer.from(writeMessage([segment], header?.delimiters ?? standardDelimiters), 'utf8'));
  if (file.header !== undefined) write(answeringHeader('FHS', file.header, now), file.header);
  for (const { header, acknowledgements } of file.batches) {
    write(answeringHeader('BHS', header, now), header);
    parts.push(...acknowledgements);
    write(['BTS', { 1: String(acknowledgements.length) }], header);
  }
  if (file.header !== undefined) write(['FTS', { 1: String(file.batches.length) }], file.header);
  return Buffer.concat(parts);
}

/** Fields are echoed as they stood; field 12 names the batch that is answered. */
function answeringHeader(name: 'FHS' | 'BHS', asked: BatchHeader | undefined, now: Date): WrittenSegment {
  const raw = (field: number) => ({ raw: asked?.header.raw(field) ?? '' });
  return [
    name,
    {
      3: raw(5),
      4: raw(6),
      5: raw(3),
      6: raw(4),
      7: timestamp(now),
      11: randomUUID().replaceAll('-', '').slice(0, 20),
      12: raw(11),
    },
  ];
}
