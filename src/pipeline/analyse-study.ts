/** When a study arrives: select series → load images → run models → keep the findings. The whole first sentence of the house, in one function. */
import { WetreadError } from '../domain/errors.ts';
import type { StudyUid, PatientId } from '../domain/ids.ts';
import type { Logger } from '../domain/log.ts';
import type {
  Archive,
  Chart,
  ImageDecoder,
  ModelRunner,
  OrderBook,
  ReadingStore,
  StudyRegister,
} from '../domain/ports.ts';
import type { StudySummary } from '../domain/study.ts';
import { linkToChart } from './link-to-chart.ts';
import { loadImages } from './load-images.ts';
import { runModels } from './run-models.ts';
import { selectSeries } from './select-series.ts';
import { sideBySide } from './side-by-side.ts';

export type AnalysisParts = {
  readonly archive: Archive;
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
  readonly attempt: number;
  readonly patientId?: PatientId;
  readonly signal: AbortSignal;
};

/**
 * Throws the reason when the study could not be read; whoever runs the job decides whether to try again.
 * Safe to repeat from the start at any moment: ids are derived from content, and what is stored already stays.
 */
export async function analyseStudy(parts: AnalysisParts, job: AnalysisJob): Promise<void> {
  const { archive, register } = parts;
  const { signal } = job;
  const log = parts.logger.with({ studyUid: job.studyUid, attempt: job.attempt });

  await register.begin(job.studyUid, job.attempt);
  const [study, series] = await sideBySide(
    (until) => findStudy(archive, job.studyUid, until),
    (until) => archive.findSeries(job.studyUid, until),
    signal,
  );
  const { chosen, notes } = selectSeries(parts.models.packs, study, series);

  const describe = async (until: AbortSignal) =>
    register.describe(study, await linkToChart(parts, study, job.patientId, until));
  if (chosen.length === 0) {
    await describe(signal);
    log.info('study skipped', { reason: 'no-pack-applies' });
    return register.settle(job.studyUid, { kind: 'skipped', reason: 'no-pack-applies', selection: notes });
  }

  // The pictures come while the chart is asked. A film that cannot be read is still put in its chart, where it is said to be unread.
  const [record, images] = await sideBySide(
    describe,
    (until) => loadImages({ archive, decoder: parts.decoder }, job.studyUid, chosen, until),
    signal,
  );
  log.info('images loaded', { series: chosen.length, images: images.length });

  const { readings, packFailures } = await runModels(parts, record, chosen, images, signal);
  for (const reading of readings) await parts.readings.save(reading);
  await register.settle(job.studyUid, {
    kind: 'analysed',
    readings: readings.map(({ id }) => id),
    selection: notes,
    packFailures,
  });
  log.info('study read', { readings: readings.length, packFailures: packFailures.length });
}

async function findStudy(archive: Archive, studyUid: StudyUid, signal: AbortSignal): Promise<StudySummary> {
  const [study] = await archive.findStudies({ studyUid, limit: 1 }, signal);
  if (study === undefined || study.studyUid !== studyUid) throw new WetreadError('archive.not-found');
  return study;
}
