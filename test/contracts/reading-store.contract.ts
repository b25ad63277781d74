/** What every reading store must do; an implementation passes itself in. */
import { describe, expect, test } from 'vitest';
import { findingId, readingId, sopUid } from '../../src/domain/ids.ts';
import type { ReadingStore, StudyRegister } from '../../src/domain/ports.ts';
import {
  anna,
  arrived,
  ben,
  normal,
  fracture,
  notAssessable,
  patient,
  reading,
  study,
  suspicion,
} from '../store/samples.ts';

export function readingStoreContract(
  name: string,
  open: () => Promise<{ readings: ReadingStore; register: StudyRegister }>,
): void {
  const later = '2026-03-02T09:30:00.000Z';
  const late = [sopUid('2.25.77'), sopUid('2.25.78')];
  let last = 0;
  async function saved(drafts?: Parameters<typeof reading>[1]) {
    const { readings, register } = await open();
    const uid = study(900 + (last += 1));
    await register.announce(arrived(uid));
    return { readings, register, uid, stored: await readings.save(reading(uid, drafts)) };
  }

  describe(`${name} as a reading store`, () => {
    test('gives back exactly what was saved, by id, by finding, by study and by patient', async () => {
      const { readings, uid, stored } = await saved([suspicion('L4/L5'), normal, fracture, notAssessable]);
      expect(stored).toEqual(reading(uid, [suspicion('L4/L5'), normal, fracture, notAssessable]));
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

    describe('when a newer reading of the same study by the same model is saved', () => {
      test('lets the newer one stand alone, and keeps the earlier one with what took its place', async () => {
        const { readings, uid, stored } = await saved();
        const newer = await readings.save(reading(uid, [suspicion('L5/S1')], { pictures: 3, readAt: later }, late));
        expect(newer.replaces).toMatchObject({
          reading: stored.id,
          version: '1.0.0',
          verdicts: 0,
          review: { kind: 'open' },
        });
        expect(await readings.forStudy(uid)).toEqual([newer]);
        expect((await readings.forStudy(uid, 'all')).map(({ id }) => id)).toEqual([newer.id, stored.id]);
        expect((await readings.forPatient(patient)).map(({ id }) => id)).not.toContain(stored.id);
        const earlier = (await readings.supersededForPatient(patient)).find(({ id }) => id === stored.id);
        expect(earlier).toMatchObject({
          superseded: { by: newer.id, standing: [newer.findings[0]!.id], sameReport: true },
        });
        expect(Date.parse(earlier!.superseded!.at)).toBeGreaterThan(Date.now() - 60_000);
        expect(await readings.get(stored.id)).toEqual(earlier);
        // An unreviewed report is carried on.
        expect(newer.report).toBe(stored.id);
      });

      test('keeps id and verdict of a finding that is the same on the same picture, and of no other', async () => {
        const { readings, uid, stored } = await saved([suspicion('L4/L5'), suspicion('L5/S1'), normal]);
        const [first, second] = stored.findings;
        await readings.recordVerdict(first!.id, { kind: 'rejected', reason: 'an overlap' }, anna);
        await readings.recordVerdict(second!.id, { kind: 'confirmed' }, ben);
        const elsewhere = { ...suspicion('L5/S1'), evidence: { sopUid: sopUid('2.25.78'), frame: 0, shapes: [] } };
        const newer = await readings.save(
          reading(uid, [suspicion('L4/L5'), elsewhere, normal], { readAt: later }, late),
        );
        expect(newer.findings[0]).toMatchObject({
          id: first!.id,
          verdict: { kind: 'rejected', by: anna, reason: 'an overlap' },
        });
        expect(newer.findings[1]!.verdict).toEqual({ kind: 'unreviewed' });
        expect(newer.findings[1]!.id).not.toBe(second!.id);
        // It names no picture, and the pictures are others now.
        expect(newer.findings[2]!.id).not.toBe(stored.findings[2]!.id);
        expect(newer).toMatchObject({ review: { kind: 'open' }, replaces: { verdicts: 1, review: { kind: 'final' } } });
        // What a person has released keeps its own report.
        expect(newer.report).toBeUndefined();
        const earlier = await readings.get(stored.id);
        expect(earlier?.findings.map(({ verdict }) => verdict.kind)).toEqual(['rejected', 'confirmed', 'unreviewed']);
        expect((await readings.findingById(first!.id))?.reading.id).toBe(newer.id);
        expect((await readings.findingById(second!.id))?.reading.id).toBe(stored.id);
      });

      test('does not take the word of other weights for the same finding', async () => {
        const { readings, uid, stored } = await saved([suspicion('L4/L5')]);
        await readings.recordVerdict(stored.findings[0]!.id, { kind: 'confirmed' }, anna);
        const pack = { ...stored.pack, version: '2.0.0', sha256: 'b'.repeat(64) };
        const newer = await readings.save(reading(uid, [suspicion('L4/L5')], { pack, readAt: later }));
        expect(newer.findings[0]!.verdict).toEqual({ kind: 'unreviewed' });
        expect(newer.findings[0]!.id).not.toBe(stored.findings[0]!.id);
      });

      test('stays final when it says what was released, word for word, and nothing else', async () => {
        const { readings, uid, stored } = await saved([suspicion('L4/L5')]);
        await readings.recordVerdict(stored.findings[0]!.id, { kind: 'confirmed' }, anna);
        const newer = await readings.save(reading(uid, [suspicion('L4/L5')], { readAt: later }, late));
        expect(newer).toMatchObject({ review: { kind: 'final', by: anna }, report: stored.id });
      });

      test('takes a verdict for whoever still has the earlier one open, if the finding stands, and refuses it otherwise', async () => {
        const { readings, uid, stored } = await saved([suspicion('L4/L5'), suspicion('L5/S1')]);
        const newer = await readings.save(reading(uid, [suspicion('L4/L5')], { readAt: later }, late));
        const judged = await readings.recordVerdict(stored.findings[0]!.id, { kind: 'confirmed' }, anna);
        expect(judged).toMatchObject({ id: newer.id, review: { kind: 'final', by: anna } });
        await expect(readings.recordVerdict(stored.findings[1]!.id, { kind: 'confirmed' }, anna)).rejects.toMatchObject(
          { code: 'request.conflict' },
        );
        await expect(readings.verify(stored.id, anna)).rejects.toMatchObject({ code: 'request.conflict' });
      });

      test('loses no verdict that is given at the same moment', async () => {
        for (let round = 0; round < 8; round += 1) {
          const { readings, uid, stored } = await saved([suspicion('L4/L5')]);
          const [verdict, newer] = await Promise.all([
            readings.recordVerdict(stored.findings[0]!.id, { kind: 'confirmed' }, anna),
            readings.save(reading(uid, [suspicion('L4/L5')], { readAt: later }, late)),
          ]);
          expect([stored.id, newer.id]).toContain(verdict.id);
          expect((await readings.get(newer.id))?.findings[0]).toMatchObject({
            id: stored.findings[0]!.id,
            verdict: { kind: 'confirmed', by: anna },
          });
        }
      });

      test('gives way to the earlier one when its pictures are the only ones again, verdicts included', async () => {
        const { readings, uid, stored } = await saved([suspicion('L4/L5')]);
        const newer = await readings.save(
          reading(uid, [suspicion('L4/L5'), suspicion('L5/S1')], { readAt: later }, late),
        );
        await readings.recordVerdict(stored.findings[0]!.id, { kind: 'rejected', reason: 'rotated' }, ben);
        await readings.reinstate(stored.id);
        const [again, ...others] = await readings.forStudy(uid);
        expect(others).toEqual([]);
        expect(again).toMatchObject({ id: stored.id, findings: [{ verdict: { kind: 'rejected', by: ben } }] });
        expect((await readings.get(newer.id))?.superseded?.by).toBe(stored.id);
        await readings.save(reading(uid, [], { readAt: later }, late));
        expect((await readings.forStudy(uid)).map(({ id }) => id)).toEqual([newer.id]);
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
