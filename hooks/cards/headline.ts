/** A finding in the few words of a card's first line. */
import { changeInShort, gradeOf, type Comparison, type Finding, type MeyerdingGrade } from '../../src/kit/hook.ts';
import { dayOf } from './words.ts';

/** "CDS Hooks: less than 140 characters." */
const longest = 139;

/** "Suspected L4/L5 anterolisthesis, grade I", "Suspected OVF class 2 at L1 (ASTLOF morphology)". */
export function suspicionWords(finding: Finding): string {
  const { result, concept, site, verdict } = finding;
  const what = ((): string | undefined => {
    if (result.kind !== 'detected' || site.kind === 'image') return undefined;
    if (concept === 'spondylolisthesis') {
      const grade = gradeWords(finding);
      const kind = { anterior: 'anterolisthesis', posterior: 'retrolisthesis' }[result.direction ?? 'anterior'];
      return `${site.level} ${result.direction === undefined ? 'spondylolisthesis' : kind}${grade === undefined ? '' : `, ${grade}`}`;
    }
    const ovf = concept === 'vertebral-fracture' ? gradeOf(finding, 'OVF class') : undefined;
    return ovf === undefined ? undefined : `OVF class ${ovf.value} at ${site.level} (${ovf.definition})`;
  })();
  if (what === undefined) return finding.summary;
  return verdict.kind === 'confirmed' ? what : `Suspected ${what}`;
}

/** Meyerding's quarters of the lower end plate; each ends with its border. */
const quarters: readonly MeyerdingGrade[] = ['I', 'II', 'III', 'IV'];
const gradeAt = (percent: number): MeyerdingGrade => quarters[Math.max(Math.ceil(percent / 25), 1) - 1] ?? 'V';

/** "grade I", or "grade I to II" when the interval reaches into the next: one grade would be more than is known. */
function gradeWords(finding: Finding): string | undefined {
  const grade = gradeOf(finding, 'Meyerding')?.value;
  const slip = finding.measurements.find(({ quantity }) => quantity === 'slip-percent');
  if (grade === undefined || slip?.interval === undefined) return grade && `grade ${grade}`;
  const [low, high] = slip.value < 0 ? [-slip.interval[1], -slip.interval[0]] : slip.interval;
  const [from, to] = [gradeAt(low), gradeAt(high)];
  return from === to ? `grade ${from}` : `grade ${from} to ${to}`;
}

/** "18 %, 95 % 14 to 22": how much, and how sure of it. */
function extentWords({ concept, measurements }: Finding, withInterval: boolean): string | undefined {
  const wanted = { spondylolisthesis: 'slip-percent', 'vertebral-fracture': 'height-loss' }[concept as string];
  const extent = measurements.find(({ quantity }) => quantity === wanted);
  if (extent === undefined) return undefined;
  const whole = (value: number): string => String(Math.round(value) + 0).replace('-', '\u2212');
  const name = wanted === 'height-loss' ? 'height loss ' : '';
  const range =
    withInterval && extent.interval !== undefined
      ? `, 95 % ${whole(extent.interval[0])} to ${whole(extent.interval[1])}`
      : '';
  return `${name}${whole(extent.value)} %${range}`;
}

/** What is suspected and how much, without the change. */
export function findingWords(finding: Finding, withInterval = true): string {
  const words = suspicionWords(finding);
  // A summary of the pack's own says its numbers itself.
  if (words === finding.summary) return words;
  const extent = extentWords(finding, withInterval);
  if (extent === undefined) return words;
  return words.endsWith(')') ? `${words.slice(0, -1)}, ${extent})` : `${words} (${extent})`;
}

/** The card's summary: the leading finding, its course, how many more. Where it is too long, the interval goes first: the detail has it. */
export function summaryOf(state: string, finding: Finding, comparison: Comparison | undefined, others: number): string {
  const more = others === 0 ? '' : `; ${others} more`;
  const course = comparison === undefined ? '' : `, ${changeInShort(comparison, dayOf)}`;
  const written = (withInterval: boolean, withCourse: boolean): string =>
    `${state}: ${findingWords(finding, withInterval)}${withCourse ? course : ''}${more}`;
  return (
    [written(true, true), written(false, true), written(false, false)].find((text) => text.length <= longest) ??
    written(false, false)
  );
}
