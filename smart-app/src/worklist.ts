/** What there is to look at and decide, in the order a reader goes through it. */
import type { FindingView, ReadingView, SessionAnswer, StudyView } from '../../src/viewer-api/contract.ts';

export type Item =
  | {
      readonly kind: 'finding';
      readonly key: string;
      readonly study: StudyView;
      readonly reading: ReadingView;
      readonly finding: FindingView;
    }
  /** A reading without suspicion: agreed to as a whole. */
  | { readonly kind: 'reading'; readonly key: string; readonly study: StudyView; readonly reading: ReadingView }
  /** Not read yet, or not readable. */
  | { readonly kind: 'study'; readonly key: string; readonly study: StudyView };

export type ItemState = 'open' | 'confirmed' | 'rejected' | 'waiting' | 'failed' | 'not-read';

export function itemsOf(studies: readonly StudyView[]): readonly Item[] {
  return studies.flatMap((study): readonly Item[] => {
    const readings = newestOfEachPack(study.readings);
    if (readings.length === 0) return [{ kind: 'study', key: study.studyUid, study }];
    const items = readings.flatMap((reading): readonly Item[] => {
      const suspicions = reading.findings.filter(({ result }) => result.kind === 'detected');
      return suspicions.length === 0
        ? [{ kind: 'reading', key: reading.id, study, reading }]
        : suspicions.map((finding) => ({ kind: 'finding', key: finding.id, study, reading, finding }));
    });
    // One model's clean reading does not stand before what another suspects on the same film.
    return [...items.filter(({ kind }) => kind === 'finding'), ...items.filter(({ kind }) => kind !== 'finding')];
  });
}

/** A study that grew was read again; the older reading stays in the chart's history but is not asked about twice. */
function newestOfEachPack(readings: readonly ReadingView[]): readonly ReadingView[] {
  const newestFirst = readings.toSorted((one, other) => other.readAt.localeCompare(one.readAt));
  return newestFirst.filter(
    (reading, index) => newestFirst.findIndex(({ pack }) => pack.name === reading.pack.name) === index,
  );
}

/** What the card pointed at; else the first open suspicion; else the newest study. */
export function firstToShow(items: readonly Item[], opens: SessionAnswer['opens']): Item | undefined {
  if (opens !== undefined && 'finding' in opens) {
    const wanted =
      items.find(({ key }) => key === opens.finding) ??
      items.find((item) => item.kind !== 'study' && item.reading.findings.some(({ id }) => id === opens.finding));
    if (wanted !== undefined) return wanted;
  }
  if (opens !== undefined && 'study' in opens) {
    const ofStudy = items.filter(({ study }) => study.studyUid === opens.study);
    if (ofStudy.length > 0) return ofStudy.find((item) => stateOf(item) === 'open') ?? ofStudy[0];
  }
  return items.find((item) => item.kind === 'finding' && stateOf(item) === 'open') ?? items[0];
}

export function stateOf(item: Item): ItemState {
  switch (item.kind) {
    case 'finding':
      return item.finding.verdict.kind === 'unreviewed' ? 'open' : item.finding.verdict.kind;
    case 'reading':
      return item.reading.review.kind === 'final' ? 'confirmed' : 'open';
    case 'study':
      if (item.study.progress === 'failed') return 'failed';
      return item.study.progress === 'pending' || item.study.progress === 'reading' ? 'waiting' : 'not-read';
  }
}

/** Where on which picture an item is seen; a reading without suspicion shows whatever its findings were measured on. */
export function evidenceOf(item: Item): FindingView['evidence'] {
  if (item.kind === 'finding') return item.finding.evidence;
  return item.kind === 'reading'
    ? item.reading.findings.find(({ evidence }) => evidence !== undefined)?.evidence
    : undefined;
}
