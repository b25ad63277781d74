/** An MR study arrives in the hospital: the service finds the T2 sagittal, reads its middle slices, and says why of everything else. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { packsFolder } from '../inference/fixture-pack.ts';
import { multipartOf } from '../support/dicomweb-server.ts';
import { phantomStudy, sagittalStack, slice, type Elements } from '../support/slices.ts';
import { wetread } from '../support/wetread.ts';
import { eventually, openWorld, type World } from './world.ts';

let world: World;
let packs: Awaited<ReturnType<typeof packsFolder>>;
beforeAll(async () => {
  packs = await packsFolder({
    name: 't2-sagittal',
    onnx: 'moments',
    outputs: { moments: { type: 'float32', shape: ['n', 2] } },
    postprocess: `
      const brightness = [...output.outputs.moments.data].filter((_, at) => at % 2 === 0).map((sum) => Math.round(sum / 64 * 1000));
      return [{ concept: 'view-and-quality', site: { kind: 'image' }, result: { kind: 'measured' }, measurements: [],
        summary: 'slices ' + output.pictures.map(({ tags }) => tags.slice.index + 1).join(' ') + ' are ' + brightness.join(' ') + ' bright' }];`,
    manifest: {
      selection: {
        modalities: ['MR'],
        regions: ['lumbar-spine'],
        spacing: 'optional',
        planes: ['sagittal'],
        sequences: ['T2'],
        contrast: 'without',
        slices: { kind: 'middle', count: 3 },
      },
      input: {
        tensor: 'image',
        type: 'float32',
        shape: ['n', 1, 8, 8],
        preprocess: [
          { step: 'stack', as: 'batch' },
          { step: 'letterbox', height: 8, width: 8, filter: 'triangle' },
        ],
      },
    },
  });
  world = await openWorld({ WETREAD_MODELS_DIR: packs.folder, WETREAD_POLL_SECONDS: '0' });
  await world.startService();
});
afterAll(async () => {
  await world?.close();
  await packs?.[Symbol.asyncDispose]();
});

test('the T2 sagittal is found, its middle slices are read in order, and the choice can be looked up', async () => {
  const whose: Elements = { PatientID: '40021877', PatientName: 'Lindqvist^Phantom' };
  const series = (number: number, elements: Elements) =>
    sagittalStack(9, { series: `${phantomStudy}.${number}`, more: () => ({ with: { ...whose, ...elements } }) });
  const files = [
    slice({
      series: `${phantomStudy}.1`,
      number: 1,
      position: [0, 0, 0],
      with: { ...whose, ImageType: ['ORIGINAL', 'PRIMARY', 'LOCALIZER'] },
    }),
    ...series(2, { SeriesDescription: 't1_tse_sag', EchoTime: 11, RepetitionTime: 600 }),
    ...series(3, {}),
    ...series(4, { SeriesDescription: 'T2 SAG KM', ContrastBolusAgent: 'Gadovist' }),
  ];
  const { contentType, body } = multipartOf(files);
  const stored = await fetch(`${world.hospitalUrl}/dicom-web/studies`, {
    method: 'POST',
    headers: { 'content-type': contentType },
    body: new Uint8Array(body),
  });
  expect(stored.status).toBe(200);

  const secret = readFileSync(join(world.dataDir, 'secrets/events'), 'utf8').trim();
  const announced = await fetch(`${world.serviceUrl}/events/study`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${secret}` },
    body: JSON.stringify({ studyUid: phantomStudy }),
  });
  expect(announced.status).toBe(202);

  const show = (...options: string[]) =>
    wetread(['studies', 'show', phantomStudy, ...options], { WETREAD_DATA_DIR: world.dataDir });
  await eventually(async () => {
    const { out } = await show('--json');
    const [{ study }] = JSON.parse(out) as [{ study: { state: { kind: string } } }];
    return study.state.kind === 'settled';
  });
  const { out, code } = await show();
  expect(code).toBe(0);
  // The n-th slice from the patient's right is n × 10 bright; numbers run the other way.
  expect(out).toContain('slices 4 5 6 are 30 40 50 bright');
  expect(out).toContain('read by t2-sagittal 1.0.0');
  expect(out).toContain('(3 objects)');
  expect(out).toContain('not    t2-sagittal  Image Type says LOCALIZER');
  expect(out).toContain(
    'not    t2-sagittal  T1 (TE 11 ms, TR 600 ms: T1; the description says T1), the model reads T2',
  );
  expect(out).toContain('taken  t2-sagittal  sagittal, T2 (TE 102 ms');
  expect(out).toContain('slices 4 to 6 of 9 are read');
  expect(out).toContain('not    t2-sagittal  a contrast agent was given');
  expect(await wetread(['studies', 'show', '1.2.3'], { WETREAD_DATA_DIR: world.dataDir })).toMatchObject({ code: 2 });
});
