/** The fracture pack against its training code in Python, and what it says of whole films on the real networks. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { PNG } from 'pngjs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  chosen,
  classes,
  contributions,
  deepWeights,
  hollowOf,
  judge,
} from '../../models/vertebral-fracture/linear-model.ts';
import { cropsTensor, cut, explanationOf, heatmapOf, judged, type Cut } from '../../models/vertebral-fracture/look.ts';
import { decoderPool } from '../../src/dicom/decoder-pool.ts';
import type { FindingDraft } from '../../src/domain/finding.ts';
import type { GreyImage } from '../../src/domain/image.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { loadPack, type LoadedPack } from '../../src/inference/load-packs.ts';
import { modelRunner, type ManagedModelRunner } from '../../src/inference/model-runner.ts';
import { radiomicsOf } from '../../src/kit/radiomics/radiomics.ts';
import { cropSide, inCrop, polygonMask, uprightFrame, type BodyCorners } from '../../src/kit/upright-crop.ts';

const root = join(import.meta.dirname, '../..');
const folder = join(root, 'models/vertebral-fracture');
const fixtures = join(root, 'test/fixtures/vertebral-fracture');

type Case = {
  readonly level: string;
  readonly kind: string;
  /** Counted from the centre of the first pixel, as Python counts. */
  readonly corners: readonly (readonly [number, number])[];
  readonly cornersInCrop: readonly (readonly [number, number])[];
  readonly cropRows: Readonly<Record<string, readonly number[]>>;
  readonly radiomics: Readonly<Record<string, number>>;
  readonly deep: Readonly<Record<string, number>>;
  readonly probability: readonly number[];
  readonly hollow: number;
  readonly unlikeness: number;
};
const { cases } = JSON.parse(readFileSync(join(fixtures, 'cases.json'), 'utf8')) as { readonly cases: readonly Case[] };

const film = (() => {
  const { width, height, data } = PNG.sync.read(readFileSync(join(fixtures, 'film.png')));
  const values = Float32Array.from({ length: width * height }, (_, at) => data[at * 4]! / 255);
  return { rows: height, columns: width, values };
})();
const cornersOf = ({ corners }: Case) => corners.map(([x, y]) => [x + 0.5, y + 0.5]) as unknown as BodyCorners;

const relative = (found: number, wanted: number): number => Math.abs(found - wanted) / Math.max(1, Math.abs(wanted));

describe('the pack’s own code gives the training code’s chances to a ten-thousandth', () => {
  let session: InferenceSession;
  let cuts: Cut[];
  let features: Float32Array;
  let maps: Tensor;
  const width = () => features.length / cases.length;
  const deepOf = (index: number) => features.subarray(index * width(), (index + 1) * width());

  beforeAll(async () => {
    session = await InferenceSession.create(join(folder, 'backbone.onnx'), { intraOpNumThreads: 1 });
    cuts = cases.map((one) => cut(film, cornersOf(one))!);
    const { dims, data } = cropsTensor(cuts);
    const answer = await session.run({ crops: new Tensor('float32', data, dims) });
    features = answer['features']!.data as Float32Array;
    maps = answer['maps'] as Tensor;
  });
  afterAll(() => session.release());

  test.each(cases.map((one, index) => ({ ...one, index })))('$level ($kind)', ({ index, ...one }) => {
    const corners = cornersOf(one);
    const frame = uprightFrame(corners);
    const places = corners.map((corner) => inCrop(corner, frame));
    expect(places.flat()).toEqual(one.cornersInCrop.flat().map((value) => expect.closeTo(value, 4) as number));
    const { crop: values } = cuts[index]!;
    for (const [row, wanted] of Object.entries(one.cropRows))
      for (const [column, value] of wanted.entries())
        expect(Math.abs(values[Number(row) * cropSide + column]! - value)).toBeLessThan(1e-4);
    const region = { columns: cropSide, rows: cropSide, slices: 1, values, mask: polygonMask(places) };
    const all = radiomicsOf(region);
    const apart = Object.entries(one.radiomics).map(([name, value]) => ({ name, by: relative(all[name]!, value) }));
    expect(apart.filter(({ by }) => !(by < 1e-4))).toEqual([]);
    for (const [channel, value] of Object.entries(one.deep))
      expect(relative(deepOf(index)[Number(channel)]!, value), `feature ${channel}`).toBeLessThan(1e-4);
    const { probabilities, zScores } = judged(cuts[index]!, deepOf(index));
    for (const [at, value] of one.probability.entries())
      expect(Math.abs(probabilities[at]! - value)).toBeLessThan(1e-4);
    expect(Math.abs(hollowOf(deepOf(index)).share - one.hollow)).toBeLessThan(1e-4);
    const meanSquare = zScores.reduce((sum, z) => sum + z * z, 0) / zScores.length;
    expect(relative(meanSquare, one.unlikeness)).toBeLessThan(1e-3);
  });

  test('what the network adds to the score is the mean of its map', () => {
    const answer = { dims: maps.dims, data: maps.data as Float32Array };
    for (const [index, one] of cuts.entries()) {
      const told = judged(one, deepOf(index));
      const { parts } = contributions(told, told.leading);
      const weights = deepWeights(told.leading);
      const [, channels, rows, columns] = maps.dims as [number, number, number, number];
      let mean = 0;
      for (const { channel, weight } of weights)
        for (let place = 0; place < rows * columns; place += 1)
          mean += (weight * answer.data[(index * channels + channel) * rows * columns + place]!) / (rows * columns);
      const constant = chosen
        .filter(({ source }) => source === 'deep')
        .reduce((sum, { mean: average }, at) => sum + weights[at]!.weight * average, 0);
      const deepPart = parts.filter((_, at) => chosen[at]!.source === 'deep').reduce((sum, part) => sum + part, 0);
      expect(relative(mean - constant, deepPart)).toBeLessThan(1e-4);
      for (const shape of heatmapOf(one, told, answer, index)) {
        if (shape.kind !== 'heatmap') throw new Error('no map');
        expect(shape).toMatchObject({ rows, columns });
        expect(Math.max(...shape.values)).toBe(1);
        expect(inCrop(shape.corners[0], one.frame)).toEqual([expect.closeTo(-0.5, 6), expect.closeTo(-0.5, 6)]);
      }
    }
  });
});

describe('the linear model', () => {
  const at = (z: number): number[] => chosen.map(({ mean, sd }) => mean + z * sd);

  test('tells parts that add up to the class’s score against the mean of the others', () => {
    const one = judge(at(0.7));
    const scores = one.probabilities.map(Math.log);
    for (const of of classes.keys()) {
      const { parts, rest } = contributions(one, of);
      const others = scores.filter((_, index) => index !== of);
      const against = scores[of]! - others.reduce((sum, score) => sum + score, 0) / others.length;
      expect(rest + parts.reduce((sum, part) => sum + part, 0)).toBeCloseTo(against, 9);
    }
  });

  test('explains itself in a few bars, the largest first, that lose nothing', () => {
    const one = judge(at(-0.4));
    const { bars, rest } = explanationOf(one, 'ASTLOF morphology');
    const sizes = bars.map(({ value }) => Math.abs(value));
    expect(sizes).toEqual(sizes.toSorted((a, b) => b - a));
    expect(bars.length).toBeLessThanOrEqual(9);
    const { parts, rest: same } = contributions(one, one.leading);
    expect(rest).toBe(same);
    expect(bars.reduce((sum, { value }) => sum + value, 0)).toBeCloseTo(
      parts.reduce((sum, part) => sum + part, 0),
      9,
    );
  });

  test('knows what is unlike everything it was fitted on', () => {
    expect(judge(at(0.1)).isLikeTrainingData).toBe(true);
    expect(judge(at(8)).isLikeTrainingData).toBe(false);
  });
});

describe('whole films, on the real networks', () => {
  const decoder = decoderPool({ threads: 1, logger: silentLogger });
  let pack: LoadedPack;
  let runner: ManagedModelRunner;
  beforeAll(async () => {
    pack = await loadPack(folder, 'vertebral-fracture');
    runner = modelRunner({ packs: [pack], processes: 1, threads: 2, provider: 'cpu', logger: silentLogger });
    await runner.ready();
  });
  afterAll(async () => {
    await runner.close();
    await decoder.close();
  });
  const pictureOf = async (name: string) =>
    (await decoder.decode(readFileSync(join(root, 'sandbox/films', `${name}.dcm`)))).grey(0);
  const read = async (picture: GreyImage) => runner.run(pack.identity, picture);
  const at = (findings: readonly FindingDraft[], level: string) =>
    findings.find(({ site }) => site.kind === 'vertebra' && site.level === level)!;

  test('a wedged L1 is suspected, with class, height lost, Genant grade, map and bars; the others are not', async () => {
    const { findings, scores } = await read(await pictureOf('l1-wedge'));
    const broken = findings.filter(({ result }) => result.kind === 'detected');
    expect(broken.map(({ site }) => site)).toEqual([{ kind: 'vertebra', level: 'L1' }]);
    const [l1] = broken;
    expect(l1!.result).toMatchObject({
      grades: [
        { scale: 'OVF class', value: '1', definition: 'ASTLOF morphology' },
        { scale: 'Genant', value: expect.stringMatching(/[123]/) as string },
      ],
    });
    expect(l1!.summary).toMatch(
      /^Suspected OVF class 1 at L1 \(ASTLOF morphology; synthetic-trained\), height loss \d+ %, Genant [123]$/,
    );
    expect(l1!.measurements.map(({ quantity }) => quantity)).toEqual([
      'height-loss',
      'anterior-height-loss',
      'middle-height-loss',
      'posterior-height-loss',
    ]);
    const [loss, ...places] = l1!.measurements;
    expect(loss!.interval![0]).toBeLessThan(loss!.value);
    expect(loss!.value).toBe(Math.max(...places.map(({ value }) => value)));
    expect(l1!.explanation!.bars.length).toBeGreaterThanOrEqual(1);
    const kinds = l1!.evidence!.shapes.map(({ kind, label }) => `${kind} ${label}`);
    expect(kinds).toEqual(
      expect.arrayContaining([
        'polygon L1',
        'line L1 anterior height',
        'line L1 middle height',
        'line L1 posterior height',
        'line usual anterior height of L1',
        'line usual middle height of L1',
        'line usual posterior height of L1',
      ]),
    );
    const sum = classes.reduce((total, name) => total + scores![`OVF class@L1=${name}`]!, 0);
    expect(sum).toBeCloseTo(1, 6);
  });

  test('a normal film clears each vertebra, with a class for each', async () => {
    const { findings } = await read(await pictureOf('normal'));
    expect(findings.filter(({ result }) => result.kind === 'detected')).toEqual([]);
    expect(at(findings, 'L3').result).toMatchObject({
      kind: 'not-detected',
      grades: [{ scale: 'OVF class', value: '0' }, {}],
    });
  });

  test('a body hollowed between whole walls is suspected by the height lost there, and its bar is drawn', async () => {
    const { rows, columns, values } = film;
    const { findings } = await read({ ...(await pictureOf('normal')), rows, columns, intensities: values });
    const l4 = at(findings, 'L4');
    const measured = (quantity: string) => l4.measurements.find((one) => one.quantity === quantity)!;
    const [whole, between] = [measured('height-loss'), measured('middle-height-loss')];
    expect(whole).toEqual({ ...between, quantity: 'height-loss' });
    expect(between.value).toBeGreaterThanOrEqual(20);
    for (const wall of ['anterior-height-loss', 'posterior-height-loss'])
      expect(measured(wall).interval![1]).toBeLessThan(20);
    expect(l4.result).toMatchObject({ kind: 'detected', grades: [{ value: '1' }, { scale: 'Genant', value: '2' }] });
    const bar = (label: string) => {
      const shape = l4.evidence!.shapes.find((one) => one.label === label);
      if (shape?.kind !== 'line') throw new Error(`no line ${label}`);
      return Math.hypot(shape.to[0] - shape.from[0], shape.to[1] - shape.from[1]);
    };
    expect(bar('L4 middle height')).toBeLessThan(0.85 * bar('L4 anterior height'));
    expect(bar('L4 middle height') / bar('usual middle height of L4')).toBeCloseTo(1 - between.value / 100, 6);
  });

  test('a film from the front is refused as a whole', async () => {
    const { findings } = await read(await pictureOf('wrong-view'));
    expect(findings).toMatchObject([
      { concept: 'view-and-quality', site: { kind: 'image' }, result: { kind: 'not-assessable' } },
    ]);
  });

  test('a vertebra that the edge cuts is not judged, the others are', async () => {
    const whole = await pictureOf('normal');
    const { findings: before } = await read(whole);
    const outline = at(before, 'L1').evidence!.shapes.find(({ kind }) => kind === 'polygon');
    if (outline?.kind !== 'polygon') throw new Error('no outline');
    const top = Math.round(Math.min(...outline.points.map(([, y]) => y)) + 12);
    const cutOff: GreyImage = {
      ...whole,
      rows: whole.rows - top,
      intensities: whole.intensities.subarray(top * whole.columns),
    };
    const { findings } = await read(cutOff);
    expect(at(findings, 'L1').result).toMatchObject({ kind: 'not-assessable', reason: 'level-not-visible' });
    expect(['not-detected', 'measured']).toContain(at(findings, 'L4').result.kind);
  });
});
