/** An MR study from an archive to a finding: real archive client, real decoder, real ONNX Runtime, phantoms of known geometry. */
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { decoderPool } from '../../src/dicom/decoder-pool.ts';
import { dicomwebArchive } from '../../src/dicom/dicomweb-archive.ts';
import { arrangeSeries } from '../../src/dicom/volume/arrange.ts';
import type { FindingDraft } from '../../src/domain/finding.ts';
import { studyUid } from '../../src/domain/ids.ts';
import { silentLogger } from '../../src/domain/log.ts';
import type { StudyRecord } from '../../src/domain/study.ts';
import { loadPacks } from '../../src/inference/load-packs.ts';
import { modelRunner } from '../../src/inference/model-runner.ts';
import { loadImages } from '../../src/pipeline/load-images.ts';
import { runModels } from '../../src/pipeline/run-models.ts';
import { selectSeries } from '../../src/pipeline/select-series.ts';
import { contentsOf } from '../../src/pipeline/what-to-read.ts';
import { numbersTold, packsFolder, type FixturePack } from '../inference/fixture-pack.ts';
import { startDicomwebServer } from '../support/dicomweb-server.ts';
import { enhanced, phantomStudy, sagittalStack, slice } from '../support/slices.ts';
import { patient } from './pictures.ts';

/** Adds up the grey of each slice, and says where the pack was told that each lies. */
const t2Pack: FixturePack = {
  name: 't2-sagittal',
  onnx: 'moments',
  outputs: { moments: { type: 'float32', shape: ['n', 2] } },
  postprocess: `
    const sums = [...output.outputs.moments.data].filter((_, at) => at % 2 === 0);
    return [{ concept: 'view-and-quality', site: { kind: 'image' }, result: { kind: 'measured' }, measurements: [],
      summary: JSON.stringify(output.pictures.map(({ tags: { slice } }) => [slice.index, slice.of, slice.plane, slice.positionMm])),
      evidence: { sopUid: output.sopUid, frame: output.frame, shapes: [{ kind: 'polygon', points: sums.map((sum) => [sum, 0]), label: 'sums' }] } }];`,
  manifest: {
    selection: {
      modalities: ['MR'],
      regions: ['lumbar-spine'],
      spacing: 'optional',
      planes: ['sagittal'],
      sequences: ['T2'],
      contrast: 'without',
      minimumSlices: 7,
      slices: { kind: 'middle', count: 5 },
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
};

const decoder = decoderPool({ threads: 1, logger: silentLogger });
const opened: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).toReversed()) await close();
});
afterAll(() => decoder.close());

async function read(files: readonly Uint8Array[]) {
  const server = await startDicomwebServer({ files });
  opened.push(() => server.stop());
  const packs = await packsFolder(t2Pack);
  opened.push(() => packs[Symbol.asyncDispose]());
  const models = modelRunner({
    packs: await loadPacks(packs.folder, silentLogger),
    processes: 1,
    threads: 1,
    provider: 'cpu',
    logger: silentLogger,
  });
  opened.push(() => models.close());

  const archive = dicomwebArchive({ baseUrl: server.baseUrl, logger: silentLogger });
  const uid = studyUid(phantomStudy);
  const signal = AbortSignal.timeout(60_000);
  const [study] = await archive.findStudies({ studyUid: uid }, signal);
  const selecting = { packs: models.packs, archive, arrange: arrangeSeries };
  const { chosen, notes } = await selectSeries(selecting, study!, await archive.findSeries(uid, signal), signal);
  const contents = await contentsOf(archive, uid, chosen, signal);
  const nothing = { readings: [], packFailures: [], notes: [], selection: notes, contents, requests: [] };
  if (chosen.length === 0) return nothing;
  const record: StudyRecord = {
    studyUid: uid,
    patientId: patient,
    modalities: ['MR'],
    announcedAt: '2026-11-21T10:00:00Z',
    state: { kind: 'reading', attempt: 1 },
  };
  const before = server.requests.length;
  const pictures = loadImages({ archive, decoder }, uid, chosen, signal);
  const answer = await runModels({ models, logger: silentLogger }, record, pictures, contents, signal);
  return { ...answer, selection: notes, contents, requests: server.requests.slice(before) };
}

/** Numbers against the order in the patient, as many scanners that begin on the left. */
const t2 = sagittalStack(15, { series: `${phantomStudy}.1`, everyMm: 4.4 });
const t1 = sagittalStack(15, {
  series: `${phantomStudy}.3`,
  more: () => ({ grey: 900, with: { SeriesDescription: 't1_tse_sag', EchoTime: 11, RepetitionTime: 600 } }),
});
const scout = slice({
  series: `${phantomStudy}.4`,
  number: 1,
  position: [0, 0, 0],
  with: { ImageType: ['ORIGINAL', 'PRIMARY', 'LOCALIZER'] },
});
const sums = (findings: readonly FindingDraft[]) => numbersTold({ findings }).map((sum) => Math.round(sum * 1000));

describe('a pack that reads stacks', () => {
  test('is given the middle slices of the T2 sagittal, in the patient’s order, and nothing else is fetched', async () => {
    const { readings, selection, contents, requests } = await read([scout, ...t1, ...t2.toReversed()]);
    const [{ findings, pictures, contentHash }] = readings as [(typeof readings)[0]];
    // The n-th slice from the right is n × 10 bright; 64 pixels of it in a window of 1000.
    expect(sums(findings)).toEqual([5, 6, 7, 8, 9].map((index) => index * 10 * 64));
    expect(JSON.parse(findings[0]!.summary)).toEqual(
      [5, 6, 7, 8, 9].map((index) => [index, 15, 'sagittal', expect.closeTo(index * 4.4 - 30, 6)]),
    );
    expect(requests).toHaveLength(5);
    expect(requests.every((url) => url.includes(`${phantomStudy}.1/instances/`))).toBe(true);
    expect(pictures).toBe(5);
    expect(contentHash).toBe(contents.get('t2-sagittal')!.hash);
    expect(selection.filter(({ taken }) => taken)).toHaveLength(1);
    expect(selection).toHaveLength(3);
  });

  test('reads an enhanced object like the slices of a series, by its frames', async () => {
    const order = [9, 2, 14, 0, 7, 5, 12, 1, 8, 3, 11, 6, 13, 4, 10];
    const { readings, requests } = await read([
      enhanced(order.map((index) => ({ position: [index * 4.4, -100, 150], grey: index * 10, echoTimeMs: 100 }))),
    ]);
    expect(sums(readings[0]!.findings)).toEqual([5, 6, 7, 8, 9].map((index) => index * 10 * 64));
    // One object, fetched once.
    expect(requests).toHaveLength(1);
    expect(readings[0]!.findings[0]!.evidence!.frame).toBe(5);
    expect(readings[0]!.pictures).toBe(1);
  });

  test('is given nothing of a study without a T2 sagittal, and why is told', async () => {
    const { readings, selection, requests } = await read([scout, ...t1]);
    expect(readings).toEqual([]);
    expect(requests).toEqual([]);
    expect(selection.map(({ why }) => why).toSorted()).toEqual([
      'Image Type says LOCALIZER',
      'T1 (TE 11 ms, TR 600 ms: T1; the description says T1), the model reads T2',
    ]);
  });
});
