/** What was read of a patient, kept until anything about this patient changes in any process: cards are asked for far more often than films arrive. */
import type { PatientId } from '../domain/ids.ts';

export type PatientCache = {
  /** The stored answer, or what `load` brings. Answers are shared: nobody may change them. */
  get<Answer>(patient: PatientId, what: string, load: () => Promise<Answer>): Promise<Answer>;
  forget(patient: string): void;
  forgetAll(): void;
};

export function patientCache(options: { patients: number; trusted: () => boolean }): PatientCache {
  const kept = new Map<string, Map<string, Promise<unknown>>>();

  return {
    get<Answer>(patient: PatientId, what: string, load: () => Promise<Answer>): Promise<Answer> {
      if (!options.trusted()) return load();
      const answers = kept.get(patient) ?? new Map<string, Promise<unknown>>();
      const known = answers.get(what) as Promise<Answer> | undefined;
      if (known !== undefined) return known;
      // Stored before it has come: a change that happens while it is on its way removes it, and the next caller reads anew.
      const coming = load();
      answers.set(what, coming);
      coming.catch(() => answers.get(what) === coming && answers.delete(what));
      // Insertion order is age: the oldest patient makes room.
      kept.delete(patient);
      kept.set(patient, answers);
      if (kept.size > options.patients) kept.delete(kept.keys().next().value ?? patient);
      return coming;
    },
    forget: (patient) => void kept.delete(patient),
    forgetAll: () => kept.clear(),
  };
}
