/** The contract of every model pack: it loads, and reads its own cases as they say, on the real runtime. A new folder is found by itself. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PNG } from 'pngjs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decoderPool } from '../../src/dicom/decoder-pool.ts';
import { seriesUid, sopUid, studyUid } from '../../src/domain/ids.ts';
import { silentLogger } from '../../src/domain/log.ts';
import type { FindingDraft, Site } from '../../src/domain/finding.ts';
import type { GreyImage } from '../../src/domain/image.ts';
import { loadPacks, packFolders, type LoadedPack } from '../../src/inference/load-packs.ts';
import { modelRunner, type ManagedModelRunner } from '../../src/inference/model-runner.ts';

const models = join(import.meta.dirname, '../../models');

type ExpectedFinding = {
  readonly concept: string;
  readonly site: Site;
  readonly result: string;
  readonly reason?: string;
  readonly measurements?: readonly { readonly quantity: string; readonly value: number; readonly tolerance: number }[];
};
type Expected = { readonly model: string; readonly findings: readonly ExpectedFinding[] };

describe.each(await packFolders(models))('the pack %s', (name) => {
  const folder = join(models, name, 'cases');
  const files = existsSync(folder) ? readdirSync(folder).filter((file) => /\.(dcm|png)$/.test(file)) : [];
  const decoder = decoderPool({ threads: 1, logger: silentLogger });
  let pack: LoadedPack;
  let runner: ManagedModelRunner;

  beforeAll(async () => {
    pack = (await loadPacks(models, silentLogger)).find(({ identity }) => identity.name === name)!;
    runner = modelRunner({ packs: [pack], processes: 1, threads: 2, provider: 'cpu', logger: silentLogger });
    await runner.ready();
  });
  afterAll(async () => {
    await runner?.close();
    await decoder.close();
  });

  test('brings cases, its card, and weights small enough to clone', () => {
    expect(files.length).toBeGreaterThanOrEqual(2);
    expect(existsSync(join(models, name, 'MODEL_CARD.md'))).toBe(true);
    for (const { weights } of Object.values(pack.manifest.networks))
      expect(weights.bytes).toBeLessThanOrEqual(25_000_000);
  });

  test.each(files)('reads %s as expected', async (file) => {
    const expected = JSON.parse(
      readFileSync(join(folder, file.replace(/\.\w+$/, '.expected.json')), 'utf8'),
    ) as Expected;
    // Answers of other weights prove nothing about these.
    expect(expected.model).toBe(pack.identity.sha256);
    const picture = file.endsWith('.png')
      ? greyOfPng(join(folder, file))
      : (await decoder.decode(readFileSync(join(folder, file)))).grey(0);
    const { findings } = await runner.run(pack.identity, picture);
    for (const wanted of expected.findings) expectFinding(findings, wanted);
    const extra = findings.filter((one) => !expected.findings.some((wanted) => sameSubject(one, wanted)));
    expect(extra.filter(({ result }) => result.kind === 'detected')).toEqual([]);
    const shownOn = new Set(findings.flatMap(({ evidence }) => (evidence === undefined ? [] : [evidence.sopUid])));
    expect([...shownOn].filter((uid) => uid !== picture.sopUid)).toEqual([]);
  });
});

const sameSubject = (one: FindingDraft, other: Pick<ExpectedFinding, 'concept' | 'site'>): boolean =>
  one.concept === other.concept && JSON.stringify(one.site) === JSON.stringify(other.site);

function expectFinding(findings: readonly FindingDraft[], wanted: ExpectedFinding): void {
  const found = findings.find((one) => sameSubject(one, wanted));
  const reason = wanted.reason === undefined ? {} : { reason: wanted.reason };
  expect(found, `${wanted.concept} at ${JSON.stringify(wanted.site)}`).toMatchObject({
    result: { kind: wanted.result, ...reason },
  });
  for (const { quantity, value, tolerance } of wanted.measurements ?? []) {
    const measured = found?.measurements.find((one) => one.quantity === quantity);
    expect(
      Math.abs((measured?.value ?? NaN) - value),
      `${quantity} at ${JSON.stringify(wanted.site)}`,
    ).toBeLessThanOrEqual(tolerance);
  }
}

function greyOfPng(file: string): GreyImage {
  const { width, height, data } = PNG.sync.read(readFileSync(file));
  return {
    studyUid: studyUid('1.2.3'),
    seriesUid: seriesUid('1.2.3.4'),
    sopUid: sopUid('1.2.3.4.5'),
    sopClassUid: '1.2.840.10008.5.1.4.1.1.7',
    frame: 0,
    rows: height,
    columns: width,
    intensities: Float32Array.from({ length: width * height }, (_, at) => data[at * 4]! / 255),
    tags: {},
  };
}
