/** What every study register must do; an implementation passes itself in. */
import { describe, expect, test } from 'vitest';
import { patientId, readingId, studyUid } from '../../src/domain/ids.ts';
import type { StudyRegister } from '../../src/domain/ports.ts';

export function studyRegisterContract(name: string, open: () => Promise<StudyRegister>): void {
  let last = 0;
  /** Each test has studies and patients of its own, so that one register serves them all. */
  const fresh = () => ({ uid: studyUid(`2.25.9${(last += 1)}`), patient: patientId(`contract-${last}`) });
  const event = (uid: ReturnType<typeof studyUid>) =>
    ({ source: 'rest', studyUid: uid, reason: 'study-arrived', priority: 'routine' }) as const;

  describe(`${name} as a study register`, () => {
    test('queues a study the first time it is announced and knows it afterwards', async () => {
      const register = await open();
      const { uid } = fresh();
      expect(await register.announce(event(uid))).toBe('queued');
      expect(await register.announce({ ...event(uid), source: 'dicomweb-poll' })).toBe('known');
      expect(await register.get(uid)).toMatchObject({ studyUid: uid, modalities: [], state: { kind: 'pending' } });
    });

    test('does not know a study that was never announced', async () => {
      const register = await open();
      const { uid, patient } = fresh();
      expect(await register.get(uid)).toBeUndefined();
      expect(await register.forPatient(patient)).toEqual([]);
      await expect(register.begin(uid, 1)).rejects.toMatchObject({ code: 'internal.unexpected' });
    });

    test('keeps a settled study settled when it is announced again, and reads it again only when asked to', async () => {
      const register = await open();
      const { uid } = fresh();
      await register.announce(event(uid));
      await register.settle(uid, { kind: 'skipped', reason: 'no-image', selection: [] });
      expect(await register.announce(event(uid))).toBe('known');
      expect((await register.get(uid))?.state).toEqual({
        kind: 'settled',
        outcome: { kind: 'skipped', reason: 'no-image', selection: [] },
      });
      expect(await register.announce({ ...event(uid), reason: 're-read' })).toBe('queued');
      expect(await register.announce({ ...event(uid), reason: 're-read' })).toBe('known');
      expect((await register.get(uid))?.state).toEqual({ kind: 'pending' });
    });

    test('does nothing for an announcement that counts what the archive counted, and looks again when it counts something else', async () => {
      const register = await open();
      const { uid } = fresh();
      await register.announce({ ...event(uid), instanceCount: 3 });
      await register.settle(uid, { kind: 'skipped', reason: 'no-image', selection: [] }, 4);
      const settled = await register.get(uid);
      expect(settled).toMatchObject({ instanceCount: 4, state: { kind: 'settled' } });
      for (const instanceCount of [3, 4])
        expect(await register.announce({ ...event(uid), instanceCount })).toBe('known');
      await register.announce({ ...event(uid), instanceCount: 9 });
      // Whether there is something to read is found out before anybody is told.
      expect(await register.get(uid)).toEqual(settled);
    });

    test('says that a study will be read when it is to be read again, but not to those who look when nobody waits for it', async () => {
      const register = await open();
      const { uid } = fresh();
      await register.announce(event(uid));
      await register.settle(uid, { kind: 'skipped', reason: 'no-image', selection: [] });
      const again = { ...event(uid), source: 'backfill', reason: 're-read' } as const;
      await register.announce({ ...again, priority: 'backfill' });
      expect((await register.get(uid))?.state.kind).toBe('settled');
      expect(await register.announce({ ...again, priority: 'routine' })).toBe('queued');
      expect((await register.get(uid))?.state.kind).toBe('pending');
    });

    test('learns the patient from whichever source knows it', async () => {
      const register = await open();
      const { uid, patient } = fresh();
      await register.announce(event(uid));
      await register.announce({ ...event(uid), source: 'fhir-subscription', patientId: patient, accession: 'A1' });
      expect(await register.get(uid)).toMatchObject({ patientId: patient, accession: 'A1' });
      expect((await register.forPatient(patient)).map(({ studyUid }) => studyUid)).toEqual([uid]);
    });

    test('remembers what archive and chart say of a study', async () => {
      const register = await open();
      const { uid, patient } = fresh();
      await register.announce(event(uid));
      const record = await register.describe(
        {
          studyUid: uid,
          modalities: ['DX', 'SR'],
          accession: 'A2',
          description: 'Lumbar spine',
          startedAt: '2026-03-01T09:30:00',
        },
        { patientId: patient, imagingStudy: 'ImagingStudy/7', order: 'ServiceRequest/8' },
      );
      expect(record).toMatchObject({
        studyUid: uid,
        patientId: patient,
        modalities: ['DX', 'SR'],
        accession: 'A2',
        description: 'Lumbar spine',
        startedAt: '2026-03-01T09:30:00',
        imagingStudy: 'ImagingStudy/7',
        order: 'ServiceRequest/8',
      });
      expect(await register.get(uid)).toEqual(record);
    });

    test('lists a patient’s studies with the newest first, those without a date last', async () => {
      const register = await open();
      const { patient } = fresh();
      const dates = ['2024-05-01T08:00:00', undefined, '2026-01-01T08:00:00', '2025-01-01T08:00:00'];
      for (const startedAt of dates) {
        const { uid } = fresh();
        await register.announce(event(uid));
        await register.describe(
          { studyUid: uid, modalities: ['DX'], ...(startedAt ? { startedAt } : {}) },
          { patientId: patient },
        );
      }
      expect((await register.forPatient(patient)).map(({ startedAt }) => startedAt)).toEqual([
        '2026-01-01T08:00:00',
        '2025-01-01T08:00:00',
        '2024-05-01T08:00:00',
        undefined,
      ]);
    });

    test('shows the attempt while a study is being read, and the outcome afterwards', async () => {
      const register = await open();
      const { uid } = fresh();
      await register.announce(event(uid));
      await register.begin(uid, 3);
      expect((await register.get(uid))?.state).toEqual({ kind: 'reading', attempt: 3 });
      const outcome = {
        kind: 'analysed',
        readings: [readingId('00000000-0000-8000-8000-000000000001')],
        selection: [{ seriesUid: '2.25.1', pack: 'lumbar', taken: true, why: 'lateral' }],
        packFailures: [{ pack: 'other', code: 'model.run-failed' }],
      } as const;
      await register.settle(uid, outcome);
      const record = await register.get(uid);
      expect(record?.state).toEqual({ kind: 'settled', outcome });
      expect(Date.parse(record?.settledAt ?? '')).toBeGreaterThanOrEqual(Date.parse(record?.announcedAt ?? ''));
    });

    test('answers with the change at once, however often the patient was asked for before', async () => {
      const register = await open();
      const { uid, patient } = fresh();
      expect(await register.forPatient(patient)).toEqual([]);
      await register.announce({ ...event(uid), patientId: patient });
      expect((await register.forPatient(patient)).map(({ state }) => state.kind)).toEqual(['pending']);
      await register.begin(uid, 1);
      expect((await register.forPatient(patient)).map(({ state }) => state.kind)).toEqual(['reading']);
      await register.settle(uid, { kind: 'failed', code: 'dicom.truncated' });
      expect((await register.forPatient(patient)).map(({ state }) => state.kind)).toEqual(['settled']);
    });

    test('does not re-queue a study that is not dead', async () => {
      const register = await open();
      const { uid } = fresh();
      await register.announce(event(uid));
      await expect(register.requeue(uid)).rejects.toMatchObject({ code: 'request.conflict' });
      await expect(register.requeue(fresh().uid)).rejects.toMatchObject({ code: 'request.not-found' });
    });
  });
}
