/** The comparison with an earlier film, in the words that cards, reports and the app share. */
import { isBeyondSpread, type Caution, type Comparison, type Posture } from './prior.ts';

/** How the place that shows it writes days. */
type Day = (takenAt: string) => string;

/** "grade I → II", "class 1 → 2"; undefined when the stage stayed or one film has none. */
export function stageChange({ stages }: Comparison): string | undefined {
  if (stages === undefined || stages.before === stages.now) return undefined;
  return `${scaleWords[stages.scale]} ${stages.before} → ${stages.now}`;
}

const scaleWords = { Meyerding: 'grade', 'OVF class': 'class', Genant: 'Genant grade' } as const;

/** A few words behind a headline: "new since 12 Mar 2025". */
export function changeInShort(comparison: Comparison, day: Day): string {
  const since = `since ${day(comparison.prior.takenAt)}`;
  switch (comparison.change) {
    case 'new':
      return isBeyondSpread(comparison) ? `new ${since}` : `not suspected on ${day(comparison.prior.takenAt)}`;
    case 'gone':
      return `suspected on ${day(comparison.prior.takenAt)}`;
    case 'progressed':
      return `${stageChange(comparison) ?? 'progressed'} ${since}`;
    case 'regressed':
      return `${stageChange(comparison) ?? 'less'} ${since}`;
    case 'unchanged':
      return `unchanged ${since}`;
    case 'uncertain':
      return `also on ${day(comparison.prior.takenAt)}`;
  }
}

/** Whole sentences: what changed by how much, who had looked at the earlier one, and what to be careful about. */
export function changeInWords(comparison: Comparison, day: Day): string {
  const { prior, cautions } = comparison;
  const who =
    prior.verdict.kind === 'confirmed'
      ? `The earlier finding was confirmed by ${prior.verdict.by.display} on ${day(prior.verdict.at)}.`
      : prior.reviewed
        ? 'The earlier reading was reviewed.'
        : 'Nobody has reviewed the earlier reading.';
  return [
    `Compared with the film of ${day(prior.takenAt)}: ${whatChanged(comparison)}.`,
    who,
    ...cautions.map(cautionInWords),
  ].join(' ');
}

/** "grade I → II (18 % → 31 %, more than the measurement's spread)" */
export function whatChanged(comparison: Comparison): string {
  const { change, cautions } = comparison;
  const numbers = numbersOf(comparison);
  const inBrackets = numbers === '' ? '' : ` (${numbers})`;
  const stage = stageChange(comparison);
  const turned = cautions.find((caution) => caution.kind === 'other-direction');
  switch (change) {
    case 'new':
      return `${isBeyondSpread(comparison) ? 'new' : 'not suspected then'}${inBrackets}`;
    case 'gone':
      return `no longer suspected${inBrackets}`;
    case 'progressed':
      return `${stage ?? 'progressed'}${inBrackets}`;
    case 'regressed':
      return `${stage ?? 'regressed'}${inBrackets}`;
    case 'unchanged':
      // On either side of a grade's border nothing need have happened.
      return `unchanged${stage === undefined ? '' : `, although ${stage}`}${inBrackets}`;
    case 'uncertain':
      if (turned?.kind === 'other-direction')
        return `${turned.before === 'anterior' ? 'anterolisthesis' : 'retrolisthesis'} then${inBrackets}`;
      return `${stage ?? 'suspected then too'}${inBrackets}`;
  }
}

function numbersOf({ change, difference, cautions }: Comparison): string {
  if (difference === undefined) return '';
  const { before, now, unit, interval } = difference;
  const digits = unit === '1' ? 2 : unit === 'mm' ? 1 : 0;
  const sign = unit === '%' ? ' %' : unit === 'mm' ? ' mm' : unit === 'deg' ? '°' : '';
  // Without a minus before zero; a hyphen is hard to see before a small figure.
  const number = (value: number) =>
    `${(Math.round(value * 10 ** digits) / 10 ** digits + 0).toFixed(digits).replace('-', '\u2212')}${sign}`;
  const pair = `${number(before)} → ${number(now)}`;
  if (cautions.some(({ kind }) => kind === 'other-direction')) return pair;
  if (interval === undefined) return `${pair}, no interval to judge it by`;
  const beyond = interval[0] > 0 || interval[1] < 0;
  if (beyond) return `${pair}, more than the measurement's spread`;
  return change === 'unchanged' || change === 'new' || change === 'gone'
    ? `${pair}, within the measurement's spread`
    : pair;
}

const postureWords: Readonly<Record<Posture, string>> = {
  flexion: 'in flexion',
  extension: 'in extension',
  standing: 'standing',
  lying: 'lying',
};

export function cautionInWords(caution: Caution): string {
  switch (caution.kind) {
    case 'other-version':
      return caution.before === caution.now
        ? `Read with other weights of the same model version (${caution.now}).`
        : `Read by another version of the model (${caution.before} then, ${caution.now} now).`;
    case 'other-model':
      return `Read by another model (${caution.before} then, ${caution.now} now).`;
    case 'other-posture':
      return `Posture differs: taken ${postureWords[caution.before]} then, ${postureWords[caution.now]} now; part of the difference may be posture.`;
    case 'posture-unknown':
      return 'Whether both films were taken in the same posture is not recorded.';
    case 'other-magnification':
      return `Magnification differs: the end plate measures ${caution.beforeMm.toFixed(0)} mm then and ${caution.nowMm.toFixed(0)} mm now; compare percent, not millimetres.`;
    case 'other-direction':
      return 'The direction of the slip differs between the two films.';
  }
}
