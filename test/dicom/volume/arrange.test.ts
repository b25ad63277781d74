/** Stacks from headers: ordered by where slices lie, taken apart where they differ, with everything left out explained. */
import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { arrangeSeries } from '../../../src/dicom/volume/arrange.ts';
import { metadataOfFile } from '../../../src/dicom/volume/file-metadata.ts';
import { seriesUid, sopUid } from '../../../src/domain/ids.ts';
import type { Arrangement, Stack } from '../../../src/domain/slice.ts';
import type { InstanceMetadata } from '../../../src/domain/study.ts';
import {
  axial,
  coronal,
  dicomFile,
  enhanced,
  phantomStudy,
  sagittal,
  sagittalStack,
  slice,
  type Elements,
} from '../../support/slices.ts';

const series = `${phantomStudy}.1`;

async function arranged(files: readonly Uint8Array[]): Promise<Arrangement> {
  const objects = await Promise.all(files.map(async (file) => (await metadataOfFile(file))!));
  return arrangeSeries(seriesUid(series), objects);
}
const numbersOf = (stack: Stack | undefined) => stack?.slices.map(({ sopUid }) => Number(sopUid.split('.').at(-1)));
/** Mixed as an archive might give them, the same each time. */
const mixed = <One>(all: readonly One[]): One[] =>
  all.toSorted((a, b) => ((all.indexOf(a) * 7) % 5) - ((all.indexOf(b) * 7) % 5));

type Known = {
  readonly name: string;
  readonly slices: readonly {
    readonly sopUid: string;
    readonly instanceNumber: number;
    readonly orientation: readonly number[];
    readonly position: readonly number[];
    readonly pixelSpacing: readonly number[];
  }[];
  readonly plane: string;
  readonly order: readonly string[];
  readonly positionsMm: readonly number[];
  readonly spacingMm: number;
  readonly obliqueDegrees: number;
  readonly tiltDegrees: number;
  readonly affine: readonly (readonly number[])[];
};
const knownAnswers = JSON.parse(
  readFileSync(new URL('../../fixtures/volume/known-answers.json', import.meta.url), 'utf8'),
) as readonly Known[];

describe('stacks of known geometry, answers from pydicom and nibabel’s formula', () => {
  test.each(knownAnswers.map((known) => [known.name, known] as const))('%s', async (_, known) => {
    const { stacks, dropped } = await arranged(
      known.slices.map(({ sopUid, instanceNumber, orientation, position, pixelSpacing }) =>
        slice({
          number: instanceNumber,
          position,
          orientation,
          with: { SOPInstanceUID: sopUid, PixelSpacing: pixelSpacing },
        }),
      ),
    );
    expect(dropped).toEqual([]);
    expect(stacks).toHaveLength(1);
    const [stack] = stacks as [Stack];
    expect(stack.slices.map(({ sopUid }) => sopUid)).toEqual(known.order);
    expect(stack.plane).toBe(known.plane);
    expect(stack.orderedBy).toBe('position');
    expect(stack.spacingMm).toBeCloseTo(known.spacingMm, 4);
    expect(stack.obliqueDegrees).toBeCloseTo(known.obliqueDegrees, 3);
    stack.slices.forEach(({ positionMm }, at) => expect(positionMm).toBeCloseTo(known.positionsMm[at]!, 3));
    // Less than half a degree is rounding.
    expect(stack.tiltDegrees ?? 0).toBeCloseTo(known.tiltDegrees > 0.5 ? known.tiltDegrees : 0, 3);
    stack.affine!.flat().forEach((value, at) => expect(value).toBeCloseTo(known.affine.flat()[at]!, 3));
    expect(stack.gaps).toEqual([]);
  });
});

describe('order and holes', () => {
  test('follows places, not instance numbers, from the patient’s right to the left', async () => {
    const { stacks, remarks } = await arranged(mixed(sagittalStack(9)));
    expect(numbersOf(stacks[0])).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1]);
    expect(remarks).toEqual([]);
  });

  test('says where slices are missing, and how many', async () => {
    const files = sagittalStack(12).filter((_, index) => index !== 4 && index !== 8 && index !== 9);
    const { stacks, remarks } = await arranged(mixed(files));
    expect(stacks[0]!.gaps).toEqual([
      { afterIndex: 3, distanceMm: 8, missing: 1 },
      { afterIndex: 6, distanceMm: 12, missing: 2 },
    ]);
    expect(stacks[0]!.spacingMm).toBe(4);
    expect(stacks[0]!.affine).toBeUndefined();
    expect(remarks).toEqual(['1 slice missing after slice 4 (8.0 mm)', '2 slices missing after slice 7 (12.0 mm)']);
  });

  test('says when distances are uneven without a hole', async () => {
    const { stacks, remarks } = await arranged(
      sagittalStack(8, { more: (index) => (index === 3 ? { position: [-17, -100, 150] } : {}) }),
    );
    expect(stacks[0]!.gaps).toEqual([]);
    expect(stacks[0]!.irregularityMm).toBeCloseTo(1);
    expect(remarks).toEqual(['distances differ by up to 1.00 mm from the usual 4.00 mm']);
  });

  test('falls back to Slice Location, then to Instance Number, and says so', async () => {
    const without = (index: number): Elements => ({
      ImagePositionPatient: undefined,
      ImageOrientationPatient: undefined,
      SliceLocation: index * 4,
    });
    const located = await arranged(mixed(sagittalStack(5, { more: (index) => ({ with: without(index) }) })));
    expect(located.stacks[0]).toMatchObject({ orderedBy: 'slice-location', spacingMm: 4 });
    expect(numbersOf(located.stacks[0])).toEqual([5, 4, 3, 2, 1]);
    expect(located.stacks[0]!.plane).toBeUndefined();

    const nothing = await arranged(
      mixed(sagittalStack(5, { more: (index) => ({ with: { ...without(index), SliceLocation: undefined } }) })),
    );
    expect(nothing.stacks[0]!.orderedBy).toBe('instance-number');
    expect(numbersOf(nothing.stacks[0])).toEqual([1, 2, 3, 4, 5]);
    expect(nothing.remarks).toEqual(['Image Position (Patient) is missing: the order is that of Instance Number']);
  });

  test('believes Slice Locations where a broken export gives every slice one position', async () => {
    const { stacks, remarks } = await arranged(
      sagittalStack(5, {
        more: (index) => ({ position: [0, -100, 150], with: { SliceLocation: index * 4 } }),
      }),
    );
    expect(stacks[0]).toMatchObject({ orderedBy: 'slice-location', plane: 'sagittal' });
    expect(numbersOf(stacks[0])).toEqual([5, 4, 3, 2, 1]);
    expect(remarks[0]).toContain('Slice Locations');
  });

  test('does not trust directions that are not at right angles', async () => {
    const { stacks } = await arranged(sagittalStack(3, { more: () => ({ orientation: [0, 1, 0, 0, 0.7, -0.7] }) }));
    expect(stacks[0]!.orderedBy).toBe('instance-number');
  });

  test('straightens directions that were rounded', async () => {
    const { stacks } = await arranged(sagittalStack(3, { more: () => ({ orientation: [0, 1, 0, 0, 0.01, -0.99] }) }));
    expect(stacks[0]).toMatchObject({ orderedBy: 'position', plane: 'sagittal' });
  });
});

describe('what is left out', () => {
  test('copies of a slice, of which the first is kept', async () => {
    const copies = sagittalStack(6).concat(
      slice({ number: 40, position: [-30 + 8, -100, 150] }),
      slice({ number: 41, position: [-30 + 8.01, -100, 150] }),
    );
    const { stacks, dropped } = await arranged(mixed(copies));
    expect(numbersOf(stacks[0])).toEqual([6, 5, 4, 3, 2, 1]);
    expect(dropped.map(({ sopUid, why }) => [sopUid.split('.').at(-1), why])).toEqual([
      ['40', 'another slice lies at the same place'],
      ['41', 'another slice lies at the same place'],
    ]);
  });

  test('an object that is listed twice counts once', async () => {
    const files = sagittalStack(4);
    const { stacks, dropped, remarks } = await arranged([...files, files[0]!]);
    expect(stacks[0]!.slices).toHaveLength(4);
    expect(dropped).toEqual([]);
    expect(remarks).toEqual(['1 objects are listed twice']);
  });

  test('localisers among the slices, by Image Type', async () => {
    const scout = slice({
      number: 50,
      orientation: coronal,
      position: [-100, 0, 100],
      with: { ImageType: ['ORIGINAL', 'PRIMARY', 'LOCALIZER'] },
    });
    const { stacks, dropped } = await arranged([scout, ...sagittalStack(5)]);
    expect(stacks).toHaveLength(1);
    expect(dropped).toEqual([{ sopUid: `${series}.50`, frame: 0, why: 'Image Type says LOCALIZER' }]);
  });

  test('a scout in three directions, whatever it is called', async () => {
    const three = [sagittal, axial, coronal].flatMap((orientation, direction) =>
      [0, 1, 2].map((at) =>
        slice({
          number: direction * 3 + at + 1,
          orientation,
          position: [-at * 10, at * 10, at * 10],
          with: { SeriesDescription: 'L-spine' },
        }),
      ),
    );
    const { stacks, dropped } = await arranged(three);
    expect(stacks).toEqual([]);
    expect(dropped).toHaveLength(9);
    expect(dropped[0]!.why).toBe('three directions across each other in one series: a scout');
  });

  test.each(['3-plane Loc', 'Scout', 'localizador', 'Localizer', 'repérage', 'AAHScout', 'SURVEY'])(
    'a few slices called "%s"',
    async (SeriesDescription) => {
      const { stacks, dropped } = await arranged(sagittalStack(3, { more: () => ({ with: { SeriesDescription } }) }));
      expect(stacks).toEqual([]);
      expect(dropped[0]!.why).toContain(SeriesDescription);
    },
  );

  test('but not twenty parallel slices that somebody called so', async () => {
    const { stacks, remarks } = await arranged(
      sagittalStack(20, { more: () => ({ with: { SeriesDescription: 'SAG T2 LOC' } }) }),
    );
    expect(stacks[0]!.slices).toHaveLength(20);
    expect(remarks[0]).toContain('more than a scout has');
  });

  test('slices that do not say where they lie, beside others that do; pages in colour; objects without a picture', async () => {
    const nowhere = slice({ number: 60 });
    const page = slice({ number: 61, position: [0, 0, 0], with: { SamplesPerPixel: 3 } });
    const report = dicomFile({
      SOPClassUID: '1.2.840.10008.5.1.4.1.1.88.11',
      SOPInstanceUID: `${series}.62`,
      SeriesInstanceUID: series,
      StudyInstanceUID: phantomStudy,
      Modality: 'SR',
    });
    const { stacks, dropped } = await arranged([nowhere, page, report, ...sagittalStack(5)]);
    expect(stacks[0]!.slices).toHaveLength(5);
    expect(Object.fromEntries(dropped.map(({ sopUid, why }) => [sopUid.split('.').at(-1), why]))).toEqual({
      60: 'Image Position or Orientation (Patient) is missing where others have it',
      61: 'it is in colour',
      62: 'it is no picture',
    });
  });
});

describe('series that are more than one stack', () => {
  const apart = ({ stacks }: Arrangement) => stacks.map((stack) => [stack.slices.length, stack.apartBy]);

  test('two directions', async () => {
    const across = Array.from({ length: 4 }, (_, index) =>
      slice({ number: 30 + index, orientation: axial, position: [-80, -80, index * 5] }),
    );
    const found = await arranged(mixed([...sagittalStack(7), ...across]));
    expect(apart(found)).toEqual([
      [7, 'direction sagittal, 0° off'],
      [4, 'direction axial, 0° off'],
    ]);
    expect(found.remarks[0]).toBe(
      '2 stacks in one series: 7 with direction sagittal, 0° off; 4 with direction axial, 0° off',
    );
  });

  test('slices that follow the discs', async () => {
    const blocks = [0, 12, 25].flatMap((degrees, disc) => {
      const angle = (degrees * Math.PI) / 180;
      return [0, 1, 2, 3].map((at) =>
        slice({
          number: disc * 4 + at + 1,
          orientation: [1, 0, 0, 0, Math.cos(angle), Math.sin(angle)],
          position: [-80, -80 - at * 4 * Math.sin(angle), -disc * 40 + at * 4 * Math.cos(angle)],
        }),
      );
    });
    const found = await arranged(mixed(blocks));
    expect(found.stacks.map(({ slices, plane }) => [slices.length, plane])).toEqual([
      [4, 'axial'],
      [4, 'axial'],
      [4, 'axial'],
    ]);
    expect(found.stacks.map(({ obliqueDegrees }) => Math.round(obliqueDegrees!)).toSorted((a, b) => a - b)).toEqual([
      0, 12, 25,
    ]);
  });

  test.each<readonly [string, (second: boolean) => Elements, readonly string[]]>([
    ['two echoes', (second) => ({ EchoTime: second ? 90 : 12 }), ['echo 12 ms', 'echo 90 ms']],
    [
      'two echo numbers without times',
      (second) => ({ EchoTime: undefined, EchoNumbers: second ? 2 : 1 }),
      ['echo 1', 'echo 2'],
    ],
    ['two times', (second) => ({ TemporalPositionIdentifier: second ? 2 : 1 }), ['time 1', 'time 2']],
    ['two b-values', (second) => ({ DiffusionBValue: second ? 800 : 0 }), ['b-value 0', 'b-value 800']],
    [
      'two patient frames',
      (second) => ({ FrameOfReferenceUID: second ? '1.2.2' : '1.2.1' }),
      ['frame of reference 1.2.1', 'frame of reference 1.2.2'],
    ],
    [
      'water and fat images',
      (second) => ({ ImageType: ['DERIVED', 'PRIMARY', 'DIXON', second ? 'WATER' : 'FAT'] }),
      ['image type DIXON FAT', 'image type DIXON WATER'],
    ],
    [
      'two inversion times',
      (second) => ({ InversionTime: second ? 2000 : 160 }),
      ['inversion time 160 ms', 'inversion time 2000 ms'],
    ],
    [
      'two pixel sizes',
      (second) => ({ PixelSpacing: second ? [1, 1] : [0.5, 0.5] }),
      ['pixel size 0.5 × 0.5', 'pixel size 1 × 1'],
    ],
  ])('%s', async (_, differing, names) => {
    const files = [false, true].flatMap((second) =>
      sagittalStack(5, {
        more: (index) => ({ number: (second ? 20 : 1) + index, with: differing(second) }),
      }),
    );
    const found = await arranged(mixed(files));
    expect(found.dropped).toEqual([]);
    expect(apart(found).toSorted()).toEqual(names.map((name) => [5, name]));
    for (const stack of found.stacks) expect(stack.spacingMm).toBe(4);
  });

  test('a slice that says nothing of its echo joins the only echo there is', async () => {
    const { stacks } = await arranged(
      sagittalStack(5, { more: (index) => (index === 2 ? { with: { EchoTime: undefined } } : {}) }),
    );
    expect(stacks.map(({ slices }) => slices.length)).toEqual([5]);
  });

  test('passes over the same places, told apart by acquisition', async () => {
    const files = [1, 2, 3].flatMap((pass) =>
      sagittalStack(4, {
        more: (index) => ({ number: pass * 10 + index, with: { AcquisitionNumber: pass } }),
      }),
    );
    const found = await arranged(mixed(files));
    expect(found.dropped).toEqual([]);
    expect(found.stacks.map(numbersOf)).toEqual([
      [10, 11, 12, 13],
      [20, 21, 22, 23],
      [30, 31, 32, 33],
    ]);
    expect(found.stacks[1]!.apartBy).toBe('pass 2 of 3');
  });

  test('two stations of a spine with the same places along the normal', async () => {
    const upper = sagittalStack(5, {
      more: (index) => ({ number: 20 + index, position: [index * 4 - 30, -100, 450] }),
    });
    const found = await arranged(mixed([...sagittalStack(5), ...upper]));
    expect(found.dropped).toEqual([]);
    expect(found.stacks.map(({ slices, spacingMm }) => [slices.length, spacingMm])).toEqual([
      [5, 4],
      [5, 4],
    ]);
    expect(found.stacks.map(({ apartBy }) => apartBy).toSorted()).toEqual([
      'block at -30, -100, 150 mm',
      'block at -30, -100, 450 mm',
    ]);
  });
});

describe('enhanced objects', () => {
  test('their frames are a stack like any other, in whatever order they lie in the object', async () => {
    const order = [3, 0, 4, 1, 2];
    const { stacks } = await arranged([
      enhanced(order.map((index) => ({ position: [index * 4, -100, 150], grey: index * 10, echoTimeMs: 100 }))),
    ]);
    expect(stacks[0]!.slices.map(({ frame }) => frame)).toEqual([1, 3, 4, 0, 2]);
    expect(stacks[0]).toMatchObject({ plane: 'sagittal', spacingMm: 4, orderedBy: 'position' });
    expect(stacks[0]!.affine![0]).toEqual([0, 0, 4, 0]);
    expect(stacks[0]!.sequence).toMatchObject({ weighting: 'T2' });
  });

  test('frames of two echoes are two stacks', async () => {
    const { stacks } = await arranged([
      enhanced(
        [10, 90].flatMap((echoTimeMs) =>
          [0, 1, 2].map((index) => ({ position: [index * 4, -100, 150], grey: 0, echoTimeMs })),
        ),
      ),
    ]);
    expect(stacks.map(({ slices, apartBy }) => [slices.map(({ frame }) => frame), apartBy])).toEqual([
      [[0, 1, 2], 'echo 10 ms'],
      [[3, 4, 5], 'echo 90 ms'],
    ]);
  });
});

describe('whatever headers claim', () => {
  const numbers = fc.oneof(fc.integer({ min: -3, max: 3 }), fc.double({ noNaN: false }), fc.constant(1e308));
  const vector = fc.tuple(numbers, numbers, numbers);
  const directions = fc.oneof(
    fc.constantFrom([0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0], [1, 0, 0, 1, 0, 0]),
    fc.tuple(numbers, numbers, numbers, numbers, numbers, numbers),
  );
  const object = fc.record(
    {
      sopUid: fc.integer({ min: 1, max: 12 }).map((number) => sopUid(`1.2.${number}`)),
      imageType: fc.subarray(['ORIGINAL', 'PRIMARY', 'LOCALIZER', 'M']),
      frames: fc.integer({ min: 1, max: 6 }),
      rows: fc.constantFrom(8, 16),
      columns: fc.constantFrom(8),
      instanceNumber: fc.integer(),
      sliceLocationMm: numbers,
      temporalPosition: fc.integer({ min: 1, max: 2 }),
      planes: fc.array(
        fc.record(
          { frame: fc.integer({ min: 0, max: 5 }), position: vector, orientation: directions, echoTimeMs: numbers },
          { requiredKeys: ['frame', 'position', 'orientation'] },
        ),
        { maxLength: 6 },
      ),
    },
    { requiredKeys: ['sopUid', 'imageType', 'frames', 'planes'] },
  );

  test('every frame is in one stack or left out with a reason, and none twice', () => {
    fc.assert(
      fc.property(fc.array(object, { maxLength: 12 }), (objects) => {
        const { stacks, dropped } = arrangeSeries(seriesUid(series), objects as unknown as InstanceMetadata[]);
        const once = new Map(objects.map((one) => [one.sopUid, one]));
        const claimed = [...once.values()].flatMap(({ sopUid: uid, frames }) =>
          Array.from({ length: frames }, (_, frame) => `${uid} ${frame}`),
        );
        const kept = [...stacks.flatMap(({ slices }) => slices), ...dropped];
        expect(kept.map(({ sopUid: uid, frame }) => `${uid} ${frame}`).toSorted()).toEqual(claimed.toSorted());
        expect(dropped.every(({ why }) => why.length > 0)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  test('a hundred thousand frames, each in a direction of its own, do not keep the service', () => {
    const frames = 100_000;
    const planes = Array.from({ length: frames }, (_, frame) => {
      const angle = (frame / frames) * Math.PI;
      return {
        frame,
        position: [frame, 0, 0],
        orientation: [1, 0, 0, 0, Math.cos(angle), Math.sin(angle)],
      };
    });
    const one = { sopUid: sopUid('1.2.3'), imageType: [], frames, rows: 8, columns: 8, planes };
    const { stacks, dropped } = arrangeSeries(seriesUid(series), [one as unknown as InstanceMetadata]);
    expect(stacks.flatMap(({ slices }) => slices).length + dropped.length).toBe(frames);
  });
});
