/** Runs every pack on the pictures chosen for it, as they come; one pack's failure is recorded and never silences the others. */
import { asWetreadError, WetreadError, type ErrorCode } from '../domain/errors.ts';
import type { FindingDraft, PackIdentity, Reading } from '../domain/finding.ts';
import { findingIdOf, readingIdOf } from '../domain/identity.ts';
import type { SeriesUid } from '../domain/ids.ts';
import type { Logger } from '../domain/log.ts';
import type { SelectionNote } from '../domain/outcome.ts';
import type { ModelAnswer, ModelRunner, PackSummary } from '../domain/ports.ts';
import type { StudyRecord } from '../domain/study.ts';
import { considerPicture } from '../kit/consider-picture.ts';
import { combinePictures } from './combine-pictures.ts';
import type { Loaded } from './load-images.ts';
import type { Content } from './what-to-read.ts';

type Parts = { readonly models: ModelRunner; readonly logger: Logger; readonly now?: () => Date };
export type PackFailure = { readonly pack: string; readonly code: ErrorCode };
export type Read = {
  readonly readings: readonly Reading[];
  readonly packFailures: readonly PackFailure[];
  /** What single pictures said that their series could not. */
  readonly notes: readonly SelectionNote[];
};

/** No picture is kept, only what was answered. */
export async function runModels(
  parts: Parts,
  record: StudyRecord,
  pictures: AsyncIterable<Loaded>,
  contents: ReadonlyMap<string, Content>,
  signal: AbortSignal,
): Promise<Read> {
  const { patientId } = record;
  if (patientId === undefined) throw new WetreadError('chart.patient-unknown');
  const packs = new Map(parts.models.packs.map((pack) => [pack.name, { pack, ...nothingYet() }]));
  let came = 0;
  let firstFault: WetreadError | undefined;

  for await (const loaded of pictures) {
    if (loaded.kind === 'fault') firstFault ??= loaded.error;
    else if ((came += 1) === 1) parts.logger.info('first images loaded');
    for (const name of loaded.packs) {
      const state = packs.get(name);
      if (state === undefined) continue;
      if (loaded.kind !== 'fault') await readWith(parts, state, loaded, signal);
      else {
        state.fault ??= loaded.error.code;
        note(state, loaded.seriesUid, `${loaded.error.row.says} (${loaded.error.code})`);
      }
    }
  }
  if (came === 0) throw firstFault ?? new WetreadError('dicom.no-pixel-data');

  const readings: Reading[] = [];
  const packFailures: PackFailure[] = [];
  for (const { pack, answers, failure, fault, leftOut } of packs.values()) {
    const content = contents.get(pack.name);
    const [best] = answers;
    const code = failure ?? (best === undefined && !leftOut ? fault : undefined);
    if (code !== undefined) packFailures.push({ pack: pack.name, code });
    else if (best !== undefined && content !== undefined)
      readings.push(readingOf({ ...record, patientId }, pack, answers, content, parts.now?.() ?? new Date()));
  }
  return { readings, packFailures, notes: [...packs.values()].flatMap(notesOf) };
}

type Answered = { readonly answer: ModelAnswer; readonly assessable: number; readonly fits: boolean };

type State = {
  readonly pack: PackSummary;
  /** The picture on which most could be assessed first: a study often holds a front and a side view. */
  answers: Answered[];
  failure: ErrorCode | undefined;
  /** Why the first picture that could not be read could not. */
  fault: ErrorCode | undefined;
  /** A picture was not for this pack, so that no answer is no failure. */
  leftOut: boolean;
  /** How many pictures of which series something was said of. */
  readonly said: Map<string, { readonly seriesUid: SeriesUid; readonly why: string; pictures: number }>;
};
const nothingYet = (): Omit<State, 'pack'> => ({
  answers: [],
  failure: undefined,
  fault: undefined,
  leftOut: false,
  said: new Map(),
});

async function readWith(
  { models, logger }: Parts,
  state: State,
  loaded: Exclude<Loaded, { kind: 'fault' }>,
  signal: AbortSignal,
): Promise<void> {
  const { pack } = state;
  if (state.failure !== undefined) return;
  const first = loaded.kind === 'stack' ? loaded.images[0]! : loaded.image;
  const consideration = considerPicture(pack, first.tags);
  const better = state.answers.some(({ fits, assessable }) => fits && assessable > 0);
  if (consideration.kind === 'leave' || (consideration.kind === 'last' && better)) {
    state.leftOut = true;
    note(state, first.seriesUid, consideration.why);
    return;
  }
  try {
    const answer = await models.run(pack, loaded.kind === 'stack' ? loaded.images : loaded.image, signal);
    const one = { answer, assessable: assessableIn(answer), fits: consideration.kind === 'read' };
    state.answers = [...state.answers, one].sort(bestFirst);
  } catch (thrown) {
    const error = asWetreadError(thrown);
    // What may pass is left to the job's retries, which repeat the whole study: packs that answered keep their ids.
    if (error.row.retry) throw error;
    logger.error('pack failed', { pack: pack.name, code: error.code, cause: error });
    state.failure = error.code;
  }
}

/** Of equals the one that came first stays first. */
const bestFirst = (a: Answered, b: Answered): number => b.assessable - a.assessable || Number(b.fits) - Number(a.fits);

const assessableIn = ({ findings }: ModelAnswer): number =>
  findings.filter((draft: FindingDraft) => draft.result.kind !== 'not-assessable').length;

function note({ said }: State, seriesUid: SeriesUid, why: string): void {
  const before = said.get(`${seriesUid} ${why}`);
  if (before === undefined) said.set(`${seriesUid} ${why}`, { seriesUid, why, pictures: 1 });
  else before.pictures += 1;
}

const notesOf = ({ pack, said }: State): SelectionNote[] =>
  [...said.values()].map(({ seriesUid, why, pictures }) => ({
    seriesUid,
    pack: pack.name,
    taken: false,
    why: `${pictures} ${pictures === 1 ? 'picture' : 'pictures'} left out: ${why}`,
  }));

function readingOf(
  record: StudyRecord & Required<Pick<StudyRecord, 'patientId'>>,
  { name, version, title, sha256 }: PackIdentity,
  answers: readonly Answered[],
  content: Content,
  now: Date,
): Reading {
  const identity = { name, version, title, sha256 };
  const id = readingIdOf(record.studyUid, identity, content.hash);
  return {
    id,
    studyUid: record.studyUid,
    patientId: record.patientId,
    pack: identity,
    contentHash: content.hash,
    pictures: content.pictures,
    readAt: now.toISOString(),
    executionProvider: answers[0]!.answer.executionProvider,
    findings: combinePictures(answers.map(({ answer }) => answer.findings)).map((draft) => ({
      ...draft,
      id: findingIdOf(id, draft.concept, draft.site),
      verdict: { kind: 'unreviewed' },
    })),
    review: { kind: 'open' },
  };
}
