/** `wetread infer` on real films and plain pictures: what is printed, written and refused, with the pack that comes along. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { PNG } from 'pngjs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCommand } from '../../src/cli/command.ts';
import { command } from '../../src/cli/infer.ts';
import type { FileReading } from '../../src/cli/infer/reading.ts';
import { decodeInstance } from '../../src/dicom/instance.ts';
import manifest from '../../models/lumbar-landmarks/manifest.json' with { type: 'json' };
import { packsFolder } from '../inference/fixture-pack.ts';

const root = join(import.meta.dirname, '../..');
const cases = join(root, 'models/lumbar-landmarks/cases');
const slipped = join(cases, 'l4-l5-slip-monochrome1.dcm');

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wetread-infer-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function infer(args: string[], env: NodeJS.ProcessEnv = {}) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const code = await runCommand(command, args, { stdout, stderr, env });
  stdout.end();
  stderr.end();
  return { code, out: await text(stdout), err: await text(stderr) };
}

const read = async (args: string[], env: NodeJS.ProcessEnv = {}): Promise<readonly FileReading[]> =>
  JSON.parse((await infer([...args, '--json'], env)).out) as FileReading[];

/** The film as a plain picture of eight or sixteen bits. */
async function pngOf(file: string, depth: 8 | 16): Promise<string> {
  const { pixels, firstGrey } = await decodeInstance(await readFile(file), 2 ** 30);
  const most = 2 ** depth - 1;
  const values = firstGrey.map((value) => Math.round(value * most));
  const png = new PNG({
    width: pixels.columns,
    height: pixels.rows,
    colorType: 0,
    inputColorType: 0,
    inputHasAlpha: false,
  });
  png.data = Buffer.from((depth === 8 ? Uint8Array.from(values) : Uint16Array.from(values)).buffer);
  const options = { bitDepth: depth, colorType: 0, inputColorType: 0, inputHasAlpha: false } as const;
  const target = join(folder, `film-${depth}.png`);
  await writeFile(target, PNG.sync.write(png, options));
  return target;
}

const percentAt = ([file]: readonly FileReading[], level: string): number =>
  file!.pictures[0]!.readings[0]!.findings.find(
    ({ site, concept }) => concept === 'spondylolisthesis' && site.kind === 'segment' && site.level === level,
  )!.measurements.find(({ quantity }) => quantity === 'slip-percent')!.value;

describe('wetread infer', () => {
  test('prints the suspicion first, in a sentence, and that nobody has reviewed it', async () => {
    const { code, out, err } = await infer([slipped]);
    expect(err).toBe('');
    expect(code).toBe(0);
    const lines = out.split('\n');
    expect(lines[1]).toMatch(/Lumbar corners and slip .* AI suggestion, not reviewed/);
    expect(lines[2]).toMatch(/^ {2}▲ Suspected L4\/L5 anterolisthesis, grade I/);
  });

  test('names every corner with its spread, in pixels of the picture given', async () => {
    const [file] = await read([slipped]);
    const expected = JSON.parse(await readFile(slipped.replace('.dcm', '.expected.json'), 'utf8')) as {
      readonly landmarks: readonly (readonly [number, number])[];
      readonly tolerancePx: number;
    };
    const { landmarks } = file!.pictures[0]!.readings[0]!;
    expect(landmarks.map(({ name }) => name)).toEqual(manifest.outputs.landmarks.labels);
    expect(landmarks.map(({ name }) => name)).toContain('L4.anteriorSuperior');
    for (const [index, { name, x, y, sdX, sdY, ellipse95 }] of landmarks.entries()) {
      const [ex, ey] = expected.landmarks[index]!;
      // What stands above the lumbar spine is cut off here: such corners turn on the last digit, within their spread.
      const most = name.startsWith('T') ? Math.hypot(sdX!, sdY!) : expected.tolerancePx;
      expect(Math.hypot(x - 0.5 - ex, y - 0.5 - ey)).toBeLessThanOrEqual(most);
      expect(Math.min(sdX!, sdY!)).toBeGreaterThan(0);
      // The ellipse holds 95 %: its axes are 2.45 standard deviations, and its box contains both spreads.
      expect(Math.hypot(ellipse95!.rx, ellipse95!.ry)).toBeCloseTo(Math.sqrt(5.991465) * Math.hypot(sdX!, sdY!), 6);
    }
  });

  test('reads a PNG of eight or sixteen bits and a JPEG like the film they were made of', async () => {
    const ofFilm = await read([slipped]);
    const film = percentAt(ofFilm, 'L4/L5');
    const said = ['--modality', 'DX', '--view', 'lateral', '--spacing', '0.2'];
    for (const depth of [8, 16] as const) {
      const found = await read([await pngOf(slipped, depth), ...said]);
      expect(Math.abs(percentAt(found, 'L4/L5') - film)).toBeLessThan(1.5);
      const [asFilm, asPicture] = [ofFilm, found].map(([file]) => file!.pictures[0]!.readings[0]!.landmarks);
      for (const [index, { name, x, y, sdX, sdY }] of asPicture!.entries()) {
        expect(name).toBe(asFilm![index]!.name);
        const most = name.startsWith('T') ? Math.hypot(sdX!, sdY!) : 2;
        expect(Math.hypot(x - asFilm![index]!.x, y - asFilm![index]!.y)).toBeLessThan(most);
        expect(sdX).toBeGreaterThan(0);
      }
      expect(found[0]!.pictures[0]!.spacing).toEqual({ rowMm: 0.2, columnMm: 0.2, plane: 'patient' });
    }
    const jpeg = join(root, 'test/fixtures/pictures/film.jpg');
    const [file] = await read([jpeg, ...said]);
    expect(file!.pictures[0]).toMatchObject({ rows: 96, columns: 64 });
    expect(file!.pictures[0]!.readings.map(({ pack }) => pack)).toContain('lumbar-landmarks');
  });

  test('draws on the picture at its own size: untouched far from what was found, coloured where it was', async () => {
    const out = join(folder, 'overlay.png');
    expect((await infer([slipped, '--png', out])).code).toBe(0);
    const { width, height, data } = PNG.sync.read(await readFile(out));
    const { pixels, firstGrey } = await decodeInstance(await readFile(slipped), 2 ** 30);
    expect([width, height]).toEqual([pixels.columns, pixels.rows]);
    const [file] = await read([slipped]);
    const { findings } = file!.pictures[0]!.readings[0]!;
    const body = findings.find(({ result }) => result.kind === 'detected')!.evidence!.shapes[0]!;
    if (body.kind !== 'polygon') throw new Error('the first shape is the vertebra');
    const [[x1, y1], [x2, y2]] = body.points as unknown as [[number, number], [number, number]];
    const on = (Math.floor((y1 + y2) / 2) * width + Math.floor((x1 + x2) / 2)) * 4;
    expect(data[on]! - data[on + 2]!).toBeGreaterThan(100);
    const far = ((height - 3) * width + 2) * 4;
    expect(data[far]).toBe(Math.round(firstGrey[far / 4]! * 255));
    expect(data[far + 2]).toBe(data[far]);
  });

  test('searches folders, passes over what is no picture, and reads on beside a damaged file', async () => {
    const films = await mkdtemp(join(folder, 'films-'));
    await writeFile(join(films, 'notes.txt'), 'no picture');
    await writeFile(join(films, 'a.dcm'), await readFile(slipped));
    await mkdir(join(films, 'series-2'));
    await writeFile(join(films, 'series-2', 'a.dcm'), await readFile(slipped));
    await writeFile(join(films, 'b.dcm'), (await readFile(slipped)).subarray(0, 20_000));
    const out = join(films, 'drawn');
    const { code, out: printed } = await infer([films, '--png', out]);
    expect(code).toBe(1);
    expect(printed).toContain('▲ Suspected L4/L5');
    expect(printed).toContain('(dicom.truncated)');
    expect(printed).not.toContain('notes.txt');
    expect((await readdir(out)).toSorted()).toEqual(['a.dcm.overlay.png', 'series-2_a.dcm.overlay.png']);
  });

  test('says why no pack applies', async () => {
    const png = await pngOf(slipped, 8);
    const wrongView = await infer([png, '--modality', 'DX', '--view', 'frontal']);
    expect(wrongView.code).toBe(1);
    expect(wrongView.out).toContain('lumbar-landmarks: --view says frontal, the model reads lateral');
    const wrongKind = await infer([png, '--modality', 'MR', '--view', 'lateral']);
    expect(wrongKind.out).toContain('modality MR, the model reads');
    const wrongPart = await infer([png, '--modality', 'DX', '--view', 'lateral', '--region', 'chest']);
    expect(wrongPart.out).toContain('says chest');
  });

  test('abstains on a front view, which is an answer and no failure', async () => {
    const { code, out } = await infer([join(cases, 'from-the-front.dcm')]);
    expect(code).toBe(0);
    expect(out).toContain('– Not read:');
    const [file] = await read([join(cases, 'from-the-front.dcm')]);
    const [reading] = file!.pictures[0]!.readings;
    expect(reading!.refused).toMatchObject({
      reason: expect.any(String),
      explanation: expect.stringContaining('Not read'),
    });
    expect(reading!.findings.filter(({ site }) => site.kind !== 'image')).toEqual([]);
    // Where it looked is told by name and with its spread, as for a picture that it read.
    const names = (await read([slipped]))[0]!.pictures[0]!.readings[0]!.landmarks.map(({ name }) => name);
    expect(reading!.landmarks.map(({ name }) => name)).toEqual(names);
    for (const { sdX, sdY, ellipse95 } of reading!.landmarks) {
      expect(Math.min(sdX!, sdY!)).toBeGreaterThan(0);
      expect(ellipse95).toBeDefined();
    }
  });

  test('refuses a picture of one pixel with a code, and a PNG that is cut off', async () => {
    const dot = join(folder, 'dot.png');
    await writeFile(dot, PNG.sync.write(new PNG({ width: 1, height: 1 })));
    const said = ['--modality', 'DX', '--view', 'lateral'];
    const [file] = await read([dot, ...said]);
    expect(file!.pictures[0]!.failures).toContainEqual(
      expect.objectContaining({ pack: 'lumbar-landmarks', code: 'model.picture-unusable' }),
    );
    expect((await infer([dot, ...said])).code).toBe(1);
    const cut = join(folder, 'cut.png');
    await writeFile(cut, (await readFile(await pngOf(slipped, 8))).subarray(0, 5_000));
    expect((await read([cut, ...said]))[0]!.error).toMatchObject({ code: 'picture.unreadable' });
  });

  test.each([
    [[], 'name at least one file'],
    [['/nowhere.dcm'], 'cannot read /nowhere.dcm: ENOENT'],
    [[slipped, '--pack', 'nobody'], 'there is no pack nobody; there are lumbar-landmarks'],
    [[slipped, '--view', 'sideways'], '--view takes lateral'],
    [[slipped, '--modality', 'xray'], '--modality takes'],
    [[slipped, '--spacing', 'fine'], '--spacing takes millimetres'],
    [[join(root, 'docs/images/app.png')], 'say --modality'],
  ])('called wrongly (%j) exits 2 and says how', async (args, words) => {
    const { code, err } = await infer(args);
    expect(err).toContain(words);
    expect(code).toBe(2);
  });

  test('reads with the whole packs when another is broken, and says which one', async () => {
    await using packs = await packsFolder(
      {
        name: 'same',
        onnx: 'same',
        outputs: { same: { type: 'float32', shape: ['n', 1, 8, 8] } },
        manifest: {
          selection: { modalities: ['CR'], regions: ['lumbar-spine'], views: ['lateral'], spacing: 'optional' },
        },
      },
      { name: 'broken', onnx: 'same', outputs: {} },
    );
    const { code, out, err } = await infer([slipped], { WETREAD_MODELS_DIR: packs.folder });
    expect(err).toContain(join('broken', 'manifest.json'));
    expect(out).toContain('A tiny net 1.0.0 (same)');
    expect(code).toBe(1);
  });

  test('is one command that ends by itself', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [
      join(root, 'src/cli/wetread.ts'),
      'infer',
      slipped,
    ]);
    expect(stdout).toContain('Suspected L4/L5');
  });
});
