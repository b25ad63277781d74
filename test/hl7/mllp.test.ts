/** Frames out of any pieces: whole ones once each, broken ones never, and never more memory than agreed. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mllpFrame, mllpFramer, type Frame } from '../../src/hl7/mllp.ts';

const read = (framer: ReturnType<typeof mllpFramer>, ...pieces: (string | Uint8Array)[]): [string, string][] =>
  pieces
    .flatMap((piece): Frame[] => framer.push(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece))
    .map(({ kind, bytes }) => [kind, bytes.toString('latin1')]);
const framer = (maxBytes = 1000) => mllpFramer({ maxBytes });

describe('framing', () => {
  it('finds a message in one piece, and two in one piece', () => {
    expect(read(framer(), '\x0bA\x1c\r')).toEqual([['message', 'A']]);
    expect(read(framer(), '\x0bA\x1c\r\x0bB\x1c\r')).toEqual([
      ['message', 'A'],
      ['message', 'B'],
    ]);
  });

  it('leaves out garbage between frames and counts it', () => {
    const one = framer();
    expect(read(one, 'GET / HTTP/1.1\r\n\x0bA\x1c\r\n\n junk \x0bB\x1c\r')).toEqual([
      ['message', 'A'],
      ['message', 'B'],
    ]);
    expect(one.garbage).toBe('GET / HTTP/1.1\r\n'.length + '\n\n junk '.length);
  });

  it('takes an end block without its carriage return', () => {
    expect(read(framer(), '\x0bA\x1c\x0bB\x1c\r')).toEqual([
      ['message', 'A'],
      ['message', 'B'],
    ]);
  });

  it('gives up a message whose end was lost when the next begins', () => {
    expect(read(framer(), '\x0bLOST\x0bA\x1c\r')).toEqual([
      ['unfinished', 'LOST'],
      ['message', 'A'],
    ]);
    expect(read(framer(), '\x0bLO', 'ST', '\x0b', 'A\x1c\r')).toEqual([
      ['unfinished', 'LOST'],
      ['message', 'A'],
    ]);
  });

  it('keeps only the beginning of what is too large, and goes on with the next', () => {
    const one = framer(10_000);
    const found = read(one, `\x0bMSH|${'x'.repeat(9_000)}`, 'x'.repeat(60_000), 'x'.repeat(60_000));
    expect(found).toEqual([]);
    expect(one.held).toBeLessThanOrEqual(10_000);
    const [tooLarge, next] = read(one, '\x1c\r\x0bB\x1c\r');
    expect(tooLarge![0]).toBe('too-large');
    expect(tooLarge![1]).toBe(`MSH|${'x'.repeat(4092)}`);
    expect(next).toEqual(['message', 'B']);
  });

  it('a message that comes byte by byte costs what it weighs', () => {
    const one = framer(1_000_000);
    const message = Buffer.alloc(200_000, 'y');
    one.push(Buffer.of(0x0b));
    for (const byte of message) one.push(Buffer.of(byte));
    expect(one.held).toBe(200_000);
    expect(read(one, '\x1c\r')).toEqual([['message', message.toString('latin1')]]);
    expect(one.held).toBe(0);
  });
});

/** Message bytes: anything but the two that frame. */
const content = fc
  .uint8Array({ maxLength: 40 })
  .map((bytes) => Buffer.from(bytes.filter((byte) => byte !== 0x0b && byte !== 0x1c)));
const noise = fc.uint8Array({ maxLength: 10 }).map((bytes) => Buffer.from(bytes.filter((byte) => byte !== 0x0b)));

describe('whatever the network does', () => {
  it('every whole frame comes out exactly once and in order, wherever the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(noise, content), { maxLength: 8 }),
        fc.array(fc.nat(60), { maxLength: 30 }),
        (frames, cuts) => {
          const stream = Buffer.concat(frames.flatMap(([before, message]) => [before, mllpFrame(message)]));
          const one = framer();
          const found: Frame[] = [];
          let at = 0;
          for (const cut of cuts) {
            found.push(...one.push(stream.subarray(at, at + cut)));
            at += cut;
          }
          found.push(...one.push(stream.subarray(at)));
          expect(found.map(({ kind, bytes }) => [kind, bytes.toString('hex')])).toEqual(
            frames.map(([, message]) => ['message', message.toString('hex')]),
          );
          expect(one.inside).toBe(false);
          expect(one.held).toBe(0);
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('never holds more than the limit, whatever comes', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 20 }),
        fc.integer({ min: 1, max: 300 }),
        (pieces, maxBytes) => {
          const one = framer(maxBytes);
          one.push(Buffer.of(0x0b));
          for (const piece of pieces) {
            for (const { bytes } of one.push(piece)) expect(bytes.length).toBeLessThanOrEqual(maxBytes);
            expect(one.held).toBeLessThanOrEqual(maxBytes);
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
});
