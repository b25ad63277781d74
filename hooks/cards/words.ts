/** How cards say dates, films, numbers and levels. */
import {
  dayInWords as dayOf,
  gradeOf,
  quantityWords,
  type BodyRegion,
  type Finding,
  type Measurement,
  type Site,
  type StudyRecord,
} from '../../src/kit/hook.ts';

export { dayOf };

const filmModalities: ReadonlySet<string> = new Set(['CR', 'DX', 'RF', 'RG', 'XA']);

/** What a clinician calls such a study. */
export function nounOf(modalities: readonly string[]): string {
  if (modalities.length === 0 || modalities.some((modality) => filmModalities.has(modality))) return 'film';
  if (modalities.includes('MR')) return 'MR study';
  return modalities.includes('CT') ? 'CT study' : 'study';
}

/** `film of 21 Nov 2026`. */
export const studyWords = (study: StudyRecord): string => `${nounOf(study.modalities)} of ${dayOf(dateOf(study))}`;

/** When the picture was taken; a study that is not described yet has only the time we heard of it. */
export const dateOf = (study: StudyRecord): string => study.startedAt ?? study.announcedAt;

export const capitalised = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

export const levelOf = (site: Site): string => (site.kind === 'image' ? 'the whole film' : site.level);

const adjectives: Readonly<Record<BodyRegion, string>> = {
  'lumbar-spine': 'lumbar',
  'thoracic-spine': 'thoracic',
  'cervical-spine': 'cervical',
  'whole-spine': 'whole-spine',
  chest: 'chest',
  pelvis: 'pelvic',
  limb: 'limb',
  other: 'other',
};
export const adjectiveOf = (region: BodyRegion): string => adjectives[region];

const decimals: Readonly<Record<Measurement['unit'], number>> = { '%': 0, mm: 1, '1': 2, deg: 0 };
const signs: Readonly<Record<Measurement['unit'], string>> = { '%': ' %', mm: ' mm', '1': '', deg: '°' };

/** Without a minus before zero; a hyphen is hard to see before a small figure. */
const numberIn = (unit: Measurement['unit']) => (value: number) =>
  (Number(value.toFixed(decimals[unit])) + 0).toFixed(decimals[unit]).replace('-', '\u2212');

export function measurementWords({ quantity, value, unit, interval }: Measurement): string {
  const number = numberIn(unit);
  const range =
    interval === undefined ? '' : ` (95 % interval ${number(interval[0])} to ${number(interval[1])}${signs[unit]})`;
  return `${quantityWords(quantity).short}: ${number(value)}${signs[unit]}${range}`;
}

/** The number that says how far it is along: "34 %". */
export function extentOf({ measurements }: Finding): string | undefined {
  const extent = measurements.find(({ quantity }) => quantity === 'slip-percent' || quantity === 'height-loss');
  return extent && `${numberIn(extent.unit)(extent.value)}${signs[extent.unit]}`;
}

/** What is measured, each once: the lowest height of a wedge is its anterior one, and a card need not say it twice. */
export function distinct(measurements: readonly Measurement[]): readonly Measurement[] {
  const same = (one: Measurement, other: Measurement): boolean =>
    one.unit === other.unit && one.value === other.value && one.interval?.join() === other.interval?.join();
  return measurements.filter((one, at) => measurements.findIndex((other) => same(one, other)) === at);
}

/** The order in which suspicions are shown: by grade, then by how far along it is. A burst body stands beside half a vertebra's slip. */
const slipRank: Readonly<Record<string, number>> = { I: 1, II: 2, III: 3, IV: 4, V: 5 };
const fractureRank: Readonly<Record<string, number>> = { '0': 0, '1': 2, '2': 3 };
export function seriousnessOf(finding: Finding): number {
  const rank =
    finding.result.kind === 'detected'
      ? (slipRank[gradeOf(finding, 'Meyerding')?.value ?? ''] ??
        fractureRank[gradeOf(finding, 'OVF class')?.value ?? ''] ??
        0)
      : 0;
  const extent = finding.measurements.find(({ quantity }) => quantity === 'slip-percent' || quantity === 'height-loss');
  return rank * 1_000 + Math.abs(extent?.value ?? 0);
}
