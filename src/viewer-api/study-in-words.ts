/** Where a study stands, in a sentence a clinician can act on. */
import { errorTable } from '../domain/errors.ts';
import type { Outcome, SkipReason } from '../domain/outcome.ts';
import type { StudyState } from '../domain/study.ts';
import type { StudyProgress } from './contract.ts';

type InWords = { readonly progress: StudyProgress; readonly says: string; readonly next?: string };

const skips: Record<SkipReason, string> = {
  'no-pack-applies': 'Not read: no model here reads this kind of image.',
  'no-image': 'Not read: the study holds no image.',
  'unknown-modality': 'Not read: no model here reads this kind of examination.',
};

function settled(outcome: Outcome): InWords {
  switch (outcome.kind) {
    case 'skipped':
      return { progress: 'not-read', says: skips[outcome.reason], next: 'Read the images as usual.' };
    case 'failed': {
      const row = errorTable[outcome.code];
      return { progress: 'failed', says: `Could not be read. ${row.says}`, next: row.next };
    }
    case 'analysed': {
      const failure = outcome.packFailures[0];
      if (failure === undefined) return { progress: 'read', says: 'Read by AI.' };
      const row = errorTable[failure.code];
      return outcome.readings.length === 0
        ? { progress: 'failed', says: `Could not be read. ${row.says}`, next: row.next }
        : { progress: 'read', says: `Read in part: one model failed. ${row.says}`, next: row.next };
    }
  }
}

export function studyInWords(state: StudyState): InWords {
  switch (state.kind) {
    case 'pending':
      return {
        progress: 'pending',
        says:
          state.lastFailure === undefined
            ? 'Waiting to be read.'
            : `Waiting to be tried again. ${errorTable[state.lastFailure.code].says}`,
        next: 'This page shows the result as soon as it is there.',
      };
    case 'reading':
      return {
        progress: 'reading',
        says: state.attempt > 1 ? `Being read now, try ${state.attempt}.` : 'Being read now.',
        next: 'This page shows the result as soon as it is there.',
      };
    case 'settled':
      return settled(state.outcome);
    case 'dead': {
      const words = settled(state.outcome);
      return {
        ...words,
        progress: 'failed',
        next: 'Every try failed. Read the images as usual and tell the imaging IT team.',
      };
    }
  }
}
