/** Two archives as one: what was sent here is read from here, everything else from the PACS. */
import { WetreadError } from '../domain/errors.ts';
import type { ReceivedObjects } from '../domain/inbox.ts';
import { isUid, studyUid, type StudyUid } from '../domain/ids.ts';
import type { Archive } from '../domain/ports.ts';
import type { StudySummary } from '../domain/study.ts';
import type { Forwarding } from './dicomweb-archive.ts';

export type InboxFirstOptions = {
  readonly objects: Pick<ReceivedObjects, 'holds'>;
  readonly inbox: Archive & Forwarding;
  /** Absent where everything is sent. */
  readonly pacs?: Archive & Forwarding;
};

export function inboxFirst({ objects, inbox, pacs }: InboxFirstOptions): Archive & Forwarding {
  const holding = async (study: StudyUid): Promise<Archive & Forwarding> =>
    pacs === undefined || (await objects.holds(study)) ? inbox : pacs;

  return {
    async findStudies(query, signal) {
      if (pacs === undefined) return inbox.findStudies(query, signal);
      // Walks through an archive are about the PACS: whatever was sent here has announced itself.
      if (query.studyUid === undefined && query.accession === undefined) return pacs.findStudies(query, signal);
      const received = await inbox.findStudies(query, signal);
      if (query.studyUid !== undefined && received.length > 0) return received;
      const others = await pacs.findStudies(query, signal);
      return withoutDoubles([...received, ...others]).slice(0, query.limit);
    },
    findSeries: async (study, signal) => (await holding(study)).findSeries(study, signal),
    findInstances: async (study, series, signal) => (await holding(study)).findInstances(study, series, signal),
    async *fetchSeries(study, series, signal) {
      yield* (await holding(study)).fetchSeries(study, series, signal);
    },
    fetchMetadata: async (study, series, signal) => (await holding(study)).fetchMetadata(study, series, signal),
    async *fetchInstances(study, series, sops, signal) {
      yield* (await holding(study)).fetchInstances(study, series, sops, signal);
    },
    probe: (signal) => (pacs ?? inbox).probe(signal),
    async forward(path, request) {
      const [, study = ''] = /^studies\/([0-9.]+)/.exec(path) ?? [];
      if (!isUid(study)) throw new WetreadError('request.malformed', 'not a path of a study');
      return (await holding(studyUid(study))).forward(path, request);
    },
  };
}

function withoutDoubles(studies: readonly StudySummary[]): StudySummary[] {
  const known = new Map<string, StudySummary>();
  for (const study of studies) if (!known.has(study.studyUid)) known.set(study.studyUid, study);
  return [...known.values()];
}
