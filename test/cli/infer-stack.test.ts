/** `wetread infer` and `evaluate` on the folder of an MR study: the T2 sagittal is found among the series and read in one run. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { PNG } from 'pngjs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCommand, type Command } from '../../src/cli/command.ts';
import { command as evaluate } from '../../src/cli/evaluate.ts';
import { command } from '../../src/cli/infer.ts';
import type { Report } from '../../src/evaluation/report.ts';
import type { FileReading } from '../../src/cli/infer/reading.ts';
import { packsFolder } from '../inference/fixture-pack.ts';
import { phantomStudy, sagittalStack, type Elements } from '../support/slices.ts';

let folder: string;
let packs: Awaited<ReturnType<typeof packsFolder>>;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wetread-infer-stack-'));
  packs = await packsFolder({
    name: 't2-sagittal',
    onnx: 'moments',
    outputs: { moments: { type: 'float32', shape: ['n', 2] } },
    postprocess: `
      const brightness = [...output.outputs.moments.data].filter((_, at) => at % 2 === 0).map((sum) => Math.round(sum / 64 * 1000));
      return [{ concept: 'view-and-quality', site: { kind: 'image' }, result: { kind: 'measured' }, measurements: [{ quantity: 'slip-percent', value: brightness[1], unit: '%' }],
        summary: 'slices ' + output.pictures.map(({ tags }) => tags.slice.index + 1).join(' ') + ' are ' + brightness.join(' ') + ' bright' }];`,
    manifest: {
      selection: {
        modalities: ['MR'],
        regions: ['lumbar-spine'],
        spacing: 'optional',
        planes: ['sagittal'],
        sequences: ['T2'],
        minimumSlices: 3,
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
  const write = async (number: number, elements: Elements) => {
    await mkdir(join(folder, `study/${number}`), { recursive: true });
    const series = `${phantomStudy}.${number}`;
    for (const [index, file] of sagittalStack(9, { series, more: () => ({ with: elements }) }).entries())
      await writeFile(join(folder, `study/${number}/IM${index}`), file);
  };
  await write(2, { SeriesDescription: 't1_tse_sag', EchoTime: 11, RepetitionTime: 600 });
  await write(3, {});
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
  await packs?.[Symbol.asyncDispose]();
});

const infer = (...args: string[]) => run(command, args);

async function run(which: Command, args: string[]) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const code = await runCommand(which, args, { stdout, stderr, env: { WETREAD_MODELS_DIR: packs.folder } });
  stdout.end();
  stderr.end();
  return { code, out: await text(stdout), err: await text(stderr) };
}

test('the middle slices of the T2 sagittal are read in the order of the patient, and of the T1 it is said why not', async () => {
  const { code, out } = await infer(join(folder, 'study'), '--json');
  expect(code).toBe(0);
  const [t1, t2, ...others] = JSON.parse(out) as FileReading[];
  expect(others).toEqual([]);
  expect(t1).toMatchObject({ pictures: [], notRead: [{ pack: 't2-sagittal' }] });
  expect(t1!.notRead![0]!.why).toContain('TE 11 ms, TR 600 ms: T1');
  expect(t2!.file).toContain('slices 4 to 6 of 9 are read');
  expect(t2!.slices).toEqual(['IM3', 'IM4', 'IM5'].map((name) => join(folder, 'study/3', name)));
  expect(t2!.pictures[0]!.readings[0]!.findings[0]!.summary).toBe('slices 4 5 6 are 30 40 50 bright');
});

test('in words, with the middle slice drawn', async () => {
  const png = join(folder, 'drawn.png');
  const { code, out } = await infer(join(folder, 'study/3'), '--png', png);
  expect(code).toBe(0);
  expect(out).toContain(', 3 slices  (8 × 8, 0.5 mm)');
  expect(out).toContain('slices 4 5 6 are 30 40 50 bright');
  expect(PNG.sync.read(await readFile(png))).toMatchObject({ width: 8, height: 8 });
});

test('one slice alone is no stack, also for the pack that was named', async () => {
  const { code, out } = await infer(join(folder, 'study/3/IM4'), '--pack', 't2-sagittal');
  expect(code).toBe(1);
  expect(out).toContain('no pack applies');
  expect(out).toContain('t2-sagittal: ');
  expect(out).not.toContain('bright');
});

test('a stack with a damaged slice among three is not read as if it were whole', async () => {
  const place = join(folder, 'damaged');
  await mkdir(place);
  for (let index = 0; index < 9; index += 1) {
    const file = await readFile(join(folder, `study/3/IM${index}`));
    await writeFile(join(place, `IM${index}`), index === 4 ? file.subarray(0, file.length - 100) : file);
  }
  const { code, out } = await infer(place);
  expect(code).toBe(1);
  expect(out).toContain('dicom.');
  expect(out).not.toContain('bright');
});

test('evaluated, a row may name the folder of a study: one patient, one answer', async () => {
  const data = join(folder, 'manifest.csv');
  await writeFile(data, 'file,kind,value:slip-percent@image\nstudy,synthetic,40\nstudy/2,synthetic,40\n');
  const { out, err } = await run(evaluate, ['--pack', 't2-sagittal', '--data', data, '--json', '--replicates', '100']);
  expect(err).toBe('');
  const { sections } = JSON.parse(out) as Report;
  const figures = sections.find(({ title }) => title === 'Read and not read')!.figures;
  expect(figures.find(({ name }) => name === 'read')).toMatchObject({ k: 1, n: 2 });
  expect(figures.find(({ name }) => name === 'failed')).toMatchObject({ k: 1, n: 2 });
  const measured = sections.find(({ title }) => title === 'slip-percent, measured')!;
  expect(measured.figures.find(({ name }) => name === 'mean absolute error')).toMatchObject({ value: 0 });
});
