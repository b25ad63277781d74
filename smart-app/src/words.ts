/** Findings, numbers and dates as the reader's own language writes them. */
import type { FindingView, GradeView, MeasurementView, ReadingView } from '../../src/viewer-api/contract.ts';
import type { Item, ItemState } from './worklist.ts';

// Without a minus before zero, which rounding makes of -0.3.
const signDisplay = 'negative';
const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0, signDisplay });
const tenths = new Intl.NumberFormat(undefined, { minimumFractionDigits: 1, maximumFractionDigits: 1, signDisplay });
const hundredths = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
// As cards and reports of ours write days: one chart shows all three, and 3/4 is April to some and March to others.
const date = new Intl.DateTimeFormat('en', { day: 'numeric', month: 'short', year: 'numeric' });
const clock = new Intl.DateTimeFormat('en', { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });

export const level = (finding: FindingView): string => (finding.site.kind === 'image' ? 'Image' : finding.site.level);

export const gradeBy = ({ result }: FindingView, scale: string): GradeView | undefined =>
  result.kind === 'not-assessable' ? undefined : result.grades?.find((grade) => grade.scale === scale);

/** What the classes mean here, where papers differ: "OVF class by ASTLOF morphology; Genant grade 2". */
export function gradesInWords(finding: FindingView): string | undefined {
  const [ovf, genant] = [gradeBy(finding, 'OVF class'), gradeBy(finding, 'Genant')];
  const words = [ovf?.definition && `OVF class by ${ovf.definition}`, genant && `Genant grade\u00a0${genant.value}`];
  const said = words.filter((one) => one !== undefined && one !== '');
  return said.length === 0 ? undefined : `${said.join('; ')}.`;
}

/** "Height loss": an open name, said as it is. */
export function quantityName(quantity: string): string {
  const words = quantity.replaceAll('-', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export const measured = (finding: FindingView, quantity: string): MeasurementView | undefined =>
  finding.measurements.find((measurement) => measurement.quantity === quantity);

function number(value: number, unit: MeasurementView['unit']): string {
  const format = unit === 'mm' ? tenths : unit === '1' ? hundredths : whole;
  // A hyphen is hard to see before a small figure; this is the minus of typography.
  return format.format(value).replace('-', '\u2212');
}

// Narrow no-break space: a number and its unit stay together.
const units = { '%': '\u202f%', mm: '\u202fmm', '1': '', deg: '°' } as const;

/** Parts of a score: the sign is the message. */
export const signed = (value: number): string => `${value < 0 ? '\u2212' : '+'}${hundredths.format(Math.abs(value))}`;

/** For tables, whose headings name the unit. */
export const figure = ({ value, unit }: MeasurementView): string => number(value, unit);
export const range = ({ interval, unit }: MeasurementView): string | undefined =>
  interval && `${number(interval[0], unit)} to ${number(interval[1], unit)}`;

export const value = ({ value, unit }: MeasurementView): string => `${number(value, unit)}${units[unit]}`;

export const interval = ({ interval, unit }: MeasurementView): string | undefined =>
  interval && `${number(interval[0], unit)} to ${number(interval[1], unit)}${units[unit]}`;

/** `21 Nov 2026` */
export function day(iso: string): string {
  const time = Date.parse(/^\d{4}-\d\d-\d\d$/.test(iso) ? `${iso}T00:00` : iso);
  if (Number.isNaN(time)) return iso;
  const parts = new Map(date.formatToParts(time).map(({ type, value }) => [type, value]));
  return `${parts.get('day')} ${parts.get('month')} ${parts.get('year')}`;
}

/** `21 Nov 2026, 20:10` */
export const moment = (iso: string): string =>
  Number.isNaN(Date.parse(iso)) ? iso : `${day(iso)}, ${clock.format(Date.parse(iso))}`;

export function age(birthDate: string, now = new Date()): string | undefined {
  const [year, month, dayOfMonth] = birthDate.split('-').map(Number);
  if (year === undefined || month === undefined || dayOfMonth === undefined) return undefined;
  const hadBirthday = now.getMonth() + 1 > month || (now.getMonth() + 1 === month && now.getDate() >= dayOfMonth);
  return `${now.getFullYear() - year - (hadBirthday ? 0 : 1)} years`;
}

export const noSlip = 'No slip seen';
export const noFracture = 'No fracture seen';

/** The answer first: what, where, how much. */
export function headline(item: Item): string {
  switch (item.kind) {
    case 'finding':
      return suspicion(item.finding);
    case 'reading':
      return withoutSuspicion(item.reading);
    case 'study':
      return item.study.says;
  }
}

function suspicion(finding: FindingView): string {
  const sure = finding.verdict.kind === 'confirmed' ? '' : 'Suspected ';
  const ovf = finding.concept === 'vertebral-fracture' ? gradeBy(finding, 'OVF class') : undefined;
  if (ovf !== undefined && finding.result.kind === 'detected')
    return `${sure}OVF class\u00a0${ovf.value} at ${level(finding)}`;
  if (finding.concept !== 'spondylolisthesis' || finding.result.kind !== 'detected') {
    return finding.summary.replace(/ \([^)]*\)\.?$/, '');
  }
  const { direction, grades: [grade] = [] } = finding.result;
  const what = { anterior: 'anterolisthesis', posterior: 'retrolisthesis' }[direction ?? 'anterior'];
  return `${sure}${level(finding)} ${direction === undefined ? 'spondylolisthesis' : what}${grade ? `, grade\u00a0${grade.value}` : ''}`;
}

function withoutSuspicion({ findings }: ReadingView): string {
  const unreadable = findings.find(({ site, result }) => site.kind === 'image' && result.kind === 'not-assessable');
  if (unreadable?.result.kind === 'not-assessable') {
    const explanation = unreadable.result.explanation.replace(/\.$/, '');
    return /^not read/i.test(explanation)
      ? explanation
      : `Not read: ${explanation.charAt(0).toLowerCase()}${explanation.slice(1)}`;
  }
  const slips = findings.filter(({ concept }) => concept === 'spondylolisthesis');
  const fractures = findings.filter(({ concept }) => concept === 'vertebral-fracture');
  if (slips.some(({ result }) => result.kind === 'not-detected')) return noSlip;
  if (fractures.some(({ result }) => result.kind === 'not-detected')) return noFracture;
  return slips.length + fractures.length > 0 ? 'Could not be assessed' : (findings[0]?.summary ?? 'Nothing suspected');
}

/** Levels that the model did not judge, said openly beside an otherwise clean reading. */
export function unjudged({ findings }: ReadingView): string | undefined {
  const levels = findings
    .filter(({ site, result }) => site.kind !== 'image' && result.kind === 'not-assessable')
    .map(level);
  return levels.length === 0 ? undefined : `Not assessed: ${new Intl.ListFormat('en').format(new Set(levels))}.`;
}

/** Meyerding's quarters of the lower end plate; each ends with its border. */
const gradeEnds = [
  ['I', 25],
  ['II', 50],
  ['III', 75],
  ['IV', 100],
] as const;
const gradeAt = (percent: number): string => gradeEnds.find(([, end]) => Math.abs(percent) <= end)?.[0] ?? 'V';

/** Each once: the lowest height of a wedge is its anterior one. */
export function distinct(measurements: readonly MeasurementView[]): readonly MeasurementView[] {
  const key = ({ unit, value, interval }: MeasurementView) => JSON.stringify([unit, value, interval]);
  return measurements.filter((one, at) => measurements.findIndex((other) => key(other) === key(one)) === at);
}

/** Genant's grades of lost height: 20 to 25 %, to 40 %, over 40 %. */
const genantAt = (percent: number): string => (percent > 40 ? '3' : percent >= 25 ? '2' : percent >= 20 ? '1' : '0');

/** What the uncertainty means for the answer, not only its size. */
export function doubt(finding: FindingView): string | undefined {
  if (finding.result.kind !== 'detected') return undefined;
  const slip = measured(finding, 'slip-percent');
  if (slip === undefined) return doubtOfHeight(finding);
  if (slip.interval === undefined) return undefined;
  const [low, high] = slip.interval;
  if (low <= 0 && high >= 0) return 'The interval includes no slip at all.';
  const own = finding.result.grades?.[0]?.value ?? gradeAt(slip.value);
  const others = [gradeAt(low), gradeAt(high)].filter((grade) => grade !== own);
  return others.length === 0
    ? `The whole interval lies in grade ${own}.`
    : `The interval reaches into grade ${others[0]}.`;
}

function doubtOfHeight(finding: FindingView): string | undefined {
  const own = gradeBy(finding, 'Genant')?.value;
  const interval = measured(finding, 'height-loss')?.interval;
  if (own === undefined || interval === undefined) return undefined;
  const others = [...new Set(interval.map(genantAt))].filter((grade) => grade !== own);
  if (others.length === 0) return `The whole interval lies in Genant grade ${own}.`;
  const [less, more] = [others.includes('0'), others.filter((grade) => grade !== '0')];
  return [
    less && 'The interval includes a loss of less than 20 %, which Genant does not grade.',
    more.length > 0 && `The interval reaches into Genant grade ${more.join(' and ')}.`,
  ]
    .filter((sentence) => sentence !== false)
    .join(' ');
}

export const stateWords: Readonly<Record<ItemState, string>> = {
  open: 'Not yet reviewed',
  confirmed: 'Confirmed',
  rejected: 'Rejected',
  waiting: 'Waiting',
  failed: 'Not read',
  'not-read': 'Not read',
};

export const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`);
