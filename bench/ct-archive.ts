/** A DICOMweb archive in a process of its own: CT slices and one enhanced object made as they are sent, so that it holds hardly any of them. */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import charls from '@cornerstonejs/codec-charls';
import { axial, dicomFile, type Elements } from '../test/support/slices.ts';
import { ctSeries, ctStudy, type CtArchive } from './ct-series.ts';

const size = 512;
const pixelBytes = size * size * 2;

/** A body of soft tissue with noise in air, in stored values as scanners write them; sixteen, given again and again. */
const drawn = new Map<number, Uint16Array>();
function slicePixels(index: number): Uint16Array {
  const known = drawn.get(index % 16);
  if (known !== undefined) return known;
  drawn.set(index % 16, draw(index % 16));
  return slicePixels(index);
}

function draw(index: number): Uint16Array {
  let seed = index * 2654435761;
  return Uint16Array.from({ length: size * size }, (_, at) => {
    seed = (seed * 1664525 + 1013904223) >>> 0;
    const [x, y] = [(at % size) / size - 0.5, Math.floor(at / size) / size - 0.5];
    return (Math.hypot(x, y * 1.3) < 0.4 ? 1060 : 24) + (seed >>> 27);
  });
}

const common = (series: string): Elements => ({
  PatientName: 'Phantom^Bench',
  PatientID: 'BENCH-1',
  StudyInstanceUID: ctStudy,
  SeriesInstanceUID: series,
  Modality: 'CT',
  BodyPartExamined: 'CHEST',
  SamplesPerPixel: 1,
  PhotometricInterpretation: 'MONOCHROME2',
  Rows: size,
  Columns: size,
  BitsAllocated: 16,
  BitsStored: 12,
  HighBit: 11,
  PixelRepresentation: 0,
  RescaleIntercept: -1024,
  RescaleSlope: 1,
  WindowCenter: 40,
  WindowWidth: 400,
});

/** A file without pixels' worth of header, into which number and pixels are written: dcmjs takes 30 ms for each file. */
function template(): { head: Buffer; numberAt: number[] } {
  const mark = '10000000';
  const file = Buffer.from(
    dicomFile({
      SOPClassUID: '1.2.840.10008.5.1.4.1.1.2',
      SOPInstanceUID: `${ctSeries.plain}.${mark}`,
      ...common(ctSeries.plain),
      ImagePositionPatient: [-180, -180, 0],
      ImageOrientationPatient: axial,
      PixelSpacing: [0.7, 0.7],
      PixelData: new Uint16Array(size * size).buffer as ArrayBuffer,
    }),
  );
  const head = file.subarray(0, file.length - pixelBytes);
  const numberAt: number[] = [];
  for (let at = head.indexOf(mark); at >= 0; at = head.indexOf(mark, at + 1)) numberAt.push(at);
  return { head, numberAt };
}

type Files = { readonly count: number; file(index: number): Buffer; uid(index: number): string };

const sopOf = (series: string, index: number): string => `${series}.${10000001 + index}`;

function plainSlices(count: number): Files {
  const { head, numberAt } = template();
  return {
    count,
    uid: (index) => sopOf(ctSeries.plain, index),
    file(index) {
      const own = Buffer.from(head);
      for (const at of numberAt) own.write(String(10000001 + index), at, 'latin1');
      return Buffer.concat([own, Buffer.from(slicePixels(index).buffer)]);
    },
  };
}

/** One enhanced CT object; its pixels are sent frame by frame. */
function enhancedHead(frames: number): Buffer {
  const file = Buffer.from(
    dicomFile({
      SOPClassUID: '1.2.840.10008.5.1.4.1.1.2.1',
      SOPInstanceUID: sopOf(ctSeries.enhanced, 0),
      ...common(ctSeries.enhanced),
      NumberOfFrames: frames,
      SharedFunctionalGroupsSequence: {
        PlaneOrientationSequence: { ImageOrientationPatient: axial },
        PixelMeasuresSequence: { PixelSpacing: [0.7, 0.7] },
      },
      PerFrameFunctionalGroupsSequence: Array.from({ length: frames }, (_, index) => ({
        PlanePositionSequence: { ImagePositionPatient: [-180, -180, index] },
      })),
      PixelData: new ArrayBuffer(2),
    }),
  );
  // Pixel Data is last: OW, two reserved bytes, a length of four, and the two bytes above.
  const head = file.subarray(0, file.length - 2);
  head.writeUInt32LE(frames * pixelBytes, head.length - 4);
  return head;
}

/** JPEG-LS by CharLS' own encoder; ten different slices are enough for two thousand. */
async function compressedSlices(count: number): Promise<Files> {
  const module = await charls();
  const encoded = Array.from({ length: 10 }, (_, index) => {
    const encoder = new module.JpegLSEncoder();
    encoder
      .getDecodedBuffer({ width: size, height: size, bitsPerSample: 12, componentCount: 1 })
      .set(new Uint8Array(slicePixels(index).buffer));
    encoder.encode();
    const bytes = Buffer.from(encoder.getEncodedBuffer());
    encoder.delete();
    return bytes;
  });
  const { head, numberAt } = template();
  const syntax = head.indexOf('1.2.840.10008.1.2.1\0');
  // 19 characters and a NUL become 22: the meta group grows by two, its length element with it.
  const meta = Buffer.concat([
    head.subarray(0, syntax - 2),
    Buffer.from([22, 0]),
    Buffer.from('1.2.840.10008.1.2.4.80', 'latin1'),
  ]);
  meta.writeUInt32LE(meta.readUInt32LE(140) + 2, 140);
  const rest = head.subarray(syntax + 20, head.length - 4);
  const grown = meta.length - syntax - 20;
  return {
    count,
    uid: (index) => sopOf(ctSeries.compressed, index),
    file(index) {
      const bytes = encoded[index % encoded.length]!;
      const own = Buffer.concat([meta, rest]);
      for (const at of numberAt) own.write(String(10000001 + index), at < syntax ? at : at + grown, 'latin1');
      for (let at = own.indexOf(ctSeries.plain); at >= 0; at = own.indexOf(ctSeries.plain, at + 1))
        own.write(ctSeries.compressed, at, 'latin1');
      // Unlimited length, an empty offset table, one fragment, the end.
      const padded = bytes.length % 2 === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(1)]);
      return Buffer.concat([
        own,
        words(0xffffffff, 0xfffee000, 0, 0xfffee000, padded.length),
        padded,
        words(0xfffee0dd, 0),
      ]);
    },
  };
}

/** Tags are two words of 16 bits, which in one of 32 stand the other way round. */
function words(...values: number[]): Buffer {
  const buffer = Buffer.alloc(values.length * 4);
  values.forEach((value, index) => {
    const isTag = value >>> 16 === 0xfffe;
    buffer.writeUInt32LE(isTag ? (((value & 0xffff) << 16) | (value >>> 16)) >>> 0 : value, index * 4);
  });
  return buffer;
}

const [slices, frames] = process.argv.slice(2).map(Number) as [number, number];
const series: Record<string, Files> = {
  [ctSeries.plain]: plainSlices(slices),
  [ctSeries.compressed]: await compressedSlices(slices),
};

const server = createServer((request, response) => {
  const path = new URL(request.url ?? '', 'http://archive').pathname.split('/').filter(Boolean);
  const wanted = path[path.indexOf('series') + 1] ?? '';
  if (path.at(-1) === 'instances') return listInstances(request.url ?? '', wanted, response);
  if (wanted === ctSeries.enhanced) return void sendEnhanced(response);
  const files = series[wanted];
  if (files === undefined) return void response.writeHead(404).end();
  void sendSeries(files, response);
});

function listInstances(url: string, wanted: string, response: ServerResponse): void {
  const { searchParams } = new URL(url, 'http://archive');
  const [offset, limit] = ['offset', 'limit'].map((name) => Number(searchParams.get(name) ?? 0)) as [number, number];
  const files = series[wanted];
  const count = files?.count ?? 1;
  const rows = Array.from({ length: Math.max(0, Math.min(limit || count, count - offset)) }, (_, at) => ({
    '00080018': { vr: 'UI', Value: [files?.uid(offset + at) ?? sopOf(wanted, 0)] },
  }));
  if (rows.length === 0) response.writeHead(204).end();
  else response.writeHead(200, { 'content-type': 'application/dicom+json' }).end(JSON.stringify(rows));
}

const boundary = 'slices';
const partHead = (length: number) =>
  Buffer.from(`\r\n--${boundary}\r\nContent-Type: application/dicom\r\nContent-Length: ${length}\r\n\r\n`);
const opening = { 'content-type': `multipart/related; type="application/dicom"; boundary=${boundary}` };

async function send(response: ServerResponse, bytes: Buffer): Promise<void> {
  if (!response.write(bytes)) await once(response, 'drain');
}

async function sendSeries(files: Files, response: ServerResponse): Promise<void> {
  response.writeHead(200, opening);
  for (let index = 0; index < files.count; index++) {
    const file = files.file(index);
    await send(response, partHead(file.length));
    await send(response, file);
  }
  response.end(`\r\n--${boundary}--\r\n`);
}

async function sendEnhanced(response: ServerResponse): Promise<void> {
  const head = enhancedHead(frames);
  response.writeHead(200, opening);
  await send(response, partHead(head.length + frames * pixelBytes));
  await send(response, head);
  for (let index = 0; index < frames; index++) await send(response, Buffer.from(slicePixels(index).buffer));
  response.end(`\r\n--${boundary}--\r\n`);
}

server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  const ready: CtArchive = { baseUrl: `http://127.0.0.1:${port}/dicom-web` };
  process.send?.(ready);
});
