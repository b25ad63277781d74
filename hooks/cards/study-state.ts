/** Cards for films that have no finding to show, so that an empty list never hides one that was not read. */
import { bullets, prose, paragraphs } from '../../src/kit/markdown.ts';
import { explained, type Card, type ErrorCode, type HookServices, type StudyRecord } from '../../src/kit/hook.ts';
import type { ChartState, OpenFinding } from './chart-state.ts';
import { modelParagraph, overrideReasons, researchUseOnly, sourceOf } from './labels.ts';
import { whatHelps } from './what-helps.ts';
import { capitalised, dateOf, levelOf, studyWords } from './words.ts';

/** After this, what was not read is history: the operator still sees it, the clinician is left alone. */
const recentDays = 30;
const dayMs = 86_400_000;
/** A film that waits longer than this is not "just being read". */
const longWaitMs = 15 * 60_000;

export const isRecent = (study: StudyRecord, now: Date): boolean =>
  now.getTime() - new Date(dateOf(study)).getTime() <= recentDays * dayMs;

export function studyStateCards(state: ChartState, services: HookServices): Card[] {
  const now = services.now();
  const recent = state.studies.filter((study) => isRecent(study, now));
  const failed = recent.flatMap((study) => {
    const code = failureOf(study);
    return code === undefined ? [] : [{ study, code }];
  });
  const waiting = state.studies.filter(({ state: { kind } }) => kind === 'pending' || kind === 'reading');
  return [
    ...(failed.length === 0 ? [] : [failedCard(failed, services)]),
    ...notAssessableCards(state, recent, services),
    ...(waiting.length === 0 ? [] : [waitingCard(waiting, now, services)]),
  ];
}

/** Why a study, or a part of the models that should have read it, failed. A study no model is for is not a failure. */
export function failureOf({ state }: StudyRecord): ErrorCode | undefined {
  if (state.kind !== 'settled' && state.kind !== 'dead') return undefined;
  const { outcome } = state;
  if (outcome.kind === 'failed') return outcome.code;
  if (outcome.kind === 'analysed' && outcome.packFailures.length > 0) return outcome.packFailures[0]!.code;
  return state.kind === 'dead' ? 'internal.unexpected' : undefined;
}

const isPartly = ({ state }: StudyRecord): boolean =>
  state.kind === 'settled' && state.outcome.kind === 'analysed' && state.outcome.readings.length > 0;

function failedCard(
  failed: readonly { readonly study: StudyRecord; readonly code: ErrorCode }[],
  { card }: HookServices,
): Card {
  const [first] = failed;
  const one = `${capitalised(studyWords(first!.study))} was ${isPartly(first!.study) ? 'read only in part' : 'NOT read'} by AI: ${explained(first!.code).says}`;
  return card({
    about: {
      studies: failed.map(({ study }) => study.studyUid),
      state: `failed ${failed.map(({ code }) => code).join()}`,
    },
    summary:
      failed.length === 1
        ? one
        : `${failed.length} studies were NOT fully read by AI; nothing can be concluded from the silence.`,
    indicator: 'info',
    source: sourceOf('not-read'),
    detail: paragraphs([
      bullets(
        failed.map(
          ({ study, code }) =>
            prose`${capitalised(studyWords(study))}: **${isPartly(study) ? 'read only in part' : 'not read'}.** ${explained(code).says} ${explained(code).next} (${code})`,
        ),
      ),
      prose`No finding is shown because none was looked for, not because there is none.`,
      researchUseOnly,
    ]),
  });
}

/** One card for each film; a film with a suspicion says on that card which levels could not be judged. */
function notAssessableCards(state: ChartState, recent: readonly StudyRecord[], services: HookServices): Card[] {
  const suspicious = new Set(state.suspicions.map(({ reading }) => reading.id));
  return recent.flatMap((study) => {
    const open = state.notAssessable.filter(
      ({ reading }) => reading.studyUid === study.studyUid && !suspicious.has(reading.id),
    );
    return open.length === 0 ? [] : [notAssessableCard(study, open, services)];
  });
}

function notAssessableCard(study: StudyRecord, open: readonly OpenFinding[], services: HookServices): Card {
  const whole = open.find(({ finding }) => finding.site.kind === 'image');
  const levels = [...new Set(open.map(({ finding }) => levelOf(finding.site)))];
  return services.card({
    about: { findings: open.map(({ finding }) => finding.id), studies: [study.studyUid], state: 'not assessable' },
    summary:
      whole === undefined
        ? `${capitalised(studyWords(study))} read in part: AI could not assess ${levels.join(', ')}`
        : `Not read: ${studyWords(study)}. ${capitalised(withoutVerdict(explanationOf(whole)))}`,
    indicator: 'info',
    source: sourceOf('not-read'),
    detail: paragraphs([
      // Several models refuse a film for the same reason in the same words; it is told once.
      bullets(
        [...new Map(open.map((one) => [`${levelOf(one.finding.site)} ${explanationOf(one)}`, one])).values()].map(
          (one) => prose`${capitalised(levelOf(one.finding.site))}: ${withoutVerdict(explanationOf(one))}`,
        ),
      ),
      ...[...new Set(open.map(helpFor))].filter((help) => help !== '').map((help) => prose`${help}`),
      prose`What could not be assessed says nothing for or against a finding.`,
      modelParagraph(open[0]!.reading, services),
      researchUseOnly,
    ]),
    links: [services.appLink('Open the film', { study: study.studyUid })],
    overrideReasons,
  });
}

const explanationOf = ({ finding: { result } }: OpenFinding): string =>
  result.kind === 'not-assessable' ? result.explanation : '';

const helpFor = ({ finding: { result } }: OpenFinding): string =>
  result.kind === 'not-assessable' ? whatHelps(result.reason) : '';

function waitingCard(waiting: readonly StudyRecord[], now: Date, services: HookServices): Card {
  // A clinician waits for the newest; a backfill of hundreds stays in its order.
  for (const { studyUid } of waiting.slice(0, 3)) services.afterAnswer('hurry', () => services.studies.hurry(studyUid));
  const late = waiting.filter(({ announcedAt }) => now.getTime() - Date.parse(announcedAt) > longWaitMs);
  const [first] = waiting;
  const state = late.length > 0 ? 'waiting for long' : 'pending';
  const one = late.length > 0 ? 'still waits to be read by AI' : 'is being read by AI';
  return services.card({
    about: { studies: waiting.map(({ studyUid }) => studyUid), state },
    summary:
      waiting.length === 1
        ? `${capitalised(studyWords(first!))} ${one}`
        : `${waiting.length} studies are being read by AI${late.length > 0 ? `, ${late.length} of them waiting for long` : ''}`,
    indicator: 'info',
    source: sourceOf('pending'),
    detail: paragraphs([
      bullets(
        waiting.map(({ state: where, ...study }) => {
          const words = capitalised(studyWords({ state: where, ...study }));
          if (where.kind === 'pending' && where.lastFailure !== undefined)
            return prose`${words}: waiting to be tried again. ${explained(where.lastFailure.code).says}`;
          return where.kind === 'reading' && where.attempt > 1
            ? prose`${words}: being tried again (try ${where.attempt})`
            : prose`${words}: ${where.kind === 'reading' ? 'being read' : 'in the queue'}`;
        }),
      ),
      prose`Open the chart again in a moment. Nothing can be concluded yet.`,
    ]),
  });
}

/** Packs explain themselves in whole sentences ("Not read: this is a front view."); on the card the verdict is told once, in its summary. */
const withoutVerdict = (explanation: string): string => explanation.replace(/^not read: */i, '');
