/** Running packs on pictures: which answer counts, and what a failing pack may cost. */
import { describe, expect, test } from 'vitest';
import { WetreadError, type ErrorCode } from '../../src/domain/errors.ts';
import type { FindingDraft, PackIdentity } from '../../src/domain/finding.ts';
import { contentHashOf } from '../../src/domain/identity.ts';
import type { GreyImage, ImageTags } from '../../src/domain/image.ts';
import { silentLogger } from '../../src/domain/log.ts';
import type { ModelRunner, PackSummary } from '../../src/domain/ports.ts';
import { runModels } from '../../src/pipeline/run-models.ts';
import type { Loaded } from '../../src/pipeline/load-images.ts';
import { picture, record, series, slipAt } from './pictures.ts';

const notVisible = { kind: 'not-assessable', reason: 'wrong-view', explanation: 'a front view' } as const;

/** A runner whose packs answer by a function of the picture. */
function runner(
  answers: Record<string, (sopUid: string) => FindingDraft[] | ErrorCode>,
  rules: Record<string, Partial<PackSummary>> = {},
  asked: string[] = [],
): ModelRunner {
  const packs = Object.keys(answers).map(
    (name) =>
      ({ name, version: '1.0.0', title: name, sha256: 'ab', views: [], ...rules[name] }) as unknown as PackSummary,
  );
  return {
    packs,
    async run(pack: PackIdentity, given) {
      const images = [given].flat() as GreyImage[];
      const sops = images.map(({ sopUid }) => sopUid).join(' ');
      asked.push(sops);
      const answer = answers[pack.name]!(sops);
      if (typeof answer === 'string') throw new WetreadError(answer);
      return { findings: answer, executionProvider: 'cpu', runMs: 1 };
    },
  };
}

const contentOf = (images: readonly GreyImage[]) => ({
  hash: contentHashOf(images.map(({ sopUid }) => sopUid)),
  pictures: images.length,
});

async function* stream(loaded: readonly Loaded[]): AsyncGenerator<Loaded> {
  yield* loaded;
}

const run = (
  models: ModelRunner,
  images: readonly (GreyImage | Loaded)[] = [picture(1), picture(2)],
  now = () => new Date('2026-11-21T10:00:00Z'),
) => {
  const packs = models.packs.map(({ name }) => name);
  const loaded = images.map((one): Loaded => ('kind' in one ? one : { kind: 'picture', packs, image: one }));
  const pictures = images.filter((one): one is GreyImage => !('kind' in one));
  return runModels(
    { models, logger: silentLogger, now },
    record,
    stream(loaded),
    new Map(packs.map((name) => [name, contentOf(pictures)])),
    AbortSignal.timeout(60_000),
  );
};

describe('running the packs', () => {
  test('reports the picture on which most could be assessed, wherever it stands in the series', async () => {
    const { readings } = await run(
      runner({
        lumbar: (sop) =>
          sop.endsWith('2')
            ? [slipAt('L4/L5', { kind: 'detected' }), slipAt('L5/S1', { kind: 'not-detected' })]
            : [slipAt('L4/L5', notVisible)],
      }),
    );
    expect(readings[0]!.findings.map(({ result }) => result.kind)).toEqual(['detected', 'not-detected']);
  });

  test('gives the same ids when the same pictures are read again, in whatever order they come', async () => {
    const models = runner({ lumbar: () => [slipAt('L4/L5', { kind: 'detected' })] });
    const first = await run(models);
    const second = await run(models, [picture(2), picture(1)], () => new Date('2027-01-01T00:00:00Z'));
    expect(second.readings[0]!.id).toBe(first.readings[0]!.id);
    expect(second.readings[0]!.findings[0]!.id).toBe(first.readings[0]!.findings[0]!.id);
  });

  test('gives another id when a late picture joins the study', async () => {
    const models = runner({ lumbar: () => [slipAt('L4/L5', { kind: 'detected' })] });
    const [early, late] = [await run(models, [picture(1)]), await run(models, [picture(1), picture(2)])];
    expect(late.readings[0]!.id).not.toBe(early.readings[0]!.id);
  });

  test('records a broken pack and lets the other one speak', async () => {
    const { readings, packFailures } = await run(
      runner({ broken: () => 'model.postprocess-failed', lumbar: () => [slipAt('L4/L5', { kind: 'detected' })] }),
    );
    expect(packFailures).toEqual([{ pack: 'broken', code: 'model.postprocess-failed' }]);
    expect(readings.map(({ pack }) => pack.name)).toEqual(['lumbar']);
  });

  test('says so when no pack answered', async () => {
    expect(await run(runner({ broken: () => 'model.bad-output' }))).toEqual({
      readings: [],
      packFailures: [{ pack: 'broken', code: 'model.bad-output' }],
      notes: [],
    });
  });

  test('hands an error that may pass to the job, to be tried again', async () => {
    await expect(
      run(runner({ lumbar: () => [slipAt('L4/L5', { kind: 'detected' })], dying: () => 'model.process-died' })),
    ).rejects.toMatchObject({ code: 'model.process-died' });
  });

  test('lets go of each picture before the next is taken', async () => {
    const events: string[] = [];
    const models = runner({ lumbar: (sop) => (events.push(`read ${sop.at(-1)}`), []) });
    async function* slowly(): AsyncGenerator<Loaded> {
      for (const number of [1, 2, 3]) {
        events.push(`give ${number}`);
        yield { kind: 'picture', packs: ['lumbar'], image: picture(number) };
      }
    }
    await runModels(
      { models, logger: silentLogger },
      record,
      slowly(),
      new Map([['lumbar', contentOf([picture(1)])]]),
      AbortSignal.timeout(60_000),
    );
    expect(events).toEqual(['give 1', 'read 1', 'give 2', 'read 2', 'give 3', 'read 3']);
  });

  test('gives a stack to its pack in one run, in order', async () => {
    const asked: string[] = [];
    const models = runner({ mr: () => [slipAt('L4/L5', { kind: 'not-detected' })], films: () => [] }, {}, asked);
    const stack: Loaded = { kind: 'stack', packs: ['mr'], images: [picture(3), picture(1), picture(2)] };
    const { readings } = await run(models, [stack]);
    expect(asked).toEqual(['1.2.3.4.3 1.2.3.4.1 1.2.3.4.2']);
    expect(readings.map(({ pack }) => pack.name)).toEqual(['mr']);
  });
});

describe('what a single picture says of itself', () => {
  const tagged = (number: number, tags: ImageTags): GreyImage => ({ ...picture(number), tags });
  const one = { lumbar: () => [slipAt('L4/L5', { kind: 'detected' })] };

  test('a patient the model is not for is not read, and that is said, not called a failure', async () => {
    const asked: string[] = [];
    const { readings, packFailures, notes } = await run(runner(one, { lumbar: { ages: { fromYears: 18 } } }, asked), [
      tagged(1, { patientAgeYears: 12.4 }),
      tagged(2, { patientAgeYears: 12.4 }),
    ]);
    expect(asked).toEqual([]);
    expect(readings).toEqual([]);
    expect(packFailures).toEqual([]);
    expect(notes).toEqual([
      {
        seriesUid: series,
        pack: 'lumbar',
        taken: false,
        why: '2 pictures left out: the patient is 12 years old, the model reads from 18 years',
      },
    ]);
  });

  test('an age that is not known excludes nothing', async () => {
    const { readings } = await run(runner(one, { lumbar: { ages: { fromYears: 18 } } }), [tagged(1, {})]);
    expect(readings).toHaveLength(1);
  });

  test('the other side is not read', async () => {
    const asked: string[] = [];
    const hand = runner(one, { lumbar: { laterality: 'left' } }, asked);
    const { notes } = await run(hand, [
      tagged(1, { laterality: 'R' }),
      tagged(2, { laterality: 'L' }),
      tagged(3, { laterality: 'B' }),
      tagged(4, {}),
    ]);
    expect(asked).toEqual(['1.2.3.4.2', '1.2.3.4.3', '1.2.3.4.4']);
    expect(notes[0]!.why).toBe('1 picture left out: laterality is right, the model reads left');
  });

  test('another view is not read once a fitting picture was', async () => {
    const asked: string[] = [];
    const { notes } = await run(runner(one, { lumbar: { views: ['lateral'] } }, asked), [
      tagged(1, { viewPosition: 'LL' }),
      tagged(2, { viewPosition: 'AP' }),
    ]);
    expect(asked).toEqual(['1.2.3.4.1']);
    expect(notes[0]!.why).toBe('1 picture left out: View Position says frontal, the model reads lateral');
  });

  test('but is read where no picture claims to fit: such tags are often wrong', async () => {
    const { readings } = await run(runner(one, { lumbar: { views: ['lateral'] } }), [
      tagged(1, { viewPosition: 'AP' }),
    ]);
    expect(readings[0]!.findings).toHaveLength(1);
  });

  test('of two pictures on which as much is seen, the one whose tags fit is reported', async () => {
    const answers = { lumbar: (sop: string) => [slipAt(sop.endsWith('1') ? 'L4/L5' : 'L5/S1', { kind: 'detected' })] };
    const { readings } = await run(runner(answers, { lumbar: { views: ['lateral'] } }), [
      tagged(1, { viewPosition: 'AP' }),
      tagged(2, { viewPosition: 'LL' }),
    ]);
    expect(readings[0]!.findings[0]!.site).toEqual({ kind: 'segment', level: 'L5/S1' });
  });
});

describe('pictures that cannot be read', () => {
  const damaged: Loaded = {
    kind: 'fault',
    packs: ['lumbar'],
    seriesUid: series,
    error: new WetreadError('dicom.corrupt-pixel-data'),
  };
  const models = () => runner({ lumbar: () => [slipAt('L4/L5', { kind: 'detected' })], other: () => [] });

  test('do not hide the good ones beside them, and are told', async () => {
    const { readings, notes } = await run(models(), [damaged, picture(1)]);
    expect(readings.map(({ pack }) => pack.name)).toEqual(['lumbar', 'other']);
    expect(notes[0]!.why).toBe('1 picture left out: The compressed picture is damaged. (dicom.corrupt-pixel-data)');
  });

  test('are the failure of a pack that has no other', async () => {
    const film: Loaded = { kind: 'picture', packs: ['other'], image: picture(1) };
    const { readings, packFailures } = await run(models(), [damaged, film]);
    expect(readings.map(({ pack }) => pack.name)).toEqual(['other']);
    expect(packFailures).toEqual([{ pack: 'lumbar', code: 'dicom.corrupt-pixel-data' }]);
  });

  test('are the failure of the study when none is left', async () => {
    await expect(run(models(), [damaged])).rejects.toMatchObject({ code: 'dicom.corrupt-pixel-data' });
  });
});
