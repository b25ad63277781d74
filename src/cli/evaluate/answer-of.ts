/** What a pack said of a picture, in the form evaluations count: refused, scores, boxes, numbers, grades, corners. */
import type { FindingDraft, Point, Site } from '../../domain/finding.ts';
import type { ModelAnswer } from '../../domain/ports.ts';
import type { Answer } from '../../evaluation/answers.ts';
import { refusalOfPicture } from '../refusal.ts';

export function answerOf(file: string, { findings, landmarks, scores, runMs }: ModelAnswer): Answer {
  const refusal = refusalOfPicture(findings);
  return {
    file,
    milliseconds: runMs,
    ...(refusal && { abstained: refusal.reason }),
    ...(scores && { scores: { ...scores } }),
    boxes: findings.flatMap((finding) => boxOf(finding, scores)),
    values: Object.fromEntries(
      findings.flatMap(({ site, measurements }) =>
        measurements.map(({ quantity, value, interval }) => [
          `${quantity}@${placeOf(site)}`,
          { value, ...(interval && { interval: [interval[0], interval[1]] as [number, number] }) },
        ]),
      ),
    ),
    grades: Object.fromEntries(findings.flatMap(gradeOf)),
    findings: Object.fromEntries(
      findings
        // Whether the picture may be read at all is told as refused or not.
        .filter(({ site }) => refusal === undefined || site.kind !== 'image')
        .map((finding) => [`${finding.concept}@${placeOf(finding.site)}`, conclusionOf(finding)]),
    ),
    ...(landmarks &&
      landmarks.length > 0 && {
        landmarks: Object.fromEntries(landmarks.map(({ name, at: [x, y] }) => [name, [x, y]])),
      }),
  };
}

const placeOf = (site: Site): string => (site.kind === 'image' ? 'image' : site.level);

/**
 * Around what is marked as evidence of a suspected finding. What a scored finding is not suspected of is told too, as not
 * called: curves need the answers below the operating point.
 */
function boxOf({ site, result, evidence }: FindingDraft, scores: ModelAnswer['scores']): NonNullable<Answer['boxes']> {
  const label = placeOf(site);
  const called = result.kind === 'detected';
  const score = scores?.[label];
  if (evidence === undefined || !(called || (result.kind === 'not-detected' && score !== undefined))) return [];
  const outline = evidence.shapes.flatMap((shape): readonly Point[] =>
    shape.kind === 'point' ? [shape.at] : shape.kind === 'polygon' ? shape.points : [],
  );
  // Lines measure between marked places and may run beyond them. A heat map is association, not extent: no box follows.
  const lines = evidence.shapes.flatMap((shape) => (shape.kind === 'line' ? [shape.from, shape.to] : []));
  const points = outline.length >= 2 ? outline : lines;
  if (points.length < 2) return [];
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  const box: [number, number, number, number] = [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
  // A pack that only says yes or no says it with full confidence.
  return [{ label, box, score: score ?? 1, called }];
}

/** `detected anterior I`: what must be the same for two readings to agree. */
function conclusionOf({ result }: FindingDraft): string {
  if (result.kind === 'not-assessable') return `not-assessable ${result.reason}`;
  const direction = result.kind === 'detected' ? result.direction : undefined;
  return [result.kind, direction, ...(result.grades ?? []).map(({ value }) => value)].filter(Boolean).join(' ');
}

function gradeOf({ concept, site, result }: FindingDraft): [string, string][] {
  const grades = result.kind === 'not-assessable' ? [] : (result.grades ?? []);
  if (grades.length > 0) return grades.map(({ scale, value }) => [`${scale}@${placeOf(site)}`, value]);
  // Meyerding has no grade for what has not slipped.
  return concept === 'spondylolisthesis' && result.kind === 'not-detected' ? [[`Meyerding@${placeOf(site)}`, '0']] : [];
}
