/** What a pack said of a picture, in the form evaluations count: refused, scores, boxes, numbers, grades, corners. */
import type { FindingDraft, Point, Site } from '../../domain/finding.ts';
import type { ModelAnswer } from '../../domain/ports.ts';
import type { Answer } from '../../evaluation/answers.ts';

export function answerOf(file: string, { findings, landmarks, scores, runMs }: ModelAnswer): Answer {
  const refusal = findings.find(({ site, result }) => site.kind === 'image' && result.kind === 'not-assessable');
  return {
    file,
    milliseconds: runMs,
    ...(refusal?.result.kind === 'not-assessable' && { abstained: refusal.result.reason }),
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
    ...(landmarks &&
      landmarks.length > 0 && {
        landmarks: Object.fromEntries(landmarks.map(({ name, at: [x, y] }) => [name, [x, y]])),
      }),
  };
}

const placeOf = (site: Site): string => (site.kind === 'image' ? 'image' : site.level);

/** Around everything that is drawn as evidence of a suspected finding. */
function boxOf({ site, result, evidence }: FindingDraft, scores: ModelAnswer['scores']): NonNullable<Answer['boxes']> {
  if (result.kind !== 'detected' || evidence === undefined) return [];
  const points = evidence.shapes.flatMap((shape): readonly Point[] => {
    switch (shape.kind) {
      case 'point':
        return [shape.at];
      case 'polygon':
        return shape.points;
      case 'line':
        return [shape.from, shape.to];
      // Association, not extent: no box follows from it.
      case 'heatmap':
        return [];
    }
  });
  if (points.length < 2) return [];
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  const label = placeOf(site);
  // A pack that only says yes or no says it with full confidence.
  return [
    { label, box: [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)], score: scores?.[label] ?? 1 },
  ];
}

function gradeOf({ concept, site, result }: FindingDraft): [string, string][] {
  const grades = result.kind === 'not-assessable' ? [] : (result.grades ?? []);
  if (grades.length > 0) return grades.map(({ scale, value }) => [`${scale}@${placeOf(site)}`, value]);
  // Meyerding has no grade for what has not slipped.
  return concept === 'spondylolisthesis' && result.kind === 'not-detected' ? [[`Meyerding@${placeOf(site)}`, '0']] : [];
}
