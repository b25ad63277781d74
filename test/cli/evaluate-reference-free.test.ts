/** `wetread evaluate --reference-free` with the pack that comes along and with small packs: films nobody has labelled. */
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PNG } from 'pngjs';
import { runCommand } from '../../src/cli/command.ts';
import { command } from '../../src/cli/evaluate.ts';
import { keptAnswers, stateOfPack } from '../../src/cli/evaluate/kept-answers.ts';
import { readAnswers } from '../../src/evaluation/answers.ts';
import { cellText } from '../../src/evaluation/report-text.ts';
import type { Report } from '../../src/evaluation/report.ts';
import { variations } from '../../src/evaluation/variations.ts';
import { packsFolder } from '../inference/fixture-pack.ts';

const demoFilms = join(import.meta.dirname, '../../sandbox/films');
const models = join(import.meta.dirname, '../../models');
const consistency = 'The same picture, changed a little';
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wetread-reference-free-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function evaluate(args: string[], env: NodeJS.ProcessEnv = {}) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const code = await runCommand(command, args, { stdout, stderr, env });
  stdout.end();
  stderr.end();
  return { code, out: await text(stdout), err: await text(stderr) };
}

const section = (report: Report, title: string) => report.sections.find((one) => one.title === title)!;
const figure = (report: Report, title: string, name: string) =>
  section(report, title).figures.find((one) => one.name.startsWith(name))!;
const table = (report: Report, title: string, name: string) =>
  section(report, title)
    .tables.find((one) => one.title.startsWith(name))!
    .rows.map((row) => row.map(cellText));

describe('the pack that comes along, on a lateral film and a front view', () => {
  let report: Report;
  let out: string;
  let manifest: string;
  beforeAll(async () => {
    const films = join(folder, 'films');
    await mkdir(join(films, 'front'), { recursive: true });
    await copyFile(join(demoFilms, 'l4-l5-grade-1.dcm'), join(films, 'slipped.dcm'));
    await copyFile(join(demoFilms, 'wrong-view.dcm'), join(films, 'front', 'wrong-view.dcm'));
    manifest = join(films, 'films.csv');
    await writeFile(manifest, 'file,kind,expect\nslipped.dcm,synthetic,\nfront/wrong-view.dcm,synthetic,abstain\n');
    out = join(folder, 'look');
    const said = await evaluate(
      ['--pack', 'lumbar-landmarks', '--reference-free', manifest].concat(
        '--replicates',
        '100',
        '--out',
        out,
        '--json',
      ),
    );
    report = JSON.parse(said.out) as Report;
    // Fifteen readings, on machines that do other things as well.
  }, 400_000);

  test('reads the one and refuses the other, which is read once', () => {
    expect(figure(report, 'Read and not read', 'read')).toMatchObject({ k: 1, n: 1 });
    expect(figure(report, 'Pictures that must be refused', 'wrongly accepted')).toMatchObject({ k: 0, n: 1 });
    expect(section(report, consistency).images).toBe(1);
  });
  test('says the same of the film turned, cut, mirrored and toned, within a few percent of a body', () => {
    expect(figure(report, consistency, 'read again')).toMatchObject({ n: variations.length });
    expect(figure(report, consistency, 'read again').k).toBeGreaterThanOrEqual(variations.length - 2);
    expect(figure(report, consistency, 'median movement').value).toBeLessThan(3);
    // Places that are not carried back would lie whole bodies away.
    const byChange = new Map(table(report, consistency, 'By change').map(([name, ...rest]) => [name, rest]));
    expect([...byChange.keys()]).toEqual(variations.map(({ name }) => name));
    // A change after which the film is refused moves nothing.
    const moved = ['rotated by 6°', '10 % off the top', 'mirrored']
      .map((change) => Number(byChange.get(change)?.[2]))
      .filter(Number.isFinite);
    expect(moved.length).toBeGreaterThanOrEqual(2);
    for (const percent of moved) expect(percent).toBeLessThan(6);
    expect(figure(report, consistency, 'findings that agree').value).toBeGreaterThan(0.8);
  });
  test('the page shows every picture, and the folder holds answers that can be evaluated again', async () => {
    expect((await readdir(out)).toSorted()).toEqual(['answers.jsonl', 'report.html', 'report.json']);
    const page = await readFile(join(out, 'report.html'), 'utf8');
    expect(page).toContain('Contact sheet');
    expect(page).toContain('alt="slipped.dcm: read; spondylolisthesis@L4/L5 detected anterior');
    const answers = readAnswers(await readFile(join(out, 'answers.jsonl'), 'utf8'));
    expect(answers).toHaveLength(2 + variations.length);
    // Where it looked is told of refused pictures too.
    const refused = answers.find(({ abstained }) => abstained !== undefined)!;
    expect(Object.keys(refused.landmarks!)).toContain('L4.anteriorSuperior');
    const args = [
      '--answers',
      join(out, 'answers.jsonl'),
      '--reference-free',
      manifest,
      '--replicates',
      '100',
      '--json',
    ];
    const again = await evaluate(args);
    const second = JSON.parse(again.out) as Report;
    expect(second.sections.map(({ figures }) => figures)).toEqual(report.sections.map(({ figures }) => figures));
  });
});

const brightness = {
  onnx: 'same',
  outputs: { same: { type: 'float32', shape: ['n', 1, 8, 8] } },
} as const;
/** Reads what is bright, refuses what is dark. */
const brightOrRefused = `
  const [first] = Object.values(output.outputs);
  const bright = first.data.reduce((sum, value) => sum + value, 0) / first.data.length;
  const view = { concept: 'view-and-quality', site: { kind: 'image' }, measurements: [] };
  if (bright < 0.5) return [{ ...view, result: { kind: 'not-assessable', reason: 'wrong-region', explanation: 'Not read: dark.' }, summary: 's' }];
  return { findings: [{ ...view, result: { kind: 'not-detected' }, summary: 's' }], scores: { bright, dark: 1 - bright } };`;

async function greyPng(path: string, level: number): Promise<void> {
  const png = new PNG({ width: 24, height: 32 });
  png.data.fill(level);
  for (let at = 3; at < png.data.length; at += 4) png.data[at] = 255;
  await writeFile(path, PNG.sync.write(png));
}

describe('pictures that must be refused', () => {
  let films: string;
  beforeAll(async () => {
    films = join(folder, 'foreign');
    await mkdir(join(films, 'hand'), { recursive: true });
    await mkdir(join(films, 'chest'));
    await greyPng(join(films, 'hand', 'a.png'), 20);
    await greyPng(join(films, 'hand', 'b.png'), 250);
    await greyPng(join(films, 'chest', 'c.png'), 30);
  });
  const said = ['--modality', 'DX', '--view', 'lateral', '--replicates', '100'];

  test('are counted by folder, each read once, and the accepted ones are drawn', async () => {
    await using packs = await packsFolder({ name: 'bright', ...brightness, postprocess: brightOrRefused });
    const out = join(folder, 'refused');
    const { out: printed } = await evaluate(
      ['--pack', 'bright', '--reference-free', films, '--expect-abstain', '--out', out].concat(said),
      { WETREAD_MODELS_DIR: packs.folder },
    );
    expect(printed).toMatch(/wrongly accepted +0\.333 \(0\.\d{3} to 0\.\d{3}; 1\/3\) {2}Wilson/);
    expect(printed).toMatch(/hand +0\.500 .*1\/2/);
    expect(printed).not.toContain(consistency);
    const page = await readFile(join(out, 'report.html'), 'utf8');
    expect(page.match(/<img /g)).toHaveLength(1);
    expect(page).toContain('hand/b.png: accepted; nothing suspected');
    expect(page).not.toContain('Contact sheet');
    expect(readAnswers(await readFile(join(out, 'answers.jsonl'), 'utf8'))).toHaveLength(3);
  });

  test('or so the manifest says it, picture by picture', async () => {
    await using packs = await packsFolder({ name: 'bright', ...brightness, postprocess: brightOrRefused });
    const manifest = join(films, 'manifest.csv');
    await writeFile(
      manifest,
      [
        'file,kind,modality,view,expect,group:part',
        'hand/a.png,synthetic,DX,lateral,abstain,hand',
        'hand/b.png,synthetic,DX,lateral,,hand',
        'chest/c.png,synthetic,DX,lateral,abstain,chest',
      ].join('\n'),
    );
    const { out } = await evaluate(
      ['--pack', 'bright', '--reference-free', manifest, '--json', '--replicates', '100'],
      {
        WETREAD_MODELS_DIR: packs.folder,
      },
    );
    const report = JSON.parse(out) as Report;
    expect(figure(report, 'Pictures that must be refused', 'wrongly accepted')).toMatchObject({ k: 0, n: 2 });
    expect(figure(report, 'Read and not read', 'read')).toMatchObject({ k: 1, n: 1 });
    // A pack without landmarks: its scores are held against each other.
    expect(figure(report, consistency, 'first label kept').n).toBe(figure(report, consistency, 'read again').k);
    expect(
      section(report, consistency)
        .figures.map(({ name }) => name)
        .join(),
    ).not.toContain('movement');
  });
});

describe('a run that was broken off', () => {
  test('goes on where it stopped, and leaves nothing behind when it is done', async () => {
    await using packs = await packsFolder({ name: 'bright', ...brightness, postprocess: brightOrRefused });
    const films = join(folder, 'broken-off');
    await mkdir(films);
    await greyPng(join(films, 'a.png'), 250);
    await greyPng(join(films, 'b.png'), 250);
    const out = join(folder, 'goes-on');
    const args = [
      '--pack',
      'bright',
      '--reference-free',
      films,
      '--no-variations',
      '--out',
      out,
      '--replicates',
      '100',
    ];
    const said = ['--modality', 'DX', '--view', 'lateral', '--json'];
    const env = { WETREAD_MODELS_DIR: packs.folder };
    await evaluate(args.concat(said), env);
    // As it was in the middle: the first answer kept (told apart by what the pack would not say), the second cut off.
    const state = `bright ${await stateOfPack(join(packs.folder, 'bright'))}, wetread ${(await version()) as string}`;
    const kept = await keptAnswers(join(out, 'unfinished-bright.jsonl'), state);
    await kept.keep({ file: 'a.png', scores: { bright: 0.123, dark: 0.877 } });
    await writeFile(join(out, 'unfinished-bright.jsonl'), '{"file":"b.png","sco', { flag: 'a' });
    await evaluate(args.concat(said), env);
    const answers = readAnswers(await readFile(join(out, 'answers.jsonl'), 'utf8'));
    expect(answers.map(({ file }) => file)).toEqual(['a.png', 'b.png']);
    expect(answers[0]!.scores!['bright']).toBe(0.123);
    expect(answers[1]!.scores!['bright']).toBeGreaterThan(0.5);
    expect(await readdir(out)).not.toContain('unfinished-bright.jsonl');
  });
  test('does not take over what another state of the pack had said', async () => {
    const file = join(folder, 'kept.jsonl');
    await (await keptAnswers(file, 'a pack 1')).keep({ file: 'a.png', scores: { x: 1 } });
    expect((await keptAnswers(file, 'a pack 1')).known('a.png')).toMatchObject({ scores: { x: 1 } });
    expect((await keptAnswers(file, 'a pack 2')).known('a.png')).toBeUndefined();
    expect((await keptAnswers(file, 'a pack 1')).known('a.png')).toBeUndefined();
  });
  test('the state of a pack is in its weights, manifest and code, not in its card', async () => {
    const copy = join(folder, 'pack');
    await mkdir(copy);
    for (const name of ['manifest.json', 'postprocess.ts', 'MODEL_CARD.md'])
      await copyFile(join(models, 'lumbar-landmarks', name), join(copy, name));
    const before = await stateOfPack(copy);
    await writeFile(join(copy, 'MODEL_CARD.md'), 'another');
    expect(await stateOfPack(copy)).toBe(before);
    await writeFile(join(copy, 'postprocess.ts'), 'another');
    expect(await stateOfPack(copy)).not.toBe(before);
  });
});

const version = async (): Promise<unknown> =>
  (JSON.parse(await readFile(join(import.meta.dirname, '../../package.json'), 'utf8')) as { version: unknown }).version;

test.each([
  [['--reference-free', '/nowhere'], '/nowhere cannot be read (ENOENT)'],
  [['--reference-free', '.', '--data', 'x.csv'], 'give either --data or --reference-free'],
  [['--data', 'x.csv', '--expect-abstain'], '--expect-abstain goes with --reference-free'],
  [['--reference-free', demoFilms, '--spacing', '0.1,0.2'], 'one number, the same along rows and columns'],
  [['--reference-free', demoFilms, '--kind', 'drawn'], '--kind "drawn": say real or synthetic'],
])('called wrongly (%j) exits 2 and says how', async (args, message) => {
  const said = await evaluate(['--pack', 'lumbar-landmarks'].concat(args));
  expect(said.code).toBe(2);
  expect(said.err).toContain(message);
});
