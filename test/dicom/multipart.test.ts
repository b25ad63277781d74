/** The multipart stream, cut into chunks in every way and cut off anywhere. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { contentTypeParameter, mediaType, readMultipart } from '../../src/dicom/multipart.ts';
import { multipartOf } from '../support/dicomweb-server.ts';

const boundary = 'frontier-42';

/** The bytes in chunks of the given sizes; the rest in one. */
async function* inChunks(bytes: Uint8Array, sizes: readonly number[] = []): AsyncGenerator<Uint8Array> {
  let at = 0;
  for (const size of sizes) {
    if (at >= bytes.length) return;
    yield bytes.subarray(at, at + size);
    at += size;
  }
  if (at < bytes.length) yield bytes.subarray(at);
}

async function partsOf(source: AsyncIterable<Uint8Array>, maxPartBytes = 1_000_000) {
  const parts = [];
  for await (const part of readMultipart(source, { boundary, maxPartBytes })) parts.push(part);
  return parts;
}

const text = (body: Uint8Array) => Buffer.from(body).toString('latin1');

/** Bodies full of what delimiters are made of, so that false beginnings are common. */
const body = fc
  .array(
    fc.oneof(
      fc.constantFrom('\r', '\n', '\r\n', '--', '\r\n--', '\r\n--front', boundary, '\r\n\r\n', '\0'),
      fc.string({ maxLength: 8 }),
    ),
    { maxLength: 20 },
  )
  .map((pieces) => new Uint8Array(Buffer.from(pieces.join(''), 'latin1')))
  .filter((bytes) => !text(bytes).includes(`\r\n--${boundary}`) && !text(bytes).startsWith(`--${boundary}`));

describe('a multipart body', () => {
  test('gives the same parts however it is cut into chunks', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(body, { minLength: 1, maxLength: 4 }),
        fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 200 }),
        async (bodies, sizes) => {
          const parts = await partsOf(inChunks(multipartOf(bodies, boundary).body, sizes));
          expect(parts.map((part) => text(part.body))).toEqual(bodies.map(text));
          expect(parts.every(({ headers }) => headers.get('content-type') === 'application/dicom')).toBe(true);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('cut off anywhere before its end is incomplete, and never a shorter answer', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(body, { minLength: 1, maxLength: 3 }),
        fc.nat(),
        fc.array(fc.integer({ min: 1, max: 50 })),
        async (bodies, where, sizes) => {
          const whole = multipartOf(bodies, boundary).body;
          // The closing boundary is complete two bytes before the end: a line break follows it.
          const cut = whole.subarray(0, where % (whole.length - 2));
          await expect(partsOf(inChunks(cut, sizes))).rejects.toMatchObject({ code: 'archive.incomplete' });
        },
      ),
      { numRuns: 300 },
    );
  });

  test('may have a preamble, an epilogue, blanks behind its boundary and headers in any case', async () => {
    const bytes = Buffer.from(
      `This is not for you.\r\n--${boundary}  \r\nCONTENT-TYPE:application/dicom\r\ncontent-length :  3\r\n\r\nabc\r\n--${boundary}\t\r\n\r\ndef\r\n--${boundary}--\r\nnor is this\r\n--${boundary}\r\n`,
    );
    const parts = await partsOf(inChunks(bytes));
    expect(parts.map((part) => text(part.body))).toEqual(['abc', 'def']);
    expect([...(parts[0]?.headers ?? [])]).toEqual([
      ['content-type', 'application/dicom'],
      ['content-length', '3'],
    ]);
  });

  test('keeps a part without a body from swallowing the next, and takes no boundary for a header', async () => {
    const empty = Buffer.from(
      `--${boundary}\r\nContent-Type: application/dicom\r\n\r\n--${boundary}\r\n\r\nabc\r\n--${boundary}--`,
    );
    expect((await partsOf(inChunks(empty, [3, 1, 7]))).map((part) => text(part.body))).toEqual(['', 'abc']);
    const torn = Buffer.from(`--${boundary}\r\nContent-Type: a/b\r\n--${boundary}\r\n\r\nabc\r\n--${boundary}--`);
    await expect(partsOf(inChunks(torn))).rejects.toMatchObject({ code: 'archive.bad-answer' });
  });

  test('whose part is not as long as it announced is incomplete', async () => {
    const bytes = Buffer.from(`--${boundary}\r\nContent-Length: 4\r\n\r\nabc\r\n--${boundary}--`);
    await expect(partsOf(inChunks(bytes))).rejects.toMatchObject({ code: 'archive.incomplete' });
  });

  test('with a part larger than allowed is refused as soon as it is', async () => {
    let given = 0;
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield Buffer.from(`--${boundary}\r\n\r\n`);
      for (;;) {
        given += 1000;
        yield new Uint8Array(1000);
      }
    }
    await expect(partsOf(endless(), 10_000)).rejects.toMatchObject({ code: 'dicom.too-large' });
    expect(given).toBeLessThan(13_000);
  });

  test('that announces a part larger than allowed is refused before the part comes', async () => {
    const bytes = Buffer.from(`--${boundary}\r\nContent-Length: 99999999999\r\n\r\n`);
    await expect(partsOf(inChunks(bytes))).rejects.toMatchObject({ code: 'dicom.too-large' });
  });

  test('without its boundary, or with headers without end, is not an answer', async () => {
    await expect(partsOf(inChunks(Buffer.alloc(2_000_000, 'x')))).rejects.toMatchObject({ code: 'archive.bad-answer' });
    const headers = Buffer.concat([Buffer.from(`--${boundary}\r\n`), Buffer.alloc(50_000, 'x-header: 1\r\n')]);
    await expect(partsOf(inChunks(headers))).rejects.toMatchObject({ code: 'archive.bad-answer' });
  });

  test('gives parts whose memory is their own', async () => {
    const [part] = await partsOf(inChunks(multipartOf([new Uint8Array([1, 2, 3])], boundary).body));
    expect(part?.body.buffer.byteLength).toBe(3);
  });

  test('lets go of its source when its reader leaves', async () => {
    let left = false;
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        yield multipartOf([new Uint8Array(10), new Uint8Array(10)], boundary).body;
      } finally {
        left = true;
      }
    }
    for await (const part of readMultipart(source(), { boundary, maxPartBytes: 100 })) {
      expect(part.body).toHaveLength(10);
      break;
    }
    expect(left).toBe(true);
  });
});

describe('a content type', () => {
  test.each([
    ['multipart/related; type="application/dicom"; boundary=abc', 'abc'],
    ['multipart/related;boundary="a b;c";type=application/dicom', 'a b;c'],
    ['Multipart/Related; BOUNDARY="a\\"b"', 'a"b'],
    ["multipart/related; boundary=__DICOM'()+_,-./:=?", "__DICOM'()+_,-./:=?"],
    ['multipart/related; type="application/dicom; boundary=inner"; boundary = outer', 'outer'],
    ['multipart/related; type="application/dicom"', undefined],
  ])('%s has the boundary %s', (contentType, expected) => {
    expect(contentTypeParameter(contentType, 'boundary')).toBe(expected);
    expect(mediaType(contentType)).toBe('multipart/related');
  });
});
