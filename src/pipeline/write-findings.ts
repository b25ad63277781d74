/** Writes one stored reading to one output; repeated until it succeeds, and harmless when repeated. */
import { WetreadError } from '../domain/errors.ts';
import type { ReadingId } from '../domain/ids.ts';
import type { Logger } from '../domain/log.ts';
import type { Output, ReadingStore, StudyRegister } from '../domain/ports.ts';

export type WritingParts = {
  readonly readings: ReadingStore;
  readonly register: StudyRegister;
  readonly outputs: readonly Output[];
  readonly logger: Logger;
};

export async function writeFindings(
  parts: WritingParts,
  job: { readingId: ReadingId; output: string; signal: AbortSignal },
): Promise<void> {
  const output = parts.outputs.find(({ name }) => name === job.output);
  if (output === undefined) throw new WetreadError('config.invalid', `no output is called ${job.output}`);
  const reading = await parts.readings.get(job.readingId);
  const study = reading && (await parts.register.get(reading.studyUid));
  if (reading === undefined || study === undefined)
    throw new WetreadError('internal.unexpected', 'a reading that owes an output is gone');
  await output.write(reading, study, job.signal);
  if (reading.superseded !== undefined) {
    // Both may be written in the same report: an earlier try of this job must not have the last word there.
    const standing = await parts.readings.get(reading.superseded.by);
    if (standing !== undefined) await output.write(standing, study, job.signal);
  }
  parts.logger.info('reading written', {
    outputName: output.name,
    studyUid: reading.studyUid,
    review: reading.review.kind,
  });
}
