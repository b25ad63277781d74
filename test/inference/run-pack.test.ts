/** Packs of several networks on real ONNX Runtime: chains, regions, batches, calibration, explanations, and their faults. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { FindingDraft, OverlayShape } from '../../src/domain/finding.ts';
import { defineChain, definePack, type NetworkAnswer, type Region } from '../../src/kit/model-pack.ts';
import { picture } from './fixture-pack.ts';
import { manifestOf, runHere } from './pack-in-process.ts';

const told = (summary: string, shapes: readonly OverlayShape[] = []): FindingDraft[] => [
  {
    concept: 'view-and-quality',
    site: { kind: 'image' },
    result: { kind: 'measured' },
    measurements: [],
    summary: summary || 'nothing to tell',
    ...(shapes.length > 0 && { evidence: { sopUid: '1.2.3.4.5' as never, frame: 0, shapes } }),
  },
];

const whole = { type: 'float32', shape: ['n', 1, 8, 8], preprocess: [{ step: 'resize', height: 8, width: 8 }] };
const part = { type: 'float32', shape: ['n', 1, 8, 8], preprocess: [{ step: 'region', height: 8, width: 8 }] };
const router = {
  onnx: 'moments',
  inputs: { image: whole },
  outputs: { moments: { type: 'float32', shape: ['n', 2] } },
};
const crops = { onnx: 'same', inputs: { image: part }, outputs: { same: { type: 'float32', shape: ['n', 1, 8, 8] } } };
const ramp = picture(64, 48, (x, y) => (x + 48 * y) / 3072);
const dark = picture(64, 48, () => 0);

describe('a chain of networks', () => {
  const chain = defineChain(
    { networks: { router: { outputs: { moments: {} } }, crops: { outputs: { same: {} } } } },
    {
      async read({ run, image }) {
        const { outputs } = await run('router');
        if (outputs.moments.data[0]! < 1) return told('too dark');
        const regions = [
          { label: 'upper', centre: [12, 20], width: 8, height: 8 },
          { label: 'lower', centre: [40, 52], width: 8, height: 8 },
        ] as const;
        const seen = await run('crops', { regions });
        const places = regions.map((_, item) => seen.toImage(-0.5, -0.5, item));
        return told(
          JSON.stringify({
            first: seen.outputs.same.data[0],
            last: seen.outputs.same.data.at(-1),
            places,
            rows: image.rows,
          }),
        );
      },
    },
  );

  test('shows the second network the parts that the first one led to, from the picture at its own resolution', async () => {
    const manifest = await manifestOf({ router, crops });
    const { findings, seen } = await runHere(manifest, chain as never, [ramp]);
    const { first, last, places, rows } = JSON.parse(findings[0]!.summary) as Record<string, never>;
    expect(first).toBeCloseTo((8 + 48 * 16) / 3072, 6);
    expect(last).toBeCloseTo((43 + 48 * 55) / 3072, 6);
    expect(places).toEqual([
      [8, 16],
      [36, 48],
    ]);
    expect(rows).toBe(64);
    expect(seen.map(({ network }) => network)).toEqual(['router', 'crops']);
    expect(seen[1]!.regions.map(({ label }) => label)).toEqual(['upper', 'lower']);
  });

  test('does not run what the pack decides against', async () => {
    const manifest = await manifestOf({ router, crops });
    const { findings, runs } = await runHere(manifest, chain as never, [dark]);
    expect(findings[0]!.summary).toBe('too dark');
    expect(runs).toBe(1);
  });

  const with_ = (on: { regions?: readonly Region[] }, tell: (answer: NetworkAnswer) => string) => ({
    async read({ run }: { run: (name: string, on: object) => Promise<NetworkAnswer> }) {
      return told(tell(await run('crops', on)));
    },
  });

  test('gives empty tensors for no region, without a run', async () => {
    const manifest = await manifestOf({ crops });
    const pack = with_(
      { regions: [] },
      ({ outputs, items }) => `${items} ${outputs['same']!.dims} ${outputs['same']!.data.length}`,
    );
    const { findings, runs } = await runHere(manifest, pack as never, [ramp]);
    expect(findings[0]!.summary).toBe('0 0,1,8,8 0');
    expect(runs).toBe(0);
  });

  test('runs two hundred regions in turns of as many as the network takes, in their order', async () => {
    const manifest = await manifestOf({ crops: { ...crops, hardware: { most: 64 } } });
    const regions = Array.from({ length: 200 }, (_, index): Region => ({
      centre: [4 + (index % 40), 4 + Math.floor(index / 40)],
      width: 8,
      height: 8,
    }));
    const pack = with_({ regions }, ({ outputs }) =>
      JSON.stringify(regions.map((_, item) => Math.round(outputs['same']!.data[item * 64]! * 3072))),
    );
    const {
      findings: [told_],
      runs,
    } = await runHere(
      manifest,
      {
        read: async (reading: never) =>
          (await pack.read(reading)).map((one) => ({ ...one, summary: one.summary.slice(0, 60) })),
      } as never,
      [ramp],
    );
    expect(told_!.summary.startsWith('[0,1,2,3,4,5,6,7,8,9,10')).toBe(true);
    expect(runs).toBe(4);
  });

  test.each([
    [
      'more regions than any picture has',
      { regions: Array.from({ length: 300 }, () => ({ centre: [1, 1], width: 1, height: 1 })) },
      '300 regions',
    ],
    [
      'a region without a place',
      { regions: [{ label: 'L3', centre: [NaN, 1], width: 1, height: 1 }] },
      'the region L3 has no size or no place',
    ],
    ['no regions where they are needed', {}, 'without regions'],
  ])('refuses %s, naming it', async (_, on, words) => {
    const manifest = await manifestOf({ crops });
    const run = runHere(manifest, with_(on as never, () => '') as never, [ramp]);
    await expect(run).rejects.toMatchObject({
      code: 'model.postprocess-failed',
      detail: expect.stringContaining(words) as string,
    });
  });

  test('takes numbers from the pack where a tensor is no picture, and whole numbers for what counts', async () => {
    const one = { ...part, shape: [1, 1, 8, 8] };
    const both = {
      onnx: 'sum-of-two',
      inputs: {
        image: { ...one, preprocess: [{ step: 'resize', height: 8, width: 8 }] },
        features: { type: 'float32', shape: [1, 1] },
      },
      outputs: { sum: { type: 'float32', shape: [1, 1] }, counts: { type: 'int64', shape: [1, 1] } },
    };
    const manifest = await manifestOf({ both });
    const pack = (features: object) => ({
      async read({ run }: { run: (name: string, on: object) => Promise<NetworkAnswer> }) {
        const { outputs } = await run('both', { feeds: { features } });
        return told(`${outputs['sum']!.data[0]} ${outputs['counts']!.data[0]}`);
      },
    });
    const bright = picture(8, 8, () => 0.5);
    const { findings } = await runHere(manifest, pack({ dims: [1, 1], data: [10] }) as never, [bright]);
    expect(findings[0]!.summary).toBe('42 32');
    await expect(runHere(manifest, pack({ dims: [1, 2], data: [10, 11] }) as never, [bright])).rejects.toMatchObject({
      code: 'model.postprocess-failed',
      detail: 'features was given 2 numbers as [1, 2], it takes [1, 1]',
    });
    await expect(runHere(manifest, pack({ dims: [1, 1], data: [NaN] }) as never, [bright])).rejects.toMatchObject({
      code: 'model.postprocess-failed',
    });
  });

  test('looks at the own pixels of the picture where the manifest says so, and nowhere else', async () => {
    const pack = {
      async read({
        pixels,
        grey,
      }: {
        pixels: (region: Region, size: object) => Float32Array;
        grey: () => { columns: number; values: Float32Array };
      }) {
        const [pixel] = pixels({ centre: [20.5, 30.5], width: 1, height: 1 }, { height: 1, width: 1 });
        const { columns, values } = grey();
        return told(String(values[30 * columns + 20] === pixel && Math.round(pixel! * 3072)));
      },
    };
    const native = await manifestOf({ router }, { picture: 'native' });
    expect((await runHere(native, pack as never, [ramp])).findings[0]!.summary).toBe(String(20 + 48 * 30));
    await expect(runHere(await manifestOf({ router }), pack as never, [ramp])).rejects.toMatchObject({
      code: 'model.postprocess-failed',
      detail: expect.stringContaining('"picture": "native"') as string,
    });
  });

  test('is not asked about a picture of one pixel', async () => {
    const dot = picture(1, 1, () => 1);
    await expect(runHere(await manifestOf({ router }), chain as never, [dot])).rejects.toMatchObject({
      code: 'model.picture-unusable',
      detail: '1 x 1 pixels are too few',
    });
  });

  test('that asks for a network it does not have fails with its name', async () => {
    const pack = { read: ({ run }: { run: (name: string) => Promise<never> }) => run('judge') };
    await expect(runHere(await manifestOf({ router }), pack as never, [ramp])).rejects.toMatchObject({
      code: 'model.run-failed',
      detail: 'in-process has no network called judge',
    });
  });
});

describe('a series as a whole', () => {
  const slices = (count: number) => Array.from({ length: count }, (_, index) => picture(8, 8, () => index / 256));
  const stack = (most: number) => ({
    ...router,
    inputs: { image: { ...whole, preprocess: [{ step: 'stack', as: 'batch', most }, ...whole.preprocess] } },
  });
  const pooled = definePack(
    { outputs: { moments: {} } },
    {
      postprocess: ({ outputs, items, pictures }) => told(`${items} ${pictures.length} ${outputs.moments.data.at(-2)}`),
    },
  );

  test('is one batch, pooled by the pack, however many turns it takes', async () => {
    const { findings, runs } = await runHere(await manifestOf({ main: stack(128) }), pooled as never, slices(100));
    expect(findings[0]!.summary).toBe(`100 100 ${(99 / 256) * 64}`);
    expect(runs).toBe(2);
  });

  test('of two hundred is refused by a pack that takes fewer, and a single-picture pack refuses any series', async () => {
    await expect(runHere(await manifestOf({ main: stack(128) }), pooled as never, slices(200))).rejects.toMatchObject({
      code: 'model.picture-unusable',
    });
    await expect(runHere(await manifestOf({ main: router }), pooled as never, slices(2))).rejects.toMatchObject({
      code: 'model.run-failed',
      detail: 'in-process reads one picture at a time, not 2',
    });
  });
});

describe('the numbers of a tensor', () => {
  const numbers = definePack(
    { outputs: { same: {} } },
    { postprocess: ({ outputs }) => told([...outputs.same.data.subarray(0, 6)].join()) },
  );

  test('go in as bytes with the channels last', async () => {
    const image = {
      type: 'uint8',
      layout: 'NHWC',
      shape: ['n', 8, 8, 3],
      preprocess: [
        { step: 'resize', height: 8, width: 8 },
        { step: 'scale', by: 300 },
      ],
    };
    const manifest = await manifestOf({
      main: { onnx: 'bytes', inputs: { image }, outputs: { same: { type: 'float32', shape: ['n', 8, 8, 3] } } },
    });
    // Rounded, cut off at 255, and the grey picture in all three channels.
    const { findings } = await runHere(manifest, numbers as never, [picture(8, 8, (x) => (x === 0 ? 0.1717 : 1))]);
    expect(findings[0]!.summary).toBe('52,52,52,255,255,255');
  });

  test('go in at half precision', async () => {
    const image = { ...whole, type: 'float16' };
    const manifest = await manifestOf({
      main: { onnx: 'half', inputs: { image }, outputs: { same: { type: 'float32', shape: ['n', 1, 8, 8] } } },
    });
    const { findings } = await runHere(manifest, numbers as never, [picture(8, 8, (x) => x / 3)]);
    expect(findings[0]!.summary.split(',').slice(0, 3).map(Number)).toEqual([0, 0.333251953125, 0.66650390625]);
  });
});

describe('calibration', () => {
  const logits = picture(8, 8, (x, y) => (y > 0 ? 0 : [2, -1, 0.5, 0, 0, 0, 0, 0][x]!));
  const classes = { ...whole, shape: ['n', 1, 8, 8] };
  const calibrated = async (calibration: object, labels?: string[]) => {
    const same = { type: 'float32', shape: ['n', 1, 8, 8], calibration, ...(labels && { labels }) };
    const manifest = await manifestOf({ main: { onnx: 'same', inputs: { image: classes }, outputs: { same } } });
    let seen: { data: number[]; calibrated: number[] } | undefined;
    const pack = {
      postprocess({ outputs }: { outputs: { same: { data: Float32Array; calibrated: Float32Array } } }) {
        seen = { data: [...outputs.same.data.subarray(0, 3)], calibrated: [...outputs.same.calibrated.subarray(0, 3)] };
        return told('');
      },
    };
    await runHere(manifest, pack as never, [logits]);
    return seen!;
  };
  const rounded = (values: readonly number[]): number[] => values.map((value) => Math.round(value * 1e6) / 1e6);

  test('by temperature, and the raw answer stays beside it', async () => {
    const { data, calibrated: found } = await calibrated({
      method: 'temperature',
      temperature: 2,
      activation: 'sigmoid',
      fittedOn: 'validation',
    });
    expect(data).toEqual([2, -1, 0.5]);
    expect(rounded(found)).toEqual(rounded([1, -0.5, 0.25].map((value) => 1 / (1 + Math.exp(-value)))));
  });
  test('by Platt', async () => {
    const { calibrated: found } = await calibrated({
      method: 'platt',
      slope: 1.5,
      intercept: -0.5,
      fittedOn: 'validation',
    });
    expect(rounded(found)).toEqual(rounded([2.5, -2, 0.25].map((value) => 1 / (1 + Math.exp(-value)))));
  });
  test('by isotonic steps, level beyond their ends', async () => {
    const { calibrated: found } = await calibrated({
      method: 'isotonic',
      activation: 'none',
      x: [0, 1],
      y: [0.2, 0.8],
      fittedOn: 'validation',
    });
    expect(rounded(found)).toEqual([0.8, 0.2, 0.5]);
  });
  test('by temperature over the classes of each picture', async () => {
    const moments = {
      type: 'float32',
      shape: ['n', 2],
      labels: ['a', 'b'],
      calibration: { method: 'temperature', temperature: 4, activation: 'softmax', fittedOn: 'validation' },
      thresholds: { screening: { a: 0.2, b: 0.8 } },
    };
    const manifest = await manifestOf({ main: { ...router, outputs: { moments } } }, { operatingPoint: 'screening' });
    let seen: { calibrated: Float32Array; data: Float32Array; threshold: object } | undefined;
    const pack = {
      postprocess: ({ outputs }: { outputs: { moments: typeof seen } }) => ((seen = outputs.moments), told('')),
    };
    await runHere(manifest, pack as never, [picture(8, 8, (x) => (x === 1 ? 0.25 : 0))]);
    expect([...seen!.data]).toEqual([2, 2]);
    expect([...seen!.calibrated]).toEqual([0.5, 0.5]);
    expect(seen!.threshold).toEqual({ a: 0.2, b: 0.8 });
  });
});

describe('explanations', () => {
  const known = JSON.parse(readFileSync(new URL('../fixtures/onnx/cam.expected.json', import.meta.url), 'utf8')) as {
    readonly image: readonly number[];
    readonly maps: Readonly<Record<string, readonly number[]>>;
  };
  const net = (preprocess: readonly object[]) => ({
    onnx: 'cam',
    inputs: { image: { type: 'float32', shape: ['n', 1, 32, 24], preprocess } },
    outputs: {
      logits: { type: 'float32', shape: ['n', 2] },
      cam: { type: 'float32', shape: ['n', 2, 8, 6], labels: ['bright', 'other'] },
    },
  });
  const map = { explanation: { map: { kind: 'cam', output: 'cam', label: 'bright' } } };
  type Heatmap = Extract<OverlayShape, { kind: 'heatmap' }>;
  const mapOf = async (preprocess: readonly object[], image: ReturnType<typeof picture>, which: object = {}) => {
    let found: OverlayShape[] = [];
    const pack = { postprocess: ({ shapes }: NetworkAnswer) => ((found = shapes('map', which)), told('', found)) };
    await runHere(await manifestOf({ main: net(preprocess) }, map), pack as never, [image]);
    return found[0] as Heatmap;
  };

  test.each(['0', '1'])('give the map of class %s in one pass as autograd does in training', async (label) => {
    const image = picture(32, 24, (x, y) => known.image[y * 24 + x]!);
    const { values, rows, columns, corners } = await mapOf([{ step: 'resize', height: 32, width: 24 }], image, {
      label: label === '0' ? 'bright' : 'other',
    });
    expect([rows, columns]).toEqual([8, 6]);
    expect(corners).toEqual([
      [0, 0],
      [24, 0],
      [0, 32],
    ]);
    const wanted = known.maps[label]!;
    const most = Math.max(...wanted);
    // Kept to three digits: a map is looked at.
    for (const [index, value] of values.entries())
      expect(Math.abs(value - wanted[index]! / most)).toBeLessThanOrEqual(5.1e-4);
  });

  test('exactly: the tensor itself equals Grad-CAM to 4e-6', async () => {
    const image = picture(32, 24, (x, y) => known.image[y * 24 + x]!);
    let cam: readonly number[] = [];
    const pack = { postprocess: ({ outputs }: NetworkAnswer) => ((cam = [...outputs['cam']!.data]), told('')) };
    await runHere(await manifestOf({ main: net([{ step: 'resize', height: 32, width: 24 }]) }), pack as never, [image]);
    for (const label of [0, 1]) {
      const wanted = known.maps[label]!;
      const most = Math.max(...wanted);
      const far = wanted.map((value, place) => Math.abs(Math.max(cam[label * 48 + place]!, 0) / 48 - value) / most);
      expect(Math.max(...far)).toBeLessThanOrEqual(4e-6);
    }
  });

  test.each([
    ['a letterbox', [{ step: 'letterbox', height: 32, width: 24, filter: 'area' }]],
    [
      'a crop of the middle',
      [
        { step: 'resize', shortestSide: 40 },
        { step: 'centre-crop', height: 32, width: 24 },
      ],
    ],
    [
      'a flip',
      [
        { step: 'orient', flip: 'left-right', when: 'always' },
        { step: 'resize', height: 32, width: 24 },
      ],
    ],
  ])('lie on the bright spot of the picture through %s', async (_, preprocess) => {
    const spot = [95, 130];
    const image = picture(240, 200, (x, y) => (Math.hypot(x - spot[0]!, y - spot[1]!) < 9 ? 1 : 0));
    const {
      values,
      rows,
      columns,
      corners: [[x0, y0], [x1, y1], [x2, y2]],
    } = await mapOf(preprocess, image);
    let [sum, x, y] = [0, 0, 0];
    values.forEach((value, index) => {
      const [u, v] = [((index % columns) + 0.5) / columns, (Math.floor(index / columns) + 0.5) / rows];
      sum += value;
      x += value * (x0 + (x1 - x0) * u + (x2 - x0) * v);
      y += value * (y0 + (y1 - y0) * u + (y2 - y0) * v);
    });
    // Half a cell of the map, which is five to ten picture pixels here.
    const cell = Math.hypot(x1 - x0, y1 - y0) / columns;
    expect(Math.abs(x / sum - spot[0]! - 0.5)).toBeLessThan(cell / 2);
    expect(Math.abs(y / sum - spot[1]! - 0.5)).toBeLessThan(cell / 2);
  });

  test('draw a mask as outlines around what lies above the threshold', async () => {
    const manifest = await manifestOf(
      { main: { ...crops, inputs: { image: whole } } },
      { explanation: { bone: { kind: 'mask', output: 'same', label: 'bone', threshold: 0.5 } } },
    );
    let found: OverlayShape[] = [];
    const pack = { postprocess: ({ shapes }: NetworkAnswer) => ((found = shapes('bone')), told('')) };
    // 80 x 80: the tensor's pixel is ten of the picture's.
    const image = picture(80, 80, (x, y) => (x >= 20 && x < 50 && y >= 30 && y < 60 ? 1 : 0));
    await runHere(manifest, pack as never, [image]);
    expect(found).toHaveLength(1);
    const [shape] = found;
    if (shape?.kind !== 'polygon') throw new Error('an outline is a polygon');
    const [xs, ys] = [shape.points.map(([x]) => x), shape.points.map(([, y]) => y)];
    for (const [value, wanted] of [
      [Math.min(...xs), 20],
      [Math.max(...xs), 50],
      [Math.min(...ys), 30],
      [Math.max(...ys), 60],
    ] as const)
      expect(Math.abs(value - wanted)).toBeLessThanOrEqual(1.5);
  });

  test('that the manifest does not declare cannot be asked for', async () => {
    const pack = { postprocess: ({ shapes }: NetworkAnswer) => told('', shapes('dream')) };
    await expect(
      runHere(await manifestOf({ main: net([{ step: 'resize', height: 32, width: 24 }]) }, map), pack as never, [ramp]),
    ).rejects.toMatchObject({
      code: 'model.postprocess-failed',
      detail: expect.stringContaining('"dream"') as string,
    });
  });
});

describe('a window in Hounsfield units', () => {
  const bone = {
    ...whole,
    preprocess: [
      { step: 'window', unit: 'HU', from: -200, to: 800 },
      { step: 'resize', height: 8, width: 8 },
    ],
  };
  const net = { onnx: 'same', inputs: { image: bone }, outputs: { same: { type: 'float32', shape: ['n', 1, 8, 8] } } };
  const first = definePack(
    { outputs: { same: {} } },
    { postprocess: ({ outputs }) => told(outputs.same.data[0]!.toFixed(3)) },
  );

  test('is cut from what a CT measured, not from what its own window shows', async () => {
    const ct = { ...picture(8, 8, () => 1), hounsfield: () => new Float32Array(64).fill(300) };
    expect((await runHere(await manifestOf({ main: net }), first as never, [ct])).findings[0]!.summary).toBe('0.500');
  });

  test('is not cut from a radiograph', async () => {
    await expect(runHere(await manifestOf({ main: net }), first as never, [ramp])).rejects.toMatchObject({
      code: 'model.picture-unusable',
      detail: expect.stringContaining('no Hounsfield units') as string,
    });
  });
});
