/** A tiny DICOMweb archive over DICOM files in memory, for the pages' tests: series, instances, and the files themselves. */
import express from 'express';
import dicomParser from 'dicom-parser';
import { listen, type RunningServer } from '../../src/http/server.ts';

type Kept = {
  readonly study: string;
  readonly series: string;
  readonly sop: string;
  readonly modality: string;
  readonly file: Uint8Array;
};

export type ArchiveOfFiles = RunningServer & {
  readonly url: string;
  readonly kept: readonly Kept[];
  /** Headers of every request that came, newest last. */
  readonly heard: { readonly url: string; readonly headers: Readonly<Record<string, unknown>> }[];
  /** How many bytes of an object are sent before the connection breaks; undefined sends all. */
  cutAfter: number | undefined;
};

export async function archiveOfFiles(files: readonly Uint8Array[]): Promise<ArchiveOfFiles> {
  const kept = files.map((file): Kept => {
    const { string } = readHead(file);
    return {
      study: string('x0020000d'),
      series: string('x0020000e'),
      sop: string('x00080018'),
      modality: string('x00080060'),
      file,
    };
  });
  const heard: ArchiveOfFiles['heard'] = [];
  const state = { cutAfter: undefined as number | undefined };
  const app = express();
  app.use((request, response, next) => {
    heard.push({ url: request.url, headers: request.headers });
    response.setHeader('Set-Cookie', 'archive=secret');
    response.setHeader('X-Archive-Internal', 'secret');
    next();
  });
  const value = (vr: string, ...Value: unknown[]) => ({ vr, Value });
  app.get('/studies/:study/series', (request, response) => {
    const found = kept.filter(({ study }) => study === request.params.study);
    response.type('application/dicom+json').send(
      JSON.stringify(
        [...new Map(found.map((one) => [one.series, one])).values()].map((one) => ({
          '00080060': value('CS', one.modality),
          '0020000E': value('UI', one.series),
        })),
      ),
    );
  });
  app.get('/studies/:study/series/:series/instances', (request, response) => {
    const found = kept.filter((one) => one.study === request.params.study && one.series === request.params.series);
    response
      .type('application/dicom+json')
      .send(
        JSON.stringify(
          found.map((one, index) => ({ '00080018': value('UI', one.sop), '00200013': value('IS', index + 1) })),
        ),
      );
  });
  app.get('/studies/:study/series/:series/instances/:sop', (request, response) => {
    const one = kept.find(({ sop }) => sop === request.params.sop);
    if (one === undefined) return void response.status(404).json({});
    const body = Buffer.concat([
      Buffer.from('--edge\r\nContent-Type: application/dicom\r\n\r\n'),
      one.file,
      Buffer.from('\r\n--edge--\r\n'),
    ]);
    response.setHeader('Content-Type', 'multipart/related; type="application/dicom"; boundary=edge');
    if (state.cutAfter === undefined) return void response.send(body);
    response.setHeader('Content-Length', String(body.length));
    response.write(body.subarray(0, state.cutAfter), () => response.destroy());
  });
  const server = await listen(app, { host: '127.0.0.1', port: 0 });
  return {
    ...server,
    url: `http://127.0.0.1:${server.port}`,
    kept,
    heard,
    get cutAfter() {
      return state.cutAfter;
    },
    set cutAfter(bytes) {
      state.cutAfter = bytes;
    },
  };
}

function readHead(file: Uint8Array) {
  const dataset = dicomParser.parseDicom(file, { untilTag: 'x00280010' });
  return { string: (tag: string) => dataset.string(tag) ?? '' };
}
