/** How soon somebody should look, not how sure the model is. docs/conformance.md has the table. */
import { gradeOf, type Comparison, type Finding, type Indicator } from '../../src/kit/hook.ts';

/**
 * `info`, unless something on the film would change what is done: a slip of more than a quarter of the vertebra, a burst
 * body, or a course that measuring cannot explain. Never `critical`: nobody has reviewed it, and the model is for research.
 */
export function indicatorOf(finding: Finding, comparison: Comparison | undefined): Indicator {
  if (finding.result.kind !== 'detected' || finding.verdict.kind === 'rejected') return 'info';
  const slip = gradeOf(finding, 'Meyerding')?.value;
  if (slip !== undefined && slip !== 'I') return 'warning';
  if (gradeOf(finding, 'OVF class')?.value === '2') return 'warning';
  return comparison?.change === 'progressed' && !comparison.cautions.some(({ kind }) => explains.has(kind))
    ? 'warning'
    : 'info';
}

/** What may be the whole of a difference. A posture that nobody recorded would silence every course, so it does not count. */
const explains: ReadonlySet<Comparison['cautions'][number]['kind']> = new Set([
  'other-version',
  'other-model',
  'other-posture',
]);

export const strongest = (indicators: readonly Indicator[]): Indicator =>
  indicators.includes('warning') ? 'warning' : 'info';
