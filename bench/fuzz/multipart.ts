/** Multipart bodies, damaged and cut into chunks of any size, against a reader that has the whole body before it. */
import * as fc from 'fast-check';
import { passMultipart, readMultipart } from '../../src/dicom/multipart.ts';
import { damaged, damages, drawn } from './damage.ts';
import { fault, refusal, type Fuzzer, type Verdict } from './fuzzer.ts';

const boundary = 'edge-of-wetread';
const maxPartBytes = 20_000;

type Part = { readonly headers: readonly string[]; readonly body: string };

/** Bodies full of what delimiters are made of. */
const body = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        '\r',
        '\n',
        '\r\n',
        '--',
        '\r\n--',
        `\r\n--${boundary.slice(0, 7)}`,
        boundary,
        '\r\n\r\n',
        '\0',
        'DICM',
      ),
      fc.string({ maxLength: 12 }),
    ),
    { maxLength: 24 },
  )
  .map((pieces) => pieces.join(''))
  .filter((text) => !`\r\n${text}`.includes(`\r\n--${boundary}`));

const bodies = fc.array(fc.record({ body, length: fc.boolean(), extra: fc.boolean() }), { minLength: 1, maxLength: 5 });
const plan = fc.record({
  bodies,
  damages: fc.option(damages, { nil: [] }),
  preamble: fc.constantFrom('', 'for old readers\r\n'),
  epilogue: fc.constantFrom('', '\r\n', '\r\nthe end'),
  chunks: fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 30 }),
});

function written(seed: number) {
  const { bodies: parts, preamble, epilogue, ...rest } = drawn(plan, seed);
  const texts = parts.map(({ body: text, length, extra }) => {
    const headers = ['Content-Type: application/dicom'];
    if (length) headers.push(`Content-Length: ${Buffer.byteLength(text, 'latin1')}`);
    if (extra) headers.push('MIME-Version: 1.0');
    return `--${boundary}\r\n${headers.join('\r\n')}\r\n\r\n${text}\r\n`;
  });
  const whole = new Uint8Array(Buffer.from(`${preamble}${texts.join('')}--${boundary}--${epilogue}`, 'latin1'));
  return { ...rest, whole, bytes: damaged(whole, rest.damages) };
}

async function* inChunks(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] as number;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

/** RFC 2046 with the whole body in one string. Undefined when the body is not a whole one. */
function independently(bytes: Uint8Array): Part[] | undefined {
  const text = `\r\n${Buffer.from(bytes).toString('latin1')}`;
  const delimiter = `\r\n--${boundary}`;
  const [, ...sections] = text.split(delimiter);
  const parts: Part[] = [];
  for (const section of sections) {
    if (section.startsWith('--')) return parts;
    const opened = /^[ \t]*\r\n/.exec(section)?.[0];
    if (opened === undefined) return undefined;
    const content = section.slice(opened.length);
    // The blank line may be missing when no body follows it.
    const end = content.startsWith('\r\n') ? 0 : content.indexOf('\r\n\r\n');
    const bodiless = content === '' || (end < 0 && content.endsWith('\r\n'));
    if (end < 0 && !bodiless) return undefined;
    const headers = (bodiless ? content : content.slice(0, end)).split('\r\n').filter(Boolean);
    if (headers.some((line) => !/^[ \t]|^[^:]+:/.test(line))) return undefined;
    parts.push({ headers, body: bodiless ? '' : content.slice(end === 0 ? 2 : end + 4) });
  }
  return undefined;
}

const same = (found: readonly string[], parts: readonly Part[]): boolean =>
  found.length === parts.length && parts.every(({ body: text }, index) => found[index] === text);

async function attempt(seed: number): Promise<Verdict> {
  const { whole, bytes, chunks } = written(seed);
  const expected = independently(bytes);
  const held: string[] = [];
  let outcome: Verdict | undefined;
  try {
    for await (const part of readMultipart(inChunks(bytes, chunks), { boundary, maxPartBytes }))
      held.push(Buffer.from(part.body).toString('latin1'));
  } catch (thrown) {
    outcome = refusal(thrown, ['archive.', 'dicom.too-large', 'request.']);
    if (outcome.kind === 'fault') return outcome;
  }
  const passed = await passing(bytes, chunks);
  if (outcome !== undefined) {
    // What the first reader refuses for a wrong Content-Length only, the passing one gives whole; no more than that.
    if (passed !== undefined && (expected === undefined || !same(passed, expected)))
      return fault('passed on what cannot be read');
    return bytes.every((byte, at) => byte === whole[at]) && bytes.length === whole.length
      ? fault('a sound body was refused')
      : outcome;
  }
  if (expected === undefined) return fault(`${held.length} parts of a body that is not whole`);
  if (!same(held, expected)) return fault(`other parts than there are: ${held.length} for ${expected.length}`);
  if (passed === undefined || !same(passed, expected)) return fault('passed on other parts than were read');
  return Buffer.compare(bytes, whole) === 0 ? { kind: 'same' } : { kind: 'other' };
}

async function passing(bytes: Uint8Array, chunks: readonly number[]): Promise<string[] | undefined> {
  const passed: string[] = [];
  try {
    await passMultipart(inChunks(bytes, chunks), boundary, async () => {
      let text = '';
      return {
        write: async (piece) => void (text += Buffer.from(piece).toString('latin1')),
        end: async () => void passed.push(text),
      };
    });
    return passed;
  } catch {
    return undefined;
  }
}

const fuzzer: Fuzzer = {
  name: 'multipart',
  inputs: 30_000,
  attempt,
  input(seed) {
    const { bytes, damages: done } = written(seed);
    return { about: JSON.stringify(done), bytes };
  },
};
export default fuzzer;
