/** Late pictures and new models in the chart: from the store through the outbox to a real FHIR server. */
import type { DiagnosticReport, Observation } from 'fhir/r4.js';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { FindingDraft, Reading } from '../../src/domain/finding.ts';
import { contentHashOf, findingIdOf, readingIdOf } from '../../src/domain/identity.ts';
import { sopUid, studyUid, type SopUid } from '../../src/domain/ids.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { fhirClient } from '../../src/fhir/client.ts';
import { fhirReport } from '../../src/outputs/fhir-report.ts';
import { writeFindings } from '../../src/pipeline/write-findings.ts';
import { openStore, type Store } from '../../src/store/open-store.ts';
import { testFhirServer, type TestFhirServer } from '../support/fhir-server.ts';
import { testDatabase } from '../support/postgres.ts';
import { normal as sample, packSummary, reviewer } from './readings.ts';

let store: Store;
let server: TestFhirServer;
beforeAll(async () => {
  store = await openStore({
    databaseUrl: await testDatabase(),
    dataDir: '',
    outputs: ['fhir-report'],
    logger: silentLogger,
  });
});
afterAll(() => store.close());
beforeEach(async () => {
  server = await testFhirServer();
});
afterEach(() => server.stop());

const [first, second] = ['1.2.3.11', '1.2.3.12'].map(sopUid) as [SopUid, SopUid];
const slip = (level: 'L4/L5' | 'L5/S1', picture: SopUid, percent = 18): FindingDraft => ({
  concept: 'spondylolisthesis',
  site: { kind: 'segment', level },
  result: { kind: 'detected', grades: [{ scale: 'Meyerding', value: 'I' }], direction: 'anterior' },
  measurements: [{ quantity: 'slip-percent', value: percent, unit: '%' }],
  summary: `Suspected ${level} anterolisthesis, grade I (${percent} %)`,
  evidence: { sopUid: picture, frame: 0, shapes: [] },
});

let studies = 0;
/** A study, and readings of it by content. */
async function arrived() {
  const study = studyUid(`1.2.826.0.1.3680043.8.498.9.${(studies += 1)}`);
  await store.register.announce({ source: 'rest', studyUid: study, reason: 'study-arrived', priority: 'routine' });
  const reading = (pictures: readonly SopUid[], drafts: readonly FindingDraft[], changes: Partial<Reading> = {}) => {
    const pack = changes.pack ?? sample.pack;
    const contentHash = contentHashOf(pictures);
    const id = readingIdOf(study, pack, contentHash);
    return store.readings.save({
      ...sample,
      id,
      studyUid: study,
      pack,
      contentHash,
      pictures: pictures.length,
      findings: drafts.map((draft) => ({
        ...draft,
        id: findingIdOf(id, draft.concept, draft.site),
        verdict: { kind: 'unreviewed' },
      })),
      ...changes,
    });
  };
  return { study, reading };
}

const output = () =>
  fhirReport({
    client: fhirClient({ baseUrl: server.baseUrl, timeoutMs: 30_000, logger: silentLogger, retries: 1, retryMs: 5 }),
    publicUrl: 'http://127.0.0.1:8080',
    reportStatus: 'partial',
    packs: [packSummary],
    logger: silentLogger,
  });
const write = ({ id }: Reading) =>
  writeFindings(
    { readings: store.readings, register: store.register, outputs: [output()], logger: silentLogger },
    { readingId: id, output: 'fhir-report', signal: AbortSignal.timeout(120_000) },
  );
const reports = (): Promise<DiagnosticReport[]> => server.all('DiagnosticReport');
const observations = (): Promise<Observation[]> => server.all('Observation');
const standing = async () => (await observations()).filter(({ status }) => status !== 'entered-in-error');

describe('a reading that takes the place of an unreviewed one', () => {
  for (const order of ['older first', 'newer first', 'both at once'] as const) {
    it(`is written in the same report, and withdraws what it does not repeat, ${order}`, async () => {
      const { reading } = await arrived();
      const early = await reading([first], [slip('L4/L5', first), slip('L5/S1', first)]);
      await write(early);
      const [before] = await reports();
      const late = await reading([first, second], [slip('L4/L5', first), slip('L5/S1', second, 14)]);
      const jobs = order === 'newer first' ? [late, early] : [early, late];
      if (order === 'both at once') await Promise.all(jobs.map(write));
      else for (const job of jobs) await write(job);

      const [report, ...others] = await reports();
      expect(others).toEqual([]);
      expect(report).toMatchObject({ id: before!.id, status: 'partial' });
      expect(report!.conclusion).toContain('Updated after 1 more picture arrived.');
      expect(report!.conclusion).toContain('14 %');
      const withdrawn = (await observations()).filter(({ status }) => status === 'entered-in-error');
      expect(withdrawn.map(({ identifier }) => identifier![0]!.value)).toEqual([`urn:uuid:${early.findings[1]!.id}`]);
      expect(withdrawn[0]!.note![0]!.text).toMatch(/^Superseded on /);
      expect((await standing()).map(({ id }) => `Observation/${id}`).toSorted()).toEqual(
        report!.result!.map(({ reference }) => reference!).toSorted(),
      );
      const provenances = await server.all('Provenance');
      const superseding = provenances.filter(({ reason }) => reason?.[0]?.text?.startsWith('A newer reading'));
      expect(superseding).toHaveLength(1);
      expect(superseding[0]!.target).toEqual([{ reference: `Observation/${withdrawn[0]!.id}` }]);
      for (const one of [early, late]) await write(one);
      expect((await reports())[0]!.meta?.versionId).toBe(report!.meta?.versionId);
    });
  }

  it('leaves nothing of it in the chart when that had never been written', async () => {
    const { reading } = await arrived();
    const early = await reading([first], [slip('L4/L5', first)]);
    const late = await reading([first, second], [slip('L4/L5', second, 15)]);
    await write(early);
    await write(late);
    expect(await reports()).toHaveLength(1);
    expect((await observations()).map(({ identifier }) => identifier![0]!.value)).toEqual([
      `urn:uuid:${late.findings[0]!.id}`,
    ]);
  });

  it('keeps what a person had confirmed on the earlier pictures, and says so', async () => {
    const { reading } = await arrived();
    const early = await reading([first], [slip('L4/L5', first), slip('L5/S1', first)]);
    await store.readings.recordVerdict(early.findings[0]!.id, { kind: 'confirmed' }, reviewer);
    await write(early);
    const late = await reading([first, second], [slip('L5/S1', second, 14)]);
    await write(early);
    await write(late);
    const byStatus = (await observations()).map(({ status, performer }) => [status, performer?.[0]?.reference]);
    expect(byStatus.toSorted()).toEqual([
      ['entered-in-error', undefined],
      ['final', reviewer.reference],
      ['preliminary', undefined],
    ]);
    const [report] = await reports();
    expect(report!.status).toBe('partial');
    expect(report!.conclusion).toContain('What was decided on the earlier reading (1) stays recorded with it.');
  });
});

describe('a reading that takes the place of one that a person had released', () => {
  it('leaves that report to its reader, appended, and has a partial one of its own', async () => {
    const { reading } = await arrived();
    const early = await reading([first], [slip('L4/L5', first)]);
    await store.readings.recordVerdict(early.findings[0]!.id, { kind: 'confirmed' }, reviewer);
    await write(early);
    const late = await reading([first, second], [slip('L4/L5', second, 15)]);
    expect(late.review).toEqual({ kind: 'open' });
    expect(late.findings[0]!.verdict).toEqual({ kind: 'unreviewed' });
    await write(late);
    await write(early);
    const all = await reports();
    expect(all.map(({ status }) => status).toSorted()).toEqual(['appended', 'partial']);
    const [old, fresh] = [
      all.find(({ status }) => status === 'appended')!,
      all.find(({ status }) => status === 'partial')!,
    ];
    expect(old.conclusion).toMatch(/Confirmed: Suspected L4\/L5.*after this review the study was read again/);
    expect(old.result).toHaveLength(1);
    expect(fresh.conclusion).toContain('The earlier reading was reviewed by');
    expect((await standing()).map(({ status }) => status).toSorted()).toEqual(['final', 'preliminary']);
  });

  it('and repeats it word for word stays released, in the same report', async () => {
    const { reading } = await arrived();
    const early = await reading([first], [slip('L4/L5', first)]);
    await store.readings.recordVerdict(early.findings[0]!.id, { kind: 'confirmed' }, reviewer);
    await write(early);
    const late = await reading([first, second], [slip('L4/L5', first)]);
    expect(late.review).toMatchObject({ kind: 'final', by: reviewer });
    expect(late.findings[0]!.id).toBe(early.findings[0]!.id);
    await write(early);
    await write(late);
    expect((await reports()).map(({ status }) => status)).toEqual(['final']);
    expect((await observations()).map(({ status }) => status)).toEqual(['final']);
  });
});

it('a reading whose pictures are the only ones again stands again in the chart', async () => {
  const { reading } = await arrived();
  const early = await reading([first], [slip('L4/L5', first)]);
  await write(early);
  const late = await reading([first, second], [slip('L5/S1', second, 14)]);
  await write(early);
  await write(late);
  await store.readings.reinstate(early.id);
  await write(late);
  await write(early);
  const [report, ...others] = await reports();
  expect(others).toEqual([]);
  expect(report!.conclusion).toContain('L4/L5');
  expect((await standing()).map(({ identifier }) => identifier![0]!.value)).toEqual([
    `urn:uuid:${early.findings[0]!.id}`,
  ]);
});
