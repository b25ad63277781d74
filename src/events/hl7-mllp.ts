/** Hears of exams by HL7 v2 over MLLP: orders, their states and results. Acknowledged when it is in the database, not before. */
import { BlockList, isIP } from 'node:net';
import { asWetreadError, WetreadError, type ErrorCode } from '../domain/errors.ts';
import type { ExpectedExams } from '../domain/expected-exam.ts';
import type { Logger } from '../domain/log.ts';
import { acknowledgement, type Refusal, type Verdict } from '../hl7/acknowledgement.ts';
import { asMessage, batchBeginning, batchFile, batchOfAcknowledgements, type BatchFile } from '../hl7/batch.ts';
import { parseMessage, type Hl7Message } from '../hl7/message.ts';
import { mllpServer, type MllpAnswer, type MllpServer, type MllpTls, type WholeFrame } from '../hl7/mllp-server.ts';
import { heardExams, kindOf, usualReading, type ExamReading } from './hl7-exams.ts';

export type Hl7SourceOptions = {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly tls?: MllpTls;
  /** `APPLICATION` or `APPLICATION@FACILITY` as in MSH-3 and MSH-4. Empty: any. */
  readonly senders?: readonly string[];
  /** Addresses and networks (`10.1.0.0/16`) that may connect. Empty: any. */
  readonly addresses?: readonly string[];
  readonly reading?: ExamReading;
  readonly exams: Pick<ExpectedExams, 'hear'>;
  /** Called when something was heard: whoever looks for studies need not wait for the next round. */
  readonly onHeard?: () => void;
  /** Counts what became of each message. */
  readonly onAnswered?: (outcome: 'ok' | ErrorCode) => void;
  readonly maxBytes?: number;
  readonly maxConnections?: number;
  readonly idleMs?: number;
  readonly logger: Logger;
};

export interface Hl7Source {
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Undefined until it listens. */
  readonly port: number | undefined;
}

/** What is answered to a frame. Never throws: whatever happens to one message, the sender is told and the connection goes on. */
export function hl7Answers(
  options: Pick<Hl7SourceOptions, 'senders' | 'reading' | 'exams' | 'onHeard' | 'onAnswered' | 'logger'>,
): (frame: WholeFrame) => Promise<MllpAnswer> {
  const { exams, logger, senders = [], reading = usualReading } = options;

  async function answer(frame: WholeFrame): Promise<MllpAnswer> {
    const beginning = batchBeginning(frame.bytes);
    if (frame.kind === 'too-large' && beginning !== undefined)
      return refusedBatch(beginning, new WetreadError('request.too-large'));
    let file: BatchFile | undefined;
    try {
      file = frame.kind === 'too-large' ? undefined : batchFile(frame.bytes);
    } catch (thrown) {
      return refusedBatch(beginning, asWetreadError(thrown));
    }
    return file === undefined ? answerMessage(frame) : answerBatch(file);
  }

  /** Each message as if it had come alone, one after the other: later ones may change what earlier ones ordered. */
  async function answerBatch({ header, batches, said }: BatchFile): Promise<MllpAnswer> {
    const answered: { header?: Hl7Message; acknowledgements: Uint8Array[] }[] = [];
    let quiet = 0;
    let lost = false;
    for (const batch of batches) {
      const acknowledgements: Uint8Array[] = [];
      for (const bytes of batch.messages) {
        const one = await answerMessage({ kind: 'message', bytes });
        if (one === 'hang-up') lost = true;
        else if (one === 'nothing') quiet += 1;
        else acknowledgements.push(one);
      }
      // What is there was heard; that something is missing is said besides, or the sender would take it for delivered.
      if (batch.said !== undefined && batch.said !== batch.messages.length)
        acknowledgements.push(
          refusalOfBatch(batch.header, `BTS-1 says ${batch.said} messages, ${batch.messages.length} are there`),
        );
      answered.push({ ...(batch.header && { header: batch.header }), acknowledgements });
    }
    if (said !== undefined && said !== batches.length)
      answered.push({
        acknowledgements: [refusalOfBatch(header, `FTS-1 says ${said} batches, ${batches.length} are there`)],
      });
    // One message could not be kept and its sender wants no answers: only the whole batch can come again.
    if (lost) return 'hang-up';
    if (quiet > 0 && answered.every(({ acknowledgements }) => acknowledgements.length === 0)) return 'nothing';
    return batchOfAcknowledgements({ ...(header && { header }), batches: answered });
  }

  function refusalOfBatch(header: Hl7Message | undefined, problem: string | WetreadError): Uint8Array {
    const error = typeof problem === 'string' ? new WetreadError('hl7.malformed', problem) : problem;
    logger.warn('an HL7 batch was refused', { code: error.code, detail: error.detail });
    options.onAnswered?.(error.code);
    const written = acknowledgement(header && asMessage(header), 'refused', { error, condition: 'segmentSequence' });
    return Buffer.from(written ?? '', 'utf8');
  }

  function refusedBatch(header: Hl7Message | undefined, error: WetreadError): Uint8Array {
    const batch = {
      ...(header?.header.name === 'BHS' && { header }),
      acknowledgements: [refusalOfBatch(header, error)],
    };
    return batchOfAcknowledgements({ ...(header?.header.name === 'FHS' && { header }), batches: [batch] });
  }

  async function answerMessage(frame: WholeFrame): Promise<MllpAnswer> {
    let message: Hl7Message | undefined;
    let verdict: Verdict = 'accepted';
    let refusal: Refusal | undefined;
    try {
      message = parseMessage(frame.bytes);
      if (frame.kind === 'too-large') throw new Refused('segmentSequence', new WetreadError('request.too-large'));
      await hear(message, frame.bytes);
    } catch (thrown) {
      refusal = thrown instanceof Refused ? thrown.refusal : refusalOf(asWetreadError(thrown));
      verdict = refusal.error.row.retry ? 'failed' : 'refused';
      const { code, detail } = refusal.error;
      if (verdict === 'failed') logger.error('an HL7 message could not be kept', { code, cause: refusal.error });
      else logger.warn('an HL7 message was refused', { code, detail, bytes: frame.bytes.length });
    }
    // What is not read as a whole still says in its header which message is refused.
    if (refusal?.error.code === 'request.too-large') message ??= beginningOf(frame.bytes);
    options.onAnswered?.(refusal?.error.code ?? 'ok');
    const written = acknowledgement(message, verdict, refusal);
    if (written !== undefined) return Buffer.from(written, 'utf8');
    // The sender asked for no answer; only the loss of the connection can make it repeat.
    return verdict === 'failed' ? 'hang-up' : 'nothing';
  }

  async function hear(message: Hl7Message, bytes: Uint8Array): Promise<void> {
    const { header } = message;
    if (!maySend(senders, header.text(3), header.text(4)))
      throw new Refused('internal', new WetreadError('hl7.sender-not-allowed'), 'MSH^1^3');
    const kind = kindOf(message);
    if (kind === 'unknown-type')
      throw new Refused('messageType', new WetreadError('hl7.unsupported', 'MSH-9.1'), 'MSH^1^9');
    if (kind === 'unknown-event')
      throw new Refused('eventCode', new WetreadError('hl7.unsupported', 'MSH-9.2'), 'MSH^1^9');
    if (header.raw(10) === '')
      throw new Refused('fieldMissing', new WetreadError('hl7.malformed', 'MSH-10 is empty'), 'MSH^1^10');

    const orders = message.segments.some(({ name }) => name === 'ORC' || name === 'OBR');
    if (!orders)
      throw new Refused('segmentSequence', new WetreadError('hl7.malformed', 'it holds neither ORC nor OBR'));
    const all = heardExams(message, reading);
    const known = all.filter(({ numbers, accession, studyUids }) => numbers.length + studyUids.length > 0 || accession);
    if (all.length > 0 && known.length === 0)
      throw new Refused(
        'fieldMissing',
        new WetreadError('hl7.malformed', 'no order, accession or study number'),
        'OBR^1^3',
      );

    const sender = `${header.raw(3)}|${header.raw(4)}`;
    const heard = await exams.hear(known, { sender, id: header.raw(10), content: bytes });
    logger.info('HL7 message heard', {
      type: `${header.text(9, 1)}^${header.text(9, 2)}`,
      exams: known.map(({ state, priority = 'unsaid' }) => `${state} ${priority}`),
      ...(heard === 'repeated' && { repeated: true }),
    });
    if (heard === 'new' && known.length > 0) options.onHeard?.();
  }

  return answer;
}

function beginningOf(bytes: Uint8Array): Hl7Message | undefined {
  try {
    return parseMessage(bytes.subarray(0, 4096));
  } catch {
    return undefined;
  }
}

export function hl7Source(options: Hl7SourceOptions): Hl7Source {
  const { logger, addresses = [] } = options;
  let server: MllpServer | undefined;

  return {
    async start() {
      server ??= await mllpServer({
        host: options.host,
        port: options.port,
        ...(options.tls && { tls: options.tls }),
        ...(addresses.length > 0 && { allowed: blockList(addresses) }),
        ...(options.maxBytes && { maxBytes: options.maxBytes }),
        ...(options.maxConnections && { maxConnections: options.maxConnections }),
        ...(options.idleMs && { idleMs: options.idleMs }),
        answer: hl7Answers(options),
        logger,
      });
      logger.info('HL7 messages are heard', { port: server.port, tls: options.tls !== undefined });
    },
    async stop() {
      await server?.close();
      server = undefined;
    },
    get port() {
      return server?.port;
    },
  };
}

class Refused extends Error {
  readonly refusal: Refusal;

  constructor(condition: Refusal['condition'], error: WetreadError, location?: string) {
    super(error.message);
    this.refusal = { condition, error, ...(location === undefined ? {} : { location }) };
  }
}

function refusalOf(error: WetreadError): Refusal {
  return { error, condition: error.code === 'hl7.malformed' ? 'segmentSequence' : 'internal' };
}

function maySend(senders: readonly string[], application: string, facility: string): boolean {
  if (senders.length === 0) return true;
  return senders.some((sender) => sender === application || sender === `${application}@${facility}`);
}

/** Throws `config.invalid` for what is neither an address nor a network. */
export function blockList(addresses: readonly string[]): BlockList {
  const list = new BlockList();
  for (const entry of addresses) {
    const [address = '', prefix] = entry.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    const bits = Number(prefix);
    const most = family === 'ipv6' ? 128 : 32;
    if (isIP(address) === 0 || (prefix !== undefined && !(Number.isInteger(bits) && bits >= 0 && bits <= most)))
      throw new WetreadError('config.invalid', `WETREAD_HL7_ADDRESSES: ${entry} is no address`);
    if (prefix === undefined) list.addAddress(address, family);
    else list.addSubnet(address, bits, family);
  }
  return list;
}
