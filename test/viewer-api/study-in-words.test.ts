/** Where a study stands, as the app says it. */
import { expect, test } from 'vitest';
import { errorTable } from '../../src/domain/errors.ts';
import { studyInWords } from '../../src/viewer-api/study-in-words.ts';

test('a study that waits for its next try says what ended the last one', () => {
  expect(studyInWords({ kind: 'pending' }).says).toBe('Waiting to be read.');
  const lastFailure = { code: 'archive.unreachable', attempt: 2, at: '2026-11-21T18:00:00.000Z' } as const;
  expect(studyInWords({ kind: 'pending', lastFailure })).toMatchObject({
    progress: 'pending',
    says: `Waiting to be tried again. ${errorTable['archive.unreachable'].says}`,
  });
});
