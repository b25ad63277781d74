/** Runs every pack on the pictures chosen for it; one pack's failure is recorded and never silences the others. */
import { asWetreadError, WetreadError, type ErrorCode } from '../domain/errors.ts';
import type { FindingDraft, PackIdentity, Reading } from '../domain/finding.ts';
import { findingIdOf, readingIdOf } from '../domain/identity.ts';
import type { GreyImage } from '../domain/image.ts';
import type { Logger } from '../domain/log.ts';
import type { ModelAnswer, ModelRunner } from '../domain/ports.ts';
import type { StudyRecord } from '../domain/study.ts';
import type { ChosenSeries } from './select-series.ts';
import type { Content } from './what-to-read.ts';

type Parts = { readonly models: ModelRunner; readonly logger: Logger; readonly now?: () => Date };
export type PackFailure = { readonly pack: string; readonly code: ErrorCode };

export async function runModels(
  parts: Parts,
  record: StudyRecord,
  chosen: readonly ChosenSeries[],
  images: readonly GreyImage[],
  contents: ReadonlyMap<string, Content>,
  signal: AbortSignal,
): Promise<{ readings: Reading[]; packFailures: PackFailure[] }> {
  const readings: Reading[] = [];
  const packFailures: PackFailure[] = [];
  for (const pack of parts.models.packs) {
    const wanted = new Set(chosen.filter((one) => one.pack === pack.name).map(({ seriesUid }) => seriesUid));
    const pictures = images.filter(({ seriesUid }) => wanted.has(seriesUid));
    const content = contents.get(pack.name);
    if (pictures.length === 0 || content === undefined) continue;
    try {
      readings.push(await readWith(parts, pack, record, pictures, content, signal));
    } catch (thrown) {
      const error = asWetreadError(thrown);
      // What may pass is left to the job's retries, which repeat the whole study: packs that answered keep their ids.
      if (error.row.retry) throw error;
      parts.logger.error('pack failed', { pack: pack.name, code: error.code, cause: error });
      packFailures.push({ pack: pack.name, code: error.code });
    }
  }
  return { readings, packFailures };
}

async function readWith(
  { models, now = () => new Date() }: Parts,
  pack: PackIdentity,
  record: StudyRecord,
  pictures: readonly GreyImage[],
  content: Content,
  signal: AbortSignal,
): Promise<Reading> {
  if (record.patientId === undefined) throw new WetreadError('chart.patient-unknown');
  const answers: ModelAnswer[] = [];
  for (const picture of pictures) answers.push(await models.run(pack, picture, signal));
  const answer = mostAssessable(answers);

  const { name, version, title, sha256 } = pack;
  const identity = { name, version, title, sha256 };
  const id = readingIdOf(record.studyUid, identity, content.hash);
  return {
    id,
    studyUid: record.studyUid,
    patientId: record.patientId,
    pack: identity,
    contentHash: content.hash,
    pictures: content.pictures,
    readAt: now().toISOString(),
    executionProvider: answer.executionProvider,
    findings: answer.findings.map((draft) => ({
      ...draft,
      id: findingIdOf(id, draft.concept, draft.site),
      verdict: { kind: 'unreviewed' },
    })),
    review: { kind: 'open' },
  };
}

/** A study often holds a front and a side view: the picture on which most could be assessed is the one that is reported. */
function mostAssessable(answers: readonly ModelAnswer[]): ModelAnswer {
  const assessable = (answer: ModelAnswer) =>
    answer.findings.filter((draft: FindingDraft) => draft.result.kind !== 'not-assessable').length;
  return answers.reduce((best, answer) => (assessable(answer) > assessable(best) ? answer : best));
}
