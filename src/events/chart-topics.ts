/** What is done with the resources that subscriptions tell of: studies are announced, orders and reports remembered. */
import type { DiagnosticReport, ImagingStudy, ServiceRequest } from 'fhir/r4.js';
import type { ExpectedExams } from '../domain/expected-exam.ts';
import type { Logger } from '../domain/log.ts';
import type { StudyRegister } from '../domain/ports.ts';
import { heardReport, type ReportSources } from './diagnostic-report.ts';
import { heardStudy } from './imaging-study.ts';
import { heardOrder, type OrderReading } from './service-request.ts';

export type TopicResource = ImagingStudy | ServiceRequest | DiagnosticReport;
export type TopicType = TopicResource['resourceType'];

/** A kind of resource that a topic is about. `hear` returns when everything is in the database, and may be repeated. */
export type ChartTopic = {
  readonly type: TopicType;
  hear(resource: TopicResource & { id: string }, baseUrl: string, signal?: AbortSignal): Promise<void>;
};

export function imagingStudies(parts: {
  readonly announce: StudyRegister['announce'];
  readonly accessionSystem?: string | undefined;
  readonly logger: Logger;
}): ChartTopic {
  const { announce, accessionSystem, logger } = parts;
  return {
    type: 'ImagingStudy',
    async hear(study, baseUrl) {
      if (study.resourceType !== 'ImagingStudy') return;
      const heard = heardStudy(study, baseUrl, accessionSystem);
      if ('left' in heard) {
        logger.info('a study in the chart is not read', { reason: heard.left });
        return;
      }
      const outcome = await announce(heard.event);
      if (outcome === 'queued')
        logger.info('study announced', { source: 'fhir-subscription', studyUid: heard.event.studyUid });
    },
  };
}

type Remembering = {
  readonly exams: Pick<ExpectedExams, 'hear'>;
  /** Called when something was heard. */
  readonly onHeard?: () => void;
  readonly logger: Logger;
};

export function serviceRequests({
  exams,
  reading,
  onHeard,
  logger,
}: Remembering & { readonly reading: OrderReading }): ChartTopic {
  return {
    type: 'ServiceRequest',
    async hear(order, baseUrl) {
      if (order.resourceType !== 'ServiceRequest') return;
      const heard = heardOrder(order, baseUrl, reading);
      if ('left' in heard) {
        logger.debug('an order in the chart is not remembered', { reason: heard.left });
        return;
      }
      await exams.hear([heard.exam]);
      logger.info('order heard of', { state: heard.exam.state, priority: heard.exam.priority ?? 'unsaid' });
      onHeard?.();
    },
  };
}

export function diagnosticReports({
  exams,
  sources,
  onHeard,
  logger,
}: Remembering & { readonly sources: ReportSources }): ChartTopic {
  return {
    type: 'DiagnosticReport',
    async hear(report, _baseUrl, signal) {
      if (report.resourceType !== 'DiagnosticReport') return;
      const heard = await heardReport(report, sources, signal);
      if ('left' in heard) {
        logger.debug('a report in the chart tells of no study', { reason: heard.left });
        return;
      }
      await exams.hear([heard.exam]);
      logger.info('report heard of', { studies: heard.exam.studyUids.length });
      onHeard?.();
    },
  };
}
