/** What a clinician is told when a chart opens. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dayInWords } from '../../src/domain/day-in-words.ts';
import { errorTable, WetreadError } from '../../src/domain/errors.ts';
import { sopUid } from '../../src/domain/ids.ts';
import { cdsService, hurriedPatients, type CdsService } from '../support/cds-service.ts';
import {
  arrive,
  daysAgo,
  newPatient,
  newStudy,
  noSlip,
  read,
  reader,
  readingOf,
  samplePack,
  settle,
  slip,
  unseen,
  unusable,
} from '../support/sample-readings.ts';

const id = 'wetread-patient-view';
let service: CdsService;
beforeAll(async () => {
  service = await cdsService();
});
afterAll(() => service.close());

const cardsOf = (patientId: string, prefetch?: unknown) => service.cards(id, { patientId }, prefetch);
const summariesOf = async (patientId: string) => (await cardsOf(patientId)).map(({ summary }) => summary);

describe('an unreviewed suspicion', () => {
  it('is one card that says what it is, how sure, by which model, and for what it may be used', async () => {
    const patient = newPatient();
    await read(service.store, patient, [slip('L4/L5', 18), noSlip('L3/L4'), unseen('L5/S1')], {
      startedAt: '2026-11-21T09:30:00',
    });
    const [card, ...others] = await cardsOf(patient);
    expect(others).toEqual([]);
    expect(card!.summary).toMatch(/^AI suggestion, not yet reviewed: Suspected L4\/L5/);
    const detail = card!.detail!;
    expect(detail).toContain('film of 21 Nov 2026 (XR lumbar spine lateral)');
    expect(detail).toContain('Slip: 6.0 mm (95 % interval 5.0 to 7.0 mm)');
    expect(detail).toContain('18 % (95 % interval 14 to 22 %)');
    expect(detail).toContain('Not assessable on this film: L5/S1.');
    expect(detail).toContain(
      'Demonstration model: Lumbar landmarks, version 1.0.0. Trained on: synthetic phantoms of the lumbar spine.',
    );
    expect(detail).toContain('Research use only. Not a medical device.');
    expect(card!.overrideReasons!.length).toBeGreaterThan(1);
  });

  it('is the same card at every opening', async () => {
    const patient = newPatient();
    await read(service.store, patient, [slip('L4/L5', 18)]);
    expect(await cardsOf(patient)).toEqual(await cardsOf(patient));
  });

  it('is one card for all of a study, the most serious in its summary and the rest in its detail', async () => {
    const patient = newPatient();
    await read(service.store, patient, [
      slip('L2/L3', 12),
      slip('L3/L4', 60, 'III'),
      slip('L4/L5', 30, 'II'),
      slip('L5/S1', 20),
    ]);
    const [card, ...others] = await cardsOf(patient);
    expect(others).toEqual([]);
    expect(card!.summary).toBe(
      'AI suggestion, not yet reviewed: Suspected L3/L4 anterolisthesis, grade III (60 %, 95 % 56 to 64); 3 more',
    );
    expect(card!.indicator).toBe('warning');
    const places = ['L3/L4', 'L4/L5', 'L5/S1', 'L2/L3'].map((level) => card!.detail!.indexOf(`**Suspected ${level}`));
    expect(places).toEqual(places.toSorted((a, b) => a - b));
    expect(places[0]).toBeGreaterThan(0);
    expect(card!.links!.map(({ label }) => label)).toEqual([
      'Open the film at L3/L4',
      'Open the film at L4/L5',
      'Open the film at L5/S1',
    ]);
  });

  it('is shown most serious first among studies, and only a slip of more than a quarter is a warning', async () => {
    const patient = newPatient();
    await read(service.store, patient, [slip('L2/L3', 12)], { startedAt: daysAgo(1) });
    await read(service.store, patient, [slip('L3/L4', 60, 'III')], { startedAt: daysAgo(400) });
    await read(service.store, patient, [slip('L4/L5', 30, 'II')], { startedAt: daysAgo(30) });
    const cards = await cardsOf(patient);
    expect(cards.map(({ summary, indicator }) => `${/L\d\/[LS]\d/.exec(summary)![0]} ${indicator}`)).toEqual([
      'L3/L4 warning',
      'L4/L5 warning',
      'L2/L3 info',
    ]);
  });

  it('shares a card with the rest when there are more films than can be looked at', async () => {
    const patient = newPatient();
    const levels = ['L1/L2', 'L2/L3', 'L3/L4', 'L4/L5'] as const;
    for (const [index, level] of levels.entries())
      await read(service.store, patient, [slip(level, 20 + index)], { startedAt: daysAgo(1) });
    for (const [index, level] of levels.entries())
      await read(service.store, patient, [slip(level, 10 + index)], { startedAt: daysAgo(1) });
    const cards = await cardsOf(patient);
    expect(cards).toHaveLength(6);
    expect(cards[5]!.summary).toBe('3 more AI suggestions, not yet reviewed: L3/L4, L2/L3, L1/L2');
  });

  it('does not come back when it is confirmed, nor when it is rejected', async () => {
    const patient = newPatient();
    const { findings } = await read(service.store, patient, [slip('L4/L5', 18), slip('L3/L4', 12), slip('L2/L3', 10)]);
    await service.store.readings.recordVerdict(findings[0]!.id, { kind: 'confirmed' }, reader);
    expect(await summariesOf(patient)).toEqual([expect.stringMatching(/L3\/L4.*; 1 more$/)]);
    await service.store.readings.recordVerdict(findings[1]!.id, { kind: 'rejected', reason: 'projection' }, reader);
    expect(await summariesOf(patient)).toEqual([expect.stringContaining('L2/L3')]);
    await service.store.readings.recordVerdict(findings[2]!.id, { kind: 'confirmed' }, reader);
    expect(await cardsOf(patient)).toEqual([]);
  });

  it('does not come back under a new id when late images or a new version lead to a second reading', async () => {
    const patient = newPatient();
    const first = await read(service.store, patient, [slip('L4/L5', 18)]);
    await service.store.readings.recordVerdict(
      first.findings[0]!.id,
      { kind: 'rejected', reason: 'projection' },
      reader,
    );
    const pack = { ...samplePack, version: '1.1.0' };
    const again = readingOf(first.studyUid, patient, [slip('L4/L5', 19), slip('L3/L4', 14)], {
      pack,
      readAt: new Date(Date.now() + 1000).toISOString(),
    });
    await service.store.readings.save(again);
    expect(await summariesOf(patient)).toEqual([expect.stringContaining('L3/L4')]);
  });

  it('on a picture that came later is shown, whatever was decided at the same level on an earlier one, and says why', async () => {
    const patient = newPatient();
    const on = (picture: string, percent: number) => ({
      ...slip('L4/L5', percent),
      evidence: { sopUid: sopUid(picture), frame: 0, shapes: [] },
    });
    const first = await read(service.store, patient, [on('1.2.1', 18)], {}, { pictures: 1 });
    await service.store.readings.recordVerdict(
      first.findings[0]!.id,
      { kind: 'rejected', reason: 'projection' },
      reader,
    );
    expect(await cardsOf(patient)).toEqual([]);
    const later = (percent: number, picture: string, contentHash: string) =>
      service.store.readings.save(
        readingOf(first.studyUid, patient, [on(picture, percent)], { contentHash, pictures: 3 }),
      );
    // The same answer about the same picture is answered; about the later picture nobody was asked.
    await later(18, '1.2.1', 'late pictures that change nothing');
    expect(await cardsOf(patient)).toEqual([]);
    await later(18, '1.2.2', 'late pictures');
    const [card] = await cardsOf(patient);
    expect(card!.summary).toContain('L4/L5');
    expect(card!.detail).toContain('The earlier reading was reviewed by Dr Reader');
  });

  it('of a reading that a later one supersedes is not shown beside it', async () => {
    const patient = newPatient();
    const first = await read(service.store, patient, [slip('L4/L5', 18)]);
    await service.store.readings.save(
      readingOf(first.studyUid, patient, [slip('L4/L5', 21)], {
        contentHash: 'late-series',
        readAt: new Date(Date.now() + 1000).toISOString(),
      }),
    );
    expect(await summariesOf(patient)).toEqual([expect.stringContaining('21 %')]);
  });

  it("is shown to nobody who opens another patient's chart", async () => {
    const patient = newPatient();
    await read(service.store, patient, [slip('L4/L5', 18)]);
    expect(await cardsOf(newPatient())).toEqual([]);
  });

  it('on the film of a child says so', async () => {
    const patient = newPatient();
    await read(service.store, patient, [slip('L4/L5', 18)], { startedAt: '2026-11-21T09:30:00' });
    const at = async (birthDate?: string) =>
      (await cardsOf(patient, { patient: { resourceType: 'Patient', id: patient, birthDate } }))[0]!.detail;
    expect(await at('2010-05-01')).toContain('under 18');
    expect(await at('2008-11-22')).toContain('under 18');
    expect(await at('2008-11-21')).not.toContain('under 18');
    // Only the year is known: a child until that is ruled out.
    expect(await at('2008')).toContain('under 18');
    expect(await at('1950')).not.toContain('under 18');
    expect(await at()).not.toContain('under 18');
  });

  it('keeps a hostile study description from drawing in the card', async () => {
    const patient = newPatient();
    await read(service.store, patient, [slip('L4/L5', 18)], {
      description: '[LUMBAR](http://evil.example) <img src=x>',
    });
    const [card] = await cardsOf(patient);
    expect(card!.detail).toContain(String.raw`\[LUMBAR\](http\://evil.example) \<img src=x\>`);
  });
});

describe('an earlier film', () => {
  const earlier = '2025-03-12T09:30:00';
  const later = '2026-11-21T09:30:00';

  it('is compared in the summary, in the detail, and opens', async () => {
    const patient = newPatient();
    const before = await read(service.store, patient, [slip('L4/L5', 18)], { startedAt: earlier });
    await service.store.readings.recordVerdict(before.findings[0]!.id, { kind: 'confirmed' }, reader);
    await read(service.store, patient, [slip('L4/L5', 31, 'II')], { startedAt: later });
    const [card, ...others] = await cardsOf(patient);
    expect(others).toEqual([]);
    expect(card!.summary).toMatch(/grade II \(31 %.*\), grade I → II since 12 Mar 2025$/);
    expect(card!.summary.length).toBeLessThan(140);
    expect(card!.indicator).toBe('warning');
    expect(card!.detail).toContain(
      "Compared with the film of 12 Mar 2025: grade I → II (18 % → 31 %, more than the measurement's spread).",
    );
    expect(card!.detail).toContain('The earlier finding was confirmed by Dr Reader on');
    expect(card!.links!.at(-1)).toMatchObject({
      label: 'Open the earlier film of 12 Mar 2025',
      appContext: JSON.stringify({ finding: before.findings[0]!.id }),
    });
  });

  it('whose suspicion nobody has reviewed has no card beside that of the later film', async () => {
    const patient = newPatient();
    await read(service.store, patient, [slip('L4/L5', 12)], { startedAt: '2024-01-09T09:30:00' });
    const before = await read(service.store, patient, [slip('L4/L5', 18), slip('L2/L3', 12)], { startedAt: earlier });
    const now = await read(service.store, patient, [slip('L4/L5', 19)], { startedAt: later });
    const [card, other, ...more] = await cardsOf(patient);
    expect(more).toEqual([]);
    expect(card!.summary).toMatch(/L4\/L5 .*\(19 %.*, unchanged since 12 Mar 2025$/);
    expect(card!.detail).toContain('Nobody has reviewed the earlier reading.');
    expect(card!.detail).toContain('Also suspected on the film of 9 Jan 2024 (12 %); nobody has reviewed that either.');
    // Another level of the earlier film, which the later one says nothing about, is still to be answered.
    expect(other!.summary).toMatch(/L2\/L3 .*\(12 %, 95 % 8 to 16\)$/);

    await service.post(`/cds-services/${id}/feedback`, {
      feedback: [{ card: card!.uuid, outcome: 'overridden', outcomeTimestamp: new Date().toISOString() }],
    });
    expect(await summariesOf(patient)).toEqual([expect.stringContaining('L2/L3')]);
    expect(await service.store.feedback.dismissed(patient, id)).toEqual(
      new Set([now.findings[0]!.id, before.findings[0]!.id, expect.any(String)]),
    );
  });

  it('is no warning any more only where its own card would have been none', async () => {
    const patient = newPatient();
    await read(service.store, patient, [slip('L4/L5', 31, 'II')], { startedAt: earlier });
    await read(service.store, patient, [slip('L4/L5', 18)], { startedAt: later });
    const [card, ...others] = await cardsOf(patient);
    expect(others).toEqual([]);
    expect(card!.summary).toMatch(/grade II → I since 12 Mar 2025$/);
    expect(card!.indicator).toBe('warning');
  });

  it('is answered for by a later one that a reader confirmed, and stands when the later one was rejected', async () => {
    const patient = newPatient();
    const other = newPatient();
    for (const [who, verdict] of [
      [patient, { kind: 'confirmed' }],
      [other, { kind: 'rejected', reason: 'cut off by the collimator' }],
    ] as const) {
      await read(service.store, who, [slip('L4/L5', 18)], { startedAt: earlier });
      const now = await read(service.store, who, [slip('L4/L5', 19)], { startedAt: later });
      await service.store.readings.recordVerdict(now.findings[0]!.id, verdict, reader);
    }
    expect(await cardsOf(patient)).toEqual([]);
    const [card] = await cardsOf(other);
    expect(card!.summary).toContain('(18 %');
    expect(card!.detail).toContain(
      'On the later film of 21 Nov 2026 a reader rejected the same suggestion: cut off by the collimator.',
    );
  });

  it('says when the later film does not show it any more', async () => {
    const patient = newPatient();
    await read(service.store, patient, [slip('L4/L5', 18)], { startedAt: earlier });
    await read(service.store, patient, [noSlip('L4/L5')], { startedAt: later });
    const [card, ...others] = await cardsOf(patient);
    expect(others).toEqual([]);
    expect(card!.summary).toContain('L4/L5');
    expect(card!.detail).toMatch(/Not suspected on the later film of 21 Nov 2026 \(\d+ %\)\./);
  });

  it('of the same day keeps its own card: flexion and extension are no course', async () => {
    const patient = newPatient();
    await read(service.store, patient, [slip('L4/L5', 18)], { startedAt: later });
    await read(service.store, patient, [slip('L4/L5', 24)], { startedAt: later.replace('09:30', '09:40') });
    expect(await summariesOf(patient)).toHaveLength(2);
  });

  it('whose finding was rejected is none, and the card changes when that is decided', async () => {
    const patient = newPatient();
    const before = await read(service.store, patient, [slip('L4/L5', 18)], { startedAt: earlier });
    await read(service.store, patient, [slip('L4/L5', 19)], { startedAt: later });
    const summary = async () => (await summariesOf(patient)).find((one) => one.includes('(19 %'));
    expect(await summary()).toMatch(/, unchanged since 12 Mar 2025$/);
    await service.store.readings.recordVerdict(
      before.findings[0]!.id,
      { kind: 'rejected', reason: 'projection' },
      reader,
    );
    expect(await summary()).toMatch(/23\)$/);
  });

  it('on which nothing was suspected there makes the finding new', async () => {
    const patient = newPatient();
    const clear = noSlip('L4/L5');
    const measured = { ...clear, measurements: [{ ...clear.measurements[0]!, interval: [-3, 5] as const }] };
    await read(service.store, patient, [measured], { startedAt: earlier });
    await read(service.store, patient, [slip('L4/L5', 18)], { startedAt: later });
    expect(await summariesOf(patient)).toEqual([expect.stringMatching(/, new since 12 Mar 2025$/)]);
  });
});

describe('a next step', () => {
  const none = { flexionExtension: null, boneDensity: null, lumbarMr: null, thoracicMr: null, imagingReports: null };
  const order = (patientId: string, fields: object = {}) => ({
    resourceType: 'Bundle',
    type: 'searchset',
    entry: [
      {
        resource: {
          resourceType: 'ServiceRequest',
          status: 'active',
          intent: 'order',
          subject: { reference: `Patient/${patientId}` },
          authoredOn: new Date().toISOString(),
          ...fields,
        },
      },
    ],
  });

  it('is suggested as a draft with its reason, and says that nobody has reviewed the finding', async () => {
    const patient = newPatient();
    await read(service.store, patient, [slip('L4/L5', 18)]);
    const [card] = await cardsOf(patient, none);
    expect(card!.selectionBehavior).toBe('any');
    const [suggestion, ...others] = card!.suggestions!;
    expect(others).toEqual([]);
    expect(card!.detail).toContain('no order, study or radiology report of the last 12 months was found');
    // What was not looked into must not be denied.
    const { imagingReports: _, ...withoutReports } = none;
    expect((await cardsOf(patient, withoutReports))[0]!.detail).toContain(
      'no order or study of the last 12 months was found (reports could not be looked into)',
    );
    expect(suggestion!.label).toBe(
      'Draft an order: X-ray of the lumbar spine, flexion and extension views (AI finding, not yet reviewed)',
    );
    expect(suggestion).not.toHaveProperty('isRecommended');
    expect(suggestion!.actions).toEqual([
      {
        type: 'create',
        description: expect.stringContaining('Draft, not signed'),
        resource: {
          resourceType: 'ServiceRequest',
          status: 'draft',
          intent: 'proposal',
          category: [{ coding: [{ system: 'http://snomed.info/sct', code: '363679005', display: 'Imaging' }] }],
          code: {
            coding: [{ system: 'http://loinc.org', code: '24971-4' }],
            text: 'X-ray of the lumbar spine, flexion and extension views',
          },
          subject: { reference: `Patient/${patient}` },
          reasonCode: [{ text: 'Suspected L4/L5 anterolisthesis, grade I (AI finding, not yet reviewed)' }],
        },
      },
    ]);
    // The same at every opening, or feedback would name what nobody knows.
    expect((await cardsOf(patient, none))[0]!.suggestions![0]!.uuid).toBe(suggestion!.uuid);
  });

  it('is not suggested when it is on record, or when the chart could not be asked', async () => {
    const patient = newPatient();
    await read(service.store, patient, [slip('L4/L5', 18)]);
    const steps = async (prefetch?: unknown) => (await cardsOf(patient, prefetch))[0]!.suggestions;
    expect(await steps()).toBeUndefined();
    expect(await steps({ ...none, flexionExtension: order(patient) })).toBeUndefined();
    expect(await steps({ ...none, flexionExtension: order(patient, { status: 'draft' }) })).toBeUndefined();
    // What was called off, or is two years old, answers nothing about today's film.
    expect(await steps({ ...none, flexionExtension: order(patient, { status: 'revoked' }) })).toHaveLength(1);
    expect(await steps({ ...none, flexionExtension: order(patient, { authoredOn: '2020-01-01' }) })).toHaveLength(1);
    await settle(
      service.store,
      patient,
      { kind: 'skipped', reason: 'no-pack-applies', selection: [] },
      { description: 'LWS Flexion/Extension' },
    );
    expect(await steps(none)).toBeUndefined();
  });

  it('is not suggested when a report of it is on record, by code or by its title', async () => {
    const patient = newPatient();
    await read(service.store, patient, [slip('L4/L5', 18)]);
    const reported = (fields: object) => ({
      ...none,
      imagingReports: {
        resourceType: 'Bundle',
        type: 'searchset',
        entry: [{ resource: { resourceType: 'DiagnosticReport', status: 'final', issued: daysAgo(40), ...fields } }],
      },
    });
    const steps = async (fields: object) => (await cardsOf(patient, reported(fields)))[0]!.suggestions?.length ?? 0;
    const title = { code: { text: 'XR lumbar spine flexion and extension' } };
    expect(await steps({ code: { coding: [{ system: 'http://loinc.org', code: '24971-4' }] } })).toBe(0);
    expect(await steps(title)).toBe(0);
    // Another examination, one that never came about, one of years ago; and what a report recommends was not done.
    expect(await steps({ code: { text: 'XR knee flexion' } })).toBe(1);
    expect(await steps({ ...title, status: 'cancelled' })).toBe(1);
    expect(await steps({ ...title, effectiveDateTime: '2020-01-01' })).toBe(1);
    const [card] = await cardsOf(patient, reported({ ...title, effectiveDateTime: '2020-01-01' }));
    expect(card!.detail).toContain('of the last 12 months was found; the last report is of 1 Jan 2020.');
    expect(await steps({ code: { text: 'XR lumbar spine' }, conclusion: 'Flexion and extension advised.' })).toBe(1);
  });

  it('is suggested once, however many films ask for it', async () => {
    const patient = newPatient();
    await read(service.store, patient, [slip('L3/L4', 18)], { startedAt: daysAgo(400) });
    await read(service.store, patient, [slip('L4/L5', 31, 'II')], { startedAt: daysAgo(1) });
    const cards = await cardsOf(patient, none);
    expect(cards.map(({ suggestions }) => suggestions?.length)).toEqual([1, undefined]);
    expect(cards[0]!.summary).toContain('grade II');
  });

  it('is not suggested for a child', async () => {
    const patient = newPatient();
    await read(service.store, patient, [slip('L4/L5', 18)], { startedAt: '2026-11-21T09:30:00' });
    const child = { patient: { resourceType: 'Patient', id: patient, birthDate: '2012-01-01' } };
    expect((await cardsOf(patient, { ...none, ...child }))[0]!.suggestions).toBeUndefined();
  });

  it('is stored when it is accepted, and the card stays', async () => {
    const patient = newPatient();
    await read(service.store, patient, [slip('L4/L5', 18)]);
    const [card] = await cardsOf(patient, none);
    const { status } = await service.post(`/cds-services/${id}/feedback`, {
      feedback: [
        {
          card: card!.uuid,
          outcome: 'accepted',
          outcomeTimestamp: new Date().toISOString(),
          acceptedSuggestions: [{ id: card!.suggestions![0]!.uuid }],
        },
      ],
    });
    expect(status).toBe(200);
    expect(await cardsOf(patient, none)).toEqual([card]);
  });
});

describe('a film without a finding to show', () => {
  it('that waits is said to be read, and moves to the front', async () => {
    const patient = newPatient();
    await arrive(service.store, patient, newStudy(), { startedAt: '2026-11-21T09:30:00' });
    expect(await cardsOf(patient)).toMatchObject([
      { summary: 'Film of 21 Nov 2026 is being read by AI', indicator: 'info' },
    ]);
    await service.drain();
    expect(await hurriedPatients(service)).toContain(patient);
  });

  it('that is being tried again says so', async () => {
    const patient = newPatient();
    const study = await arrive(service.store, patient);
    await service.store.register.begin(study, 3);
    const [card] = await cardsOf(patient);
    expect(card!.detail).toContain('being tried again (try 3)');
  });

  it('that waits for its next try says why the last one failed', async () => {
    const failing = await cdsService();
    await failing.store.workStudies(
      async () => {
        throw new WetreadError('archive.unreachable');
      },
      { concurrency: 1 },
    );
    const patient = newPatient();
    await arrive(failing.store, patient);
    await expect
      .poll(async () => (await failing.cards(id, { patientId: patient }))[0]?.detail)
      .toContain(`waiting to be tried again. ${errorTable['archive.unreachable'].says}`);
    await failing.close();
  });

  it('that waits for long is another card than one that just came', async () => {
    const late = await cdsService({ now: () => new Date(Date.now() + 3_600_000) });
    const patient = newPatient();
    await arrive(late.store, patient, newStudy(), { startedAt: '2026-11-21T09:30:00' });
    const cards = await late.cards(id, { patientId: patient });
    expect(cards.map(({ summary }) => summary)).toEqual(['Film of 21 Nov 2026 still waits to be read by AI']);
    await late.close();
  });

  it('that failed is said not to be read, why, and what to do', async () => {
    const patient = newPatient();
    await settle(
      service.store,
      patient,
      { kind: 'failed', code: 'dicom.truncated' },
      { startedAt: daysAgo(1), modalities: ['MR'] },
    );
    const [card, ...others] = await cardsOf(patient);
    expect(others).toEqual([]);
    expect(card!.summary).toMatch(/^MR study of .* was NOT read by AI: The DICOM file ends before its data does\.$/);
    expect(card!.detail!).toContain('Send the study again; the copy in the archive is incomplete. (dicom.truncated)');
    expect(card!.detail).toContain('not because there is none');
    expect(card!.links).toBeUndefined();
  });

  it('that failed in part is said to be read in part', async () => {
    const patient = newPatient();
    const reading = await read(service.store, patient, [noSlip('L4/L5')]);
    await service.store.register.settle(reading.studyUid, {
      kind: 'analysed',
      readings: [reading.id],
      selection: [],
      packFailures: [{ pack: 'other', code: 'model.deadline-exceeded' }],
    });
    expect(await summariesOf(patient)).toEqual([
      expect.stringContaining('was read only in part by AI: The model did not finish in time'),
    ]);
  });

  it('shares one card with others that failed', async () => {
    const patient = newPatient();
    for (const code of ['dicom.truncated', 'archive.unreachable'] as const) {
      await settle(service.store, patient, { kind: 'failed', code });
    }
    const cards = await cardsOf(patient);
    expect(cards.map(({ summary }) => summary)).toEqual([
      expect.stringContaining('2 studies were NOT fully read by AI'),
    ]);
    expect(cards[0]!.detail).toContain('archive.unreachable');
  });

  it('that failed long ago leaves the clinician alone', async () => {
    const patient = newPatient();
    await settle(service.store, patient, { kind: 'failed', code: 'dicom.truncated' }, { startedAt: daysAgo(45) });
    expect(await cardsOf(patient)).toEqual([]);
  });

  /** Only of recent films is it told that they were not read. */
  const yesterday = daysAgo(1);

  it('that could not be assessed says why, and opens', async () => {
    const patient = newPatient();
    const reading = await read(service.store, patient, [unusable('wrong-view', 'This is not a lateral view.')], {
      startedAt: yesterday,
    });
    const [card] = await cardsOf(patient);
    expect(card!.summary).toBe(`Not read: film of ${dayInWords(yesterday)}. This is not a lateral view.`);
    expect(card!.links![0]).toMatchObject({ appContext: JSON.stringify({ study: reading.studyUid }) });
  });

  it('that a pack refused is said to be not read once, however the pack puts it', async () => {
    const patient = newPatient();
    await read(service.store, patient, [unusable('wrong-view', 'Not read: this is a front view.')], {
      startedAt: yesterday,
    });
    const [card] = await cardsOf(patient);
    expect(card!.summary).toBe(`Not read: film of ${dayInWords(yesterday)}. This is a front view.`);
    expect(card!.detail).toMatch(/^- The whole film: this is a front view\.$/m);
    expect(`${card!.summary} ${card!.detail}`.match(/not read/gi)).toHaveLength(1);
  });

  it('of which a level could not be assessed says which', async () => {
    const patient = newPatient();
    await read(service.store, patient, [noSlip('L4/L5'), unseen('L5/S1')], { startedAt: yesterday });
    expect(await summariesOf(patient)).toEqual([
      `Film of ${dayInWords(yesterday)} read in part: AI could not assess L5/S1`,
    ]);
  });

  it('that no model is for, or that was read without suspicion, gets no card', async () => {
    const patient = newPatient();
    await settle(service.store, patient, { kind: 'skipped', reason: 'no-pack-applies', selection: [] });
    await read(service.store, patient, [noSlip('L4/L5')]);
    expect(await cardsOf(patient)).toEqual([]);
  });

  it('says nothing of a patient without films', async () => {
    expect(await cardsOf(newPatient())).toEqual([]);
  });
});
