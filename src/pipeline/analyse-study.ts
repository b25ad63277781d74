/** When a study arrives: select series → load images → run models → keep the findings. The whole first sentence of the house, in one function. */
import { WetreadError } from '../domain/errors.ts';
import type { StudyUid, PatientId } from '../domain/ids.ts';
import type { Logger } from '../domain/log.ts';
import type { SelectionNote } from '../domain/outcome.ts';
import type {
  Archive,
  Chart,
  ImageDecoder,
  ModelRunner,
  OrderBook,
  ReadingStore,
  StudyRegister,
} from '../domain/ports.ts';
import type { ReadReason } from '../domain/event.ts';
import type { ArrangeSeries } from '../domain/slice.ts';
import type { SeriesSummary, StudySummary } from '../domain/study.ts';
import { linkToChart } from './link-to-chart.ts';
import { loadImages } from './load-images.ts';
import { runModels, type Read } from './run-models.ts';
import { selectSeries } from './select-series.ts';
import { sideBySide } from './side-by-side.ts';
import { contentsOf, whatToRead } from './what-to-read.ts';

export type AnalysisParts = {
  readonly archive: Archive;
  readonly arrange: ArrangeSeries;
  readonly decoder: ImageDecoder;
  readonly chart: Chart;
  readonly models: ModelRunner;
  readonly register: StudyRegister;
  readonly orders: OrderBook;
  readonly readings: ReadingStore;
  readonly logger: Logger;
  readonly now?: () => Date;
};

export type AnalysisJob = {
  readonly studyUid: StudyUid;
  /** `look-again`: there is something to read only when the archive holds something else by now. */
  readonly reason: ReadReason | 'look-again';
  /** It was read before, and is shown so until there is something to read. */
  readonly settled: boolean;
  /** Packs (`*` all) that read again what another version of them has read. */
  readonly packs: readonly string[];
  readonly attempt: number;
  readonly patientId?: PatientId;
  readonly signal: AbortSignal;
};

/**
 * Throws the reason when the study could not be read; whoever runs the job decides whether to try again.
 * Safe to repeat from the start at any moment: ids are derived from content, what is stored already stays, and what a
 * pack has read is not given to it again.
 */
export async function analyseStudy(parts: AnalysisParts, job: AnalysisJob): Promise<void> {
  const { archive, register, models } = parts;
  const { signal } = job;
  const log = parts.logger.with({ studyUid: job.studyUid, attempt: job.attempt });

  if (!job.settled) await register.begin(job.studyUid, job.attempt);
  const [study, series] = await sideBySide(
    (until) => findStudy(archive, job.studyUid, until),
    (until) => archive.findSeries(job.studyUid, until),
    signal,
  );
  const instanceCount = study.instanceCount ?? sumOfSeries(series);
  if (job.reason === 'look-again' && instanceCount !== undefined) {
    const before = await register.get(job.studyUid);
    if (before?.instanceCount === instanceCount) return log.info('nothing new in the archive');
  }

  const { arrange } = parts;
  const { chosen, notes } = await selectSeries({ packs: models.packs, archive, arrange }, study, series, signal);
  const contents = await contentsOf(archive, job.studyUid, chosen, signal);
  const readBefore = await parts.readings.forStudy(job.studyUid, 'all');
  const todo = whatToRead(models.packs, contents, readBefore, job.packs);
  const toLoad = chosen.filter(({ pack }) => todo.packs.has(pack));
  for (const reading of todo.return) await parts.readings.reinstate(reading);
  const standing = [...todo.stay, ...todo.return];
  const analysed = ({ readings, packFailures, notes: more }: Read) =>
    register.settle(
      job.studyUid,
      {
        kind: 'analysed',
        readings: [...standing, ...readings.map(({ id }) => id)],
        selection: [...notes, ...more],
        packFailures,
      },
      instanceCount,
    );
  const skipped = (more: readonly SelectionNote[]) => {
    log.info('study skipped', { reason: 'no-pack-applies' });
    const selection = [...notes, ...more];
    return register.settle(job.studyUid, { kind: 'skipped', reason: 'no-pack-applies', selection }, instanceCount);
  };

  const describe = async (until: AbortSignal) =>
    register.describe(study, await linkToChart(parts, study, job.patientId, until));
  if (toLoad.length === 0) {
    await describe(signal);
    if (standing.length > 0) {
      log.info('every pack has read these pictures');
      return analysed({ readings: [], packFailures: [], notes: [] });
    }
    return skipped([]);
  }
  if (job.settled) await register.begin(job.studyUid, job.attempt);

  // The pictures come while the chart is asked. A film that cannot be read is still put in its chart, where it is said to be unread.
  const pictures = loadImages({ archive, decoder: parts.decoder }, job.studyUid, toLoad, signal);
  try {
    const record = await describe(signal);
    const read = await runModels({ ...parts, logger: log }, record, pictures, contents, signal);
    // Nothing answered at all: that is the study's failure, not a footnote.
    if (standing.length + read.readings.length === 0) {
      if (read.packFailures[0] !== undefined) throw new WetreadError(read.packFailures[0].code);
      return await skipped(read.notes);
    }
    for (const reading of read.readings) await parts.readings.save(reading);
    await analysed(read);
    log.info('study read', { readings: read.readings.length, packFailures: read.packFailures.length });
  } finally {
    await pictures.return?.();
  }
}

async function findStudy(archive: Archive, studyUid: StudyUid, signal: AbortSignal): Promise<StudySummary> {
  const [study] = await archive.findStudies({ studyUid, limit: 1 }, signal);
  if (study === undefined || study.studyUid !== studyUid) throw new WetreadError('archive.not-found');
  return study;
}

/** For archives that count objects by series only. */
function sumOfSeries(series: readonly SeriesSummary[]): number | undefined {
  const counts = series.map(({ instanceCount }) => instanceCount);
  return counts.reduce((sum, count) => (sum === undefined || count === undefined ? undefined : sum + count), 0);
}
