/** HL7 v2 over MLLP, damaged and cut into pieces of any size: every whole frame has one answer, and nothing is heard that is not in it. */
import { connect } from 'node:net';
import * as fc from 'fast-check';
import type { HeardExam } from '../../src/domain/expected-exam.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { hl7Answers } from '../../src/events/hl7-mllp.ts';
import { mllpFrame, mllpFramer } from '../../src/hl7/mllp.ts';
import { mllpServer, type WholeFrame } from '../../src/hl7/mllp-server.ts';
import { damaged, damages, drawn } from './damage.ts';
import { fault, type Fuzzer, type Verdict } from './fuzzer.ts';

const maxBytes = 3000;
/** One in so many runs over a real connection as well. */
const overNetwork = 40;

const word = fc.string({ unit: fc.constantFrom(...'ABCXYZ0123456789-. äé'), minLength: 1, maxLength: 14 });
const dirty = fc.oneof(
  word,
  fc.constantFrom('\\F\\', '\\E\\', 'a\\b', '\\X0D\\', '&', '', '""', '~', '^^', '\\.br\\', '\u0001'),
);
const uid = fc.array(fc.nat(9999), { minLength: 2, maxLength: 5 }).map((parts) => `1.2.${parts.join('.')}`);
const modes = fc.constantFrom('', '', '', 'AL|NE', 'NE|AL', 'ER|AL');
const order = fc
  .record({
    control: fc.constantFrom('NW', 'CA', 'XO', 'SC', 'ZZ'),
    status: fc.constantFrom('', 'CM', 'IP', 'HD'),
    placer: word,
    accession: word,
    uid,
    what: dirty,
    modes,
  })
  .map(({ control, status, placer, accession, uid: study, what, modes: asked }) => [
    `MSH|^~\\&|RIS|MAIN|WETREAD|AI|20260301||ORM^O01|%|P|2.5|||${asked}`,
    `PID|1||100^^^H^MR||${what}`,
    `ORC|${control}|${placer}^HIS|||${status}`,
    `OBR|1|${placer}^HIS||LS^${what}||||||||||||||${accession}`,
    `ZDS|${study}^RIS^Application^DICOM`,
  ]);
const result = fc
  .record({ accession: word, uid, text: fc.array(dirty, { maxLength: 6 }), modes })
  .map(({ accession, uid: study, text, modes: asked }) => [
    `MSH|^~\\&|PACS|MAIN|WETREAD|AI|20260301||ORU^R01|%|P|2.3.1|||${asked}`,
    'PID|1||100^^^H^MR',
    `OBR|1||F1|LS^${text.join('')}||||||||||||||${accession}|||||||F`,
    ...text.map((line, index) => `OBX|${index}|TX|R^Report||${line}`),
    `OBX|9|ST|113014^DICOM Study^DCM||${study}`,
  ]);
const other = fc.constantFrom(
  ['MSH|^~\\&|ADT|MAIN|||20260301||ADT^A01|%|P|2.5', 'PID|1||7'],
  ['MSH#:*!%#A#B####X##ORM:O01#%#P#2.4', 'ORC#NW#7', 'OBR#1#7##X'],
  ['hello'],
  [`MSH|^~\\&|RIS|||||||ORM^O01|%|P|2.5`, `NTE|${'x'.repeat(maxBytes)}`],
);
const plan = fc.record({
  messages: fc.array(
    fc.oneof({ weight: 4, arbitrary: order }, { weight: 4, arbitrary: result }, { weight: 1, arbitrary: other }),
    { minLength: 1, maxLength: 4 },
  ),
  end: fc.constantFrom('\r', '\r', '\r', '\n', '\r\n'),
  between: fc.constantFrom('', '', '\r\n', 'GET / HTTP/1.0\r\n\r\n', '\0\0', '\x1c\r'),
  /** Messages in frames of their own, or in one frame as a batch, with headers or without. */
  together: fc.constantFrom('no', 'no', 'no', 'plain', 'batch', 'file'),
  damages: fc.option(damages, { nil: [] }),
  chunks: fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 30 }),
});

function written(seed: number) {
  const { messages, end, between, together, ...rest } = drawn(plan, seed);
  const texts = messages.map((segments, at) =>
    segments.map((segment) => `${segment.replace('%', `M${seed}-${at}`)}${end}`).join(''),
  );
  const frames = together === 'no' ? texts : [batchOf(texts, together, end)];
  const whole = new Uint8Array(
    Buffer.concat(frames.flatMap((text) => [Buffer.from(between, 'latin1'), mllpFrame(text)])),
  );
  return { ...rest, whole, bytes: damaged(whole, rest.damages) };
}

function batchOf(texts: readonly string[], kind: 'plain' | 'batch' | 'file', end: string): string {
  if (kind === 'plain') return texts.join('');
  const batch = [`BHS|^~\\&|RIS|MAIN|WETREAD|AI|20260301||||B1${end}`, ...texts, `BTS|${texts.length}${end}`].join('');
  return kind === 'batch' ? batch : `FHS|^~\\&|RIS|MAIN|WETREAD|AI|20260301||||F1${end}${batch}FTS|1${end}`;
}

/** The whole frames: what lies between an end and the last start before it, with the whole stream at hand. */
const framesIn = (bytes: Uint8Array): string[] =>
  Buffer.from(bytes)
    .toString('latin1')
    .split('\x1c')
    .slice(0, -1)
    .flatMap((before) => (before.includes('\x0b') ? [before.slice(before.lastIndexOf('\x0b') + 1)] : []));

/** What stands in a message, without knowing what it means: every text between any two separators. Undefined for messages with separators of their own. */
function piecesOf(content: string): Set<string> | undefined {
  if (!/^(?:\xef\xbb\xbf)?\s*(MSH|BHS|FHS)\|\^~\\&\|/.test(content)) return undefined;
  if (/[\r\n]MSH(?!\|\^~\\&\|)/.test(content)) return undefined;
  // Each message of a batch has a character set of its own.
  const texts = [content, ...content.split(/(?<=[\r\n])(?=(?:MSH|BTS|FTS)\|)/)].map(utf8);
  const unescaped = (piece: string) =>
    piece.replaceAll(/\\([FSTRE]|X(?:[0-9A-Fa-f]{2})+|H|N|\.br|\.sp)\\/g, (_whole, code: string) => {
      if (code.startsWith('X')) return Buffer.from(code.slice(1), 'hex').toString('latin1');
      return { F: '|', S: '^', T: '&', R: '~', E: '\\', H: '', N: '' }[code] ?? '\n';
    });
  return new Set(
    texts.flatMap((text) => text.split(/[|^~&\r\n]/).flatMap((piece) => [unescaped(piece).trim(), piece.trim()])),
  );
}

function utf8(latin1: string): string {
  const bytes = Buffer.from(latin1, 'latin1');
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return new TextDecoder('windows-1252').decode(bytes);
  }
}

type Heard = { readonly exams: readonly HeardExam[]; readonly id: string };

function listening() {
  const heard: Heard[] = [];
  const answer = hl7Answers({
    exams: {
      async hear(exams, message) {
        heard.push({ exams, id: message?.id ?? '' });
        return 'new';
      },
    },
    logger: silentLogger,
  });
  return { heard, answer };
}

async function attempt(seed: number): Promise<Verdict> {
  const { whole, bytes, chunks } = written(seed);
  const expected = framesIn(bytes);
  const sound = new Set(framesIn(whole));
  const framer = mllpFramer({ maxBytes });
  const { heard, answer } = listening();
  const answers: string[] = [];
  let at = 0;
  const verdicts: Verdict[] = [];
  for (const piece of cut(bytes, chunks)) {
    for (const frame of framer.push(piece)) {
      if (frame.kind === 'unfinished') continue;
      const content = expected[at];
      at += 1;
      if (content === undefined) return fault('a frame that is not there');
      const before = heard.length;
      const answered = await answer(frame);
      answers.push(Buffer.isBuffer(answered) ? answered.toString('latin1') : String(answered));
      verdicts.push(judged(frame, content, answers.at(-1)!, heard.slice(before), sound.has(content)));
    }
    if (framer.held > maxBytes) return fault(`${framer.held} bytes held`);
  }
  if (at !== expected.length) return fault(`${at} answers to ${expected.length} frames`);
  if (seed % overNetwork === 0) {
    const different = await overSocket(bytes, chunks, answers);
    if (different !== undefined) return fault(different);
  }
  const kinds = ['fault', 'unproven', 'refused', 'other'] as const;
  for (const kind of kinds) {
    const found = verdicts.find((verdict) => verdict.kind === kind);
    if (found !== undefined) return found;
  }
  return { kind: 'same' };
}

function judged(
  frame: WholeFrame,
  content: string,
  answer: string,
  heard: readonly Heard[],
  isSound: boolean,
): Verdict {
  if (answer === 'hang-up') return fault('hung up');
  if (answer === 'nothing') return heard.length > 0 ? { kind: 'other' } : { kind: 'refused', code: 'unanswered' };
  if (/^(BHS|FHS)/.test(answer)) return judgedBatch(frame, content, answer, heard, isSound);
  const code = /\rMSA.([AC][AER])/.exec(answer)?.[1];
  if (code === undefined) return fault(`an answer without MSA: ${answer.slice(0, 100)}`);
  if (!/^MSH[^\r]*\rMSA[^\r]*\r(ERR[^\r]*\r)?$/.test(answer))
    return fault(`an answer of another form: ${JSON.stringify(answer)}`);
  if (code.endsWith('E')) return fault(`${code}: ${/ERR[^\r]*/.exec(answer)?.[0]}`);
  if (code.endsWith('R')) {
    if (heard.length > 0) return fault('heard what it refused');
    return { kind: 'refused', code: /hl7\.[a-z-]+|request\.[a-z-]+/.exec(answer)?.[0] ?? 'no.code' };
  }
  if (heard.length !== 1) return fault(`accepted and heard ${heard.length} times`);
  return claimed(frame, content, heard, isSound);
}

/** A batch of acknowledgements: nothing is accepted that was not heard, and nothing heard that was refused. */
function judgedBatch(
  frame: WholeFrame,
  content: string,
  answer: string,
  heard: readonly Heard[],
  isSound: boolean,
): Verdict {
  const line = '[^\\r]*\\r';
  const batch = `BHS${line}(MSH${line}MSA${line}(ERR${line})?)*BTS${line}`;
  if (!new RegExp(`^((${batch})+|FHS${line}(${batch})*FTS${line})$`).test(answer))
    return fault(`a batch of another form: ${JSON.stringify(answer)}`);
  const codes = [...answer.matchAll(/\rMSA.([AC][AER])/g)].map(([, code]) => code!);
  if (codes.some((code) => code.endsWith('E'))) return fault(`${codes}: ${/ERR[^\r]*/.exec(answer)?.[0]}`);
  const accepted = codes.filter((code) => code.endsWith('A')).length;
  // Those that want no answer are heard and not told.
  if (heard.length < accepted) return fault(`${accepted} accepted and ${heard.length} heard`);
  if (accepted === codes.length && heard.length > 0) return claimed(frame, content, heard, isSound);
  const verdict = claimed(frame, content, heard, false);
  if (verdict.kind === 'fault' || codes.length === 0) return verdict;
  return { kind: 'refused', code: /hl7\.[a-z-]+|request\.[a-z-]+/.exec(answer)?.[0] ?? 'no.code' };
}

/** Whether all that was heard stands in the frame. */
function claimed(frame: WholeFrame, content: string, heard: readonly Heard[], isSound: boolean): Verdict {
  const pieces = piecesOf(content);
  if (pieces === undefined || frame.kind === 'too-large') return { kind: 'unproven' };
  for (const { accession, numbers, studyUids, recordNumber } of heard.flatMap(({ exams }) => exams)) {
    const claims = [
      accession,
      recordNumber,
      ...studyUids,
      ...numbers.map((number) => /^\w+:(.*)\^[^^]*$/s.exec(number)?.[1]),
    ];
    for (const claim of claims)
      if (claim !== undefined && !pieces.has(claim)) return fault(`heard ${JSON.stringify(claim)}, which is not there`);
  }
  return { kind: isSound ? 'same' : 'other' };
}

function* cut(bytes: Uint8Array, sizes: readonly number[]): Generator<Uint8Array> {
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] as number;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

/** The same over a connection: the answers must be the same, whatever the network made of the pieces. Undefined when they are. */
async function overSocket(
  bytes: Uint8Array,
  chunks: readonly number[],
  expected: readonly string[],
): Promise<string | undefined> {
  const server = await mllpServer({
    host: '127.0.0.1',
    port: 0,
    answer: listening().answer,
    maxBytes,
    logger: silentLogger,
  });
  try {
    const socket = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    const ended = Promise.withResolvers<void>();
    let received = '';
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => void (received += text));
    socket.on('end', ended.resolve).on('error', ended.reject);
    for (const piece of cut(bytes, chunks)) socket.write(piece);
    socket.end();
    await ended.promise;
    socket.destroy();
    const anonymous = (text: string) => text.replaceAll(/\d{14}[+-]\d{4}|(?<=.)[0-9a-f]{20}(?=.|\r)/g, '');
    const given = expected.filter((text) => text !== 'nothing');
    const got = framesIn(Buffer.from(received, 'latin1'));
    const same =
      got.length === given.length && got.every((text, index) => anonymous(text) === anonymous(given[index]!));
    return same ? undefined : `${got.length} other answers over the network than ${given.length}`;
  } finally {
    await server.close();
  }
}

const fuzzer: Fuzzer = {
  name: 'MLLP',
  inputs: 40_000,
  attempt,
  input(seed) {
    const { bytes, damages: done } = written(seed);
    return { about: JSON.stringify(done), bytes };
  },
};
export default fuzzer;
