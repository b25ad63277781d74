/** What every reading store must do; an implementation passes itself in. */
import { describe, expect, test } from 'vitest';
import { findingId, readingId } from '../../src/domain/ids.ts';
import type { ReadingStore, StudyRegister } from '../../src/domain/ports.ts';
import { anna, arrived, ben, normal, notAssessable, patient, reading, study, suspicion } from '../store/samples.ts';

export function readingStoreContract(
  name: string,
  open: () => Promise<{ readings: ReadingStore; register: StudyRegister }>,
): void {
  let last = 0;
  async function saved(drafts?: Parameters<typeof reading>[1]) {
    const { readings, register } = await open();
    const uid = study(900 + (last += 1));
    await register.announce(arrived(uid));
    return { readings, register, uid, stored: await readings.save(reading(uid, drafts)) };
  }

  describe(`${name} as a reading store`, () => {
    test('gives back exactly what was saved, by id, by finding, by study and by patient', async () => {
      const { readings, uid, stored } = await saved([suspicion('L4/L5'), normal, notAssessable]);
      expect(stored).toEqual(reading(uid, [suspicion('L4/L5'), normal, notAssessable]));
      expect(await readings.get(stored.id)).toEqual(stored);
      expect(await readings.forStudy(uid)).toEqual([stored]);
      expect((await readings.forPatient(patient)).find(({ id }) => id === stored.id)).toEqual(stored);
      const [finding] = stored.findings;
      expect(await readings.findingById(finding!.id)).toEqual({ finding, reading: stored });
    });

    test('knows nothing that was not saved', async () => {
      const { readings } = await open();
      const nowhere = '00000000-0000-8000-8000-00000000dead';
      expect(await readings.get(readingId(nowhere))).toBeUndefined();
      expect(await readings.findingById(findingId(nowhere))).toBeUndefined();
      await expect(readings.recordVerdict(findingId(nowhere), { kind: 'confirmed' }, anna)).rejects.toMatchObject({
        code: 'request.not-found',
      });
      await expect(readings.verify(readingId(nowhere), anna)).rejects.toMatchObject({ code: 'request.not-found' });
    });

    test('keeps the first of two savings, with the review it has by then', async () => {
      const { readings, uid, stored } = await saved();
      await readings.recordVerdict(stored.findings[0]!.id, { kind: 'confirmed' }, anna);
      const again = await readings.save({
        ...reading(uid),
        executionProvider: 'cuda',
        readAt: '2026-04-01T00:00:00.000Z',
      });
      expect(again).toMatchObject({
        executionProvider: 'cpu',
        readAt: '2026-03-01T09:30:00.000Z',
        review: { kind: 'final', by: anna },
      });
      expect(await readings.forStudy(uid)).toEqual([again]);
    });

    test('is final once no suspicion is open, by the one who answered the last', async () => {
      const { readings, stored } = await saved([suspicion('L4/L5'), suspicion('L5/S1'), normal]);
      const first = await readings.recordVerdict(stored.findings[0]!.id, { kind: 'confirmed' }, anna);
      expect(first.review).toEqual({ kind: 'open' });
      expect(first.findings.map(({ verdict }) => verdict.kind)).toEqual(['confirmed', 'unreviewed', 'unreviewed']);
      const second = await readings.recordVerdict(
        stored.findings[1]!.id,
        { kind: 'rejected', reason: 'an overlap' },
        ben,
      );
      expect(second.review).toMatchObject({ kind: 'final', by: ben });
      expect(second.findings[1]!.verdict).toMatchObject({ kind: 'rejected', by: ben, reason: 'an overlap' });
    });

    test('lets nobody overrule somebody else, but oneself', async () => {
      const { readings, stored } = await saved();
      const id = stored.findings[0]!.id;
      const confirmed = await readings.recordVerdict(id, { kind: 'confirmed' }, anna);
      await expect(readings.recordVerdict(id, { kind: 'rejected', reason: 'no' }, ben)).rejects.toMatchObject({
        code: 'request.conflict',
      });
      expect(await readings.recordVerdict(id, { kind: 'confirmed' }, ben)).toEqual(confirmed);
      const changed = await readings.recordVerdict(id, { kind: 'rejected', reason: 'second look' }, anna);
      expect(changed.findings[0]!.verdict).toMatchObject({ kind: 'rejected', by: anna, reason: 'second look' });
    });

    test('lets one of two people win who answer differently at the same moment', async () => {
      const { readings, stored } = await saved();
      const id = stored.findings[0]!.id;
      const results = await Promise.allSettled([
        readings.recordVerdict(id, { kind: 'confirmed' }, anna),
        readings.recordVerdict(id, { kind: 'rejected', reason: 'no' }, ben),
      ]);
      expect(results.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    });

    test('is final when two people answer its last two suspicions at the same moment', async () => {
      const { readings, stored } = await saved([suspicion('L4/L5'), suspicion('L5/S1')]);
      await Promise.all([
        readings.recordVerdict(stored.findings[0]!.id, { kind: 'confirmed' }, anna),
        readings.recordVerdict(stored.findings[1]!.id, { kind: 'confirmed' }, ben),
      ]);
      expect((await readings.get(stored.id))?.review.kind).toBe('final');
    });

    test('can be verified as a whole when nothing is suspected, and not before', async () => {
      const clean = await saved([normal, notAssessable]);
      expect(clean.stored.review).toEqual({ kind: 'open' });
      const verified = await clean.readings.verify(clean.stored.id, anna);
      expect(verified.review).toMatchObject({ kind: 'final', by: anna });
      expect(await clean.readings.verify(clean.stored.id, ben)).toEqual(verified);
      const suspicious = await saved();
      await expect(suspicious.readings.verify(suspicious.stored.id, anna)).rejects.toMatchObject({
        code: 'request.conflict',
      });
    });

    test('refuses a measurement that is no number', async () => {
      const { readings, register } = await open();
      const uid = study(900 + (last += 1));
      await register.announce(arrived(uid));
      const broken = { ...normal, measurements: [{ quantity: 'slip', value: Number.NaN, unit: 'mm' }] } as const;
      await expect(readings.save(reading(uid, [broken]))).rejects.toMatchObject({ code: 'model.bad-output' });
      expect(await readings.forStudy(uid)).toEqual([]);
    });
  });
}
