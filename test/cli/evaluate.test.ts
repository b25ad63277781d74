/** `wetread evaluate` as somebody types it: with the pack that comes along on the demo films, and with recorded answers. */
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCommand } from '../../src/cli/command.ts';
import { command } from '../../src/cli/evaluate.ts';
import type { Report } from '../../src/evaluation/report.ts';
import films from '../../sandbox/films/films.json' with { type: 'json' };
import { packsFolder } from '../inference/fixture-pack.ts';

const demoFilms = join(import.meta.dirname, '../../sandbox/films');
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wetread-evaluate-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function evaluate(args: string[], env: NodeJS.ProcessEnv = {}) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const code = await runCommand(command, args, { stdout, stderr, env });
  stdout.end();
  stderr.end();
  return { code, out: await text(stdout), err: await text(stderr) };
}

async function fileOf(name: string, contents: string): Promise<string> {
  const file = join(folder, name);
  await writeFile(file, contents);
  return file;
}

const figure = (report: Report, title: string, name: string) =>
  report.sections.find((one) => one.title === title)?.figures.find((one) => one.name === name);

describe('the pack that comes along, on the films of the demo hospital', () => {
  let report: Report;
  let out: string;
  beforeAll(async () => {
    const place = join(folder, 'films');
    await mkdir(place);
    const rows = ['file,kind,landmarks,value:slip-percent@L4/L5,grade:Meyerding@L4/L5'];
    for (const name of ['normal.dcm', 'l4-l5-grade-1.dcm', 'wrong-view.dcm', 'corrupt.dcm'] as const) {
      await copyFile(join(demoFilms, name), join(place, name));
      const film = films.films[name];
      if (!('corners' in film)) {
        rows.push(`${name},synthetic,,,`);
        continue;
      }
      await writeFile(join(place, `${name}.json`), JSON.stringify(film.corners));
      rows.push(`${name},synthetic,${name}.json,${film.slipPercent.L4},${name === 'normal.dcm' ? '0' : 'I'}`);
    }
    await writeFile(join(place, 'manifest.csv'), rows.join('\n'));
    out = join(folder, 'report');
    const args = [
      '--pack',
      'lumbar-landmarks',
      '--data',
      join(place, 'manifest.csv'),
      '--out',
      out,
      '--json',
      '--replicates',
      '100',
    ];
    report = JSON.parse((await evaluate(args)).out) as Report;
  });

  test('reads what can be read, refuses the front view and counts the damaged film as failed', () => {
    expect(figure(report, 'Read and not read', 'read')).toMatchObject({ k: 2, n: 4 });
    expect(figure(report, 'Read and not read', 'refused')).toMatchObject({ k: 1, n: 4 });
    expect(figure(report, 'Read and not read', 'failed')).toMatchObject({ k: 1, n: 4 });
  });
  test('measures corners, slip and grade against the truth', () => {
    expect(figure(report, 'Landmarks', 'names right, of those read')).toMatchObject({ k: 2, n: 2 });
    expect(figure(report, 'slip-percent, measured', 'mean absolute error')!.value).toBeLessThan(6);
    expect(figure(report, 'Meyerding, graded', 'accuracy')).toMatchObject({ k: 2, n: 2 });
  });
  test('every section is marked synthetic, and model and data are named by their hashes', () => {
    expect(new Set(report.sections.map(({ kind }) => kind))).toEqual(new Set(['synthetic']));
    expect(report.models[0]).toMatchObject({
      name: 'lumbar-landmarks',
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(report.data.picturesSha256).toMatch(/^[0-9a-f]{64}$/);
  });
  test('the folder holds the page with pictures of the worst films, and answers that can be evaluated again', async () => {
    const page = await readFile(join(out, 'report.html'), 'utf8');
    expect(page.match(/data:image\/png;base64/g)!.length).toBeGreaterThanOrEqual(2);
    const manifest = join(folder, 'films', 'manifest.csv');
    const again = await evaluate([
      '--answers',
      join(out, 'answers.jsonl'),
      '--data',
      manifest,
      '--json',
      '--replicates',
      '100',
    ]);
    const second = JSON.parse(again.out) as Report;
    expect(second.sections.map(({ figures }) => figures)).toEqual(report.sections.map(({ figures }) => figures));
  });
});

test('scores that a pack tells are its classification', async () => {
  await using packs = await packsFolder({
    name: 'bright-or-dark',
    onnx: 'same',
    outputs: { same: { type: 'float32', shape: ['n', 1, 8, 8] } },
    postprocess: `
      const [first] = Object.values(output.outputs);
      const bright = first.data.reduce((sum, value) => sum + value, 0) / first.data.length;
      return { findings: [], scores: { bright, dark: 1 - bright } };`,
  });
  await copyFile(join(demoFilms, 'normal.dcm'), join(folder, 'a.dcm'));
  await copyFile(join(demoFilms, 'l1-wedge.dcm'), join(folder, 'b.dcm'));
  const data = await fileOf('scores.csv', 'file,kind,label\na.dcm,synthetic,bright\nb.dcm,synthetic,dark\n');
  const { out } = await evaluate(['--pack', 'bright-or-dark', '--data', data, '--json', '--replicates', '100'], {
    WETREAD_MODELS_DIR: packs.folder,
  });
  const section = (JSON.parse(out) as Report).sections.find(({ title }) => title === 'bright or dark');
  expect(section).toMatchObject({ images: 2, kind: 'synthetic' });
});

test("without validation pictures a pack's own threshold decides, and the one of the operating point in use", async () => {
  await using packs = await packsFolder({
    name: 'sensitive-pack',
    onnx: 'moments',
    outputs: { moments: { type: 'float32', shape: ['n', 2] } },
    postprocess: `return { findings: [], scores: { slip: 0.3, normal: 0.7 } };`,
    manifest: {
      outputs: {
        moments: {
          type: 'float32',
          shape: ['n', 2],
          labels: ['slip', 'normal'],
          thresholds: { balanced: { slip: 0.5 }, sensitive: { slip: 0.25 } },
        },
      },
      operatingPoint: 'sensitive',
    },
  });
  await copyFile(join(demoFilms, 'normal.dcm'), join(folder, 'c.dcm'));
  await copyFile(join(demoFilms, 'l1-wedge.dcm'), join(folder, 'd.dcm'));
  const data = await fileOf('own.csv', 'file,kind,label\nc.dcm,synthetic,slip\nd.dcm,synthetic,normal\n');
  const { out } = await evaluate(['--pack', 'sensitive-pack', '--data', data, '--json', '--replicates', '100'], {
    WETREAD_MODELS_DIR: packs.folder,
  });
  const report = JSON.parse(out) as Report;
  const section = report.sections.find(({ title }) => title === 'slip or normal');
  expect(section?.says).toContain("a score of 0.2500 on: the model's own");
  expect(figure(report, 'slip or normal', 'sensitivity')).toMatchObject({ k: 1, n: 1 });
});

describe('recorded answers', () => {
  const rows = Array.from(
    { length: 40 },
    (_, index) => `${index}.png,real,${index % 2 === 0 ? 'finding' : 'no-finding'}`,
  );
  const answers = (noise: number): string =>
    rows
      .map((row, index) =>
        JSON.stringify({
          file: row.split(',')[0],
          scores: { finding: index % 2 === 0 ? 0.9 - ((index * 7) % 10) * noise : 0.1 + ((index * 3) % 10) * noise },
        }),
      )
      .join('\n');
  test('of two programs are compared on the same pictures', async () => {
    const data = await fileOf('chest.csv', ['file,kind,label', ...rows].join('\n'));
    const [good, poor] = [await fileOf('good.jsonl', answers(0.03)), await fileOf('poor.jsonl', answers(0.09))];
    const { code, out } = await evaluate(['--answers', good, '--compare', poor, '--data', data, '--replicates', '100']);
    expect(code).toBe(0);
    expect(out).toContain('good.jsonl and poor.jsonl on the same pictures [real, 40 pictures, 40 patients]');
    expect(out).toContain('DeLong: areas under the ROC curve');
    expect(out).toContain('ROC AUC                      1.000');
  });
});

describe('what goes wrong is said with the way out', () => {
  test.each([
    [['--pack', 'lumbar-landmarks'], 2, 'name the data manifest with --data'],
    [['--data', 'x.csv'], 2, 'give either --pack or --answers'],
    [['--pack', 'x', '--answers', 'y', '--data', 'x.csv'], 2, 'give either --pack or --answers'],
    [['--pack', 'lumbar-landmarks', '--data', '/nowhere/x.csv'], 2, '/nowhere/x.csv cannot be read (ENOENT)'],
    [['--pack', 'lumbar-landmarks', '--data', 'x.csv', '--rule', 'luck'], 2, '--rule "luck": say youden'],
    [['--pack', 'lumbar-landmarks', '--data', 'x.csv', '--iou', '2'], 2, '--iou "2": a number from 0.01 to 1'],
    [['--pack', 'lumbar-landmarks', '--data', 'x.csv', '--yardstick', 'L3'], 2, '--yardstick "L3": two landmarks'],
  ])('%j', async (args, code, message) => {
    const said = await evaluate(args);
    expect(said.code).toBe(code);
    expect(said.err).toContain(message);
  });
  test('a pack that is not there, a picture that is not there, a plain picture without a view', async () => {
    const data = await fileOf('missing.csv', 'file,kind,label\nnowhere.dcm,real,x\n');
    expect((await evaluate(['--pack', 'no-such-pack', '--data', data])).err).toContain('there is no pack no-such-pack');
    await writeFile(join(folder, 'p.png'), Buffer.from('89504e470d0a1a0a', 'hex'));
    const plain = await fileOf('plain.csv', 'file,kind,label\np.png,real,x\n');
    expect((await evaluate(['--pack', 'lumbar-landmarks', '--data', plain])).err).toContain(
      'plain.csv: line 2: p.png is a plain picture, which needs the columns modality and view',
    );
  });
  test('a manifest reaches no file outside its folder', async () => {
    const data = await fileOf('outside.csv', 'file,kind,label\n../../etc/hostname,real,x\n');
    const said = await evaluate(['--pack', 'lumbar-landmarks', '--data', data]);
    expect(said.code).toBe(1);
    expect(said.err).toContain("line 2: ../../etc/hostname: files lie in the manifest's folder or below");
  });
  test.each([
    ['of a word that is none', 'file,kind,label\na.dcm,drawn,x\n', 'line 2: kind "drawn" is not real or synthetic'],
    ['that is empty', '', 'is empty: line 1 names the columns (file, kind, label …)'],
    ['of blanks', '\n\n', 'is empty: line 1 names the columns'],
    ['without a row', 'file,kind\n', 'there is no line below the header: each is one picture'],
    [
      'without the column of the files',
      'picture,kind\na.dcm,real\n',
      'line 1: there is no column "file", only "picture", "kind"',
    ],
    [
      'of another dialect',
      'file;kind\na.dcm;real\n',
      'line 1: there is no column "file", only "file;kind"; columns are parted by commas',
    ],
    [
      'without the column of the kind',
      'file,label\na.dcm,x\n',
      'line 1: there is no column "kind" (real or synthetic); add it, or say --kind real',
    ],
    ['with one column twice', 'file,kind,label,label\na.dcm,real,x,y\n', 'line 1: the column "label" is there twice'],
    ['with too few fields', 'file,kind,label\na.dcm,real,x\nb.dcm,real\n', 'line 3: has 2 fields, the header has 3'],
    [
      'with landmarks that are not there',
      'file,kind,landmarks\na.dcm,real,a.json\n',
      'line 2: landmarks "a.json" cannot be read (ENOENT)',
    ],
    [
      'with landmarks elsewhere',
      'file,kind,landmarks\na.dcm,real,../a.json\n',
      'line 2: landmarks "../a.json" is not a .json file beside the manifest',
    ],
    [
      'of pictures that are not there',
      'file,kind,label\nbroken.csv,real,x\nnowhere.dcm,real,x\nno/where.dcm,real,x\n',
      'line 3: file nowhere.dcm cannot be read (ENOENT), nor the file of 1 other line; files are named from the folder of the manifest, ',
    ],
  ])('a manifest %s: where, and what to do', async (_what, text, message) => {
    const data = await fileOf('broken.csv', text);
    const said = await evaluate(['--pack', 'lumbar-landmarks', '--data', data]);
    expect([said.code, said.out]).toEqual([1, '']);
    expect(said.err).toContain(
      `wetread evaluate: A file given to the command is not as it must be. broken.csv: ${message}`,
    );
    expect(said.err).toMatch(/\nThe message names the file and the line; .* \(cli\.bad-file\)\n$/);
    const json = await evaluate(['--pack', 'lumbar-landmarks', '--data', data, '--json']);
    expect([json.code, json.err, JSON.parse(json.out)]).toMatchObject([1, '', { error: { code: 'cli.bad-file' } }]);
  });
  test('answers that are none name the file and the line', async () => {
    const data = await fileOf('one.csv', 'file,kind,label\na.dcm,real,x\n');
    const answers = await fileOf('half.jsonl', '{"file":"a.dcm","scores":{"x":1}}\n{"file":\n');
    const said = await evaluate(['--answers', answers, '--data', data]);
    expect([said.code, said.err]).toEqual([1, expect.stringContaining('half.jsonl: line 2: is not JSON') as string]);
    expect(said.err).toContain('(cli.bad-file)');
  });
});
