/** Running packs on pictures: which answer counts, and what a failing pack may cost. */
import { describe, expect, test } from 'vitest';
import { WetreadError, type ErrorCode } from '../../src/domain/errors.ts';
import type { FindingDraft, PackIdentity } from '../../src/domain/finding.ts';
import { contentHashOf } from '../../src/domain/identity.ts';
import type { GreyImage } from '../../src/domain/image.ts';
import { silentLogger } from '../../src/domain/log.ts';
import type { ModelRunner, PackSummary } from '../../src/domain/ports.ts';
import { runModels } from '../../src/pipeline/run-models.ts';
import { picture, record, series, slipAt } from './pictures.ts';

const notVisible = { kind: 'not-assessable', reason: 'wrong-view', explanation: 'a front view' } as const;

/** A runner whose packs answer by a function of the picture. */
function runner(answers: Record<string, (sopUid: string) => FindingDraft[] | ErrorCode>): ModelRunner {
  const packs = Object.keys(answers).map(
    (name) => ({ name, version: '1.0.0', title: name, sha256: 'ab' }) as PackSummary,
  );
  return {
    packs,
    async run(pack: PackIdentity, image) {
      const answer = answers[pack.name]!(image.sopUid);
      if (typeof answer === 'string') throw new WetreadError(answer);
      return { findings: answer, executionProvider: 'cpu', runMs: 1 };
    },
  };
}

const contentOf = (images: readonly GreyImage[]) => ({
  hash: contentHashOf(images.map(({ sopUid }) => sopUid)),
  pictures: images.length,
});

const run = (models: ModelRunner, images = [picture(1), picture(2)], now = () => new Date('2026-11-21T10:00:00Z')) =>
  runModels(
    { models, logger: silentLogger, now },
    record,
    models.packs.map(({ name }) => ({ pack: name, seriesUid: series })),
    images,
    new Map(models.packs.map(({ name }) => [name, contentOf(images)])),
    AbortSignal.timeout(5000),
  );

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
    });
  });

  test('hands an error that may pass to the job, to be tried again', async () => {
    await expect(
      run(runner({ lumbar: () => [slipAt('L4/L5', { kind: 'detected' })], dying: () => 'model.process-died' })),
    ).rejects.toMatchObject({ code: 'model.process-died' });
  });
});
