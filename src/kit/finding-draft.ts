/** The shape of what a pack answers, checked before anybody believes it. */
import { z } from 'zod';
import { notAssessableReasons, segments, vertebrae, type FindingDraft } from '../domain/finding.ts';
import { quantityName, quantityWords } from '../domain/quantities.ts';

const finite = z.number({ error: 'must be a finite number' });
const point = z.tuple([finite, finite]);
const label = z.string().min(1).max(64);
/** A map is a hint of a place; more would only fill the database. */
const side = z.int().min(1).max(64);
const vertebra = z.enum(vertebrae);
const segment = z.enum(segments);

const shape = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('point'),
    at: point,
    label,
    ellipse: z.strictObject({ rx: finite, ry: finite, angleRad: finite }).optional(),
  }),
  z.strictObject({ kind: z.literal('polygon'), points: z.array(point).min(3), label }),
  z.strictObject({ kind: z.literal('line'), from: point, to: point, label }),
  z
    .strictObject({
      kind: z.literal('heatmap'),
      label,
      rows: side,
      columns: side,
      values: z.array(finite.min(0).max(1)),
      corners: z.tuple([point, point, point]),
    })
    .refine(({ rows, columns, values }) => values.length === rows * columns, 'must have rows x columns values'),
]);

const grades = z
  .array(
    z.discriminatedUnion('scale', [
      z.strictObject({ scale: z.literal('Meyerding'), value: z.enum(['I', 'II', 'III', 'IV', 'V']) }),
      z.strictObject({ scale: z.literal('OVF class'), value: z.enum(['0', '1', '2']), definition: label }),
      z.strictObject({ scale: z.literal('Genant'), value: z.enum(['0', '1', '2', '3']) }),
    ]),
  )
  .min(1)
  .refine((all) => new Set(all.map(({ scale }) => scale)).size === all.length, 'must not grade twice by one scale')
  .optional();

const result = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('detected'),
    grades,
    direction: z.enum(['anterior', 'posterior']).optional(),
  }),
  z.strictObject({ kind: z.literal('not-detected'), grades }),
  z.strictObject({ kind: z.literal('measured'), grades }),
  z.strictObject({
    kind: z.literal('not-assessable'),
    reason: z.enum(notAssessableReasons),
    explanation: z.string().min(1),
  }),
]);

const draft = z.strictObject({
  concept: z.enum(['spondylolisthesis', 'vertebral-height', 'vertebral-fracture', 'view-and-quality']),
  site: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('vertebra'), level: vertebra }),
    z.strictObject({ kind: z.literal('segment'), level: segment }),
    z.strictObject({ kind: z.literal('image') }),
  ]),
  result,
  measurements: z.array(
    z
      .strictObject({
        quantity: z.string().max(64).regex(quantityName, 'must be lower case words with hyphens'),
        value: finite,
        unit: z.enum(['%', 'mm', '1', 'deg']),
        interval: point.refine(([low, high]) => low <= high, 'must go from low to high').optional(),
      })
      .refine(({ quantity, unit }) => (quantityWords(quantity).unit ?? unit) === unit, 'is not in its usual unit'),
  ),
  summary: z.string().min(1).max(300),
  evidence: z
    .strictObject({ sopUid: z.string().min(1), frame: z.int().nonnegative(), shapes: z.array(shape) })
    .optional(),
  explanation: z
    .strictObject({
      of: label,
      bars: z
        .array(z.strictObject({ label, value: finite }))
        .min(1)
        .max(24),
      rest: finite,
    })
    .optional(),
});

/** Two findings of one concept at one site would get one id, and one of them would be lost. */
const drafts = z.array(draft).superRefine((all, context) => {
  const seen = new Set<string>();
  for (const [index, { concept, site }] of all.entries()) {
    const key = `${concept} at ${site.kind === 'image' ? 'image' : site.level}`;
    if (seen.has(key)) context.addIssue({ code: 'custom', path: [index], message: `a second ${key}` });
    seen.add(key);
  }
});

const landmarks = z.array(
  z.strictObject({
    name: label,
    at: point,
    covariance: z.strictObject({ xx: finite, yy: finite, xy: finite }).optional(),
    confidence: finite.optional(),
  }),
);
const withDetails = z.strictObject({
  findings: drafts,
  landmarks: landmarks.optional(),
  scores: z.record(label, finite).optional(),
});

/** The first faults found in what a pack answered, or nothing. */
export const faultOfAnswer = (answer: unknown): string | undefined =>
  typeof answer === 'object' && answer !== null && 'findings' in answer
    ? faultOf(withDetails, answer)
    : faultOf(drafts, answer);

/** The first faults found, or nothing. */
export const faultOfDrafts = (answer: unknown): string | undefined => faultOf(drafts, answer);

function faultOf(schema: z.ZodType, answer: unknown): string | undefined {
  const result = schema.safeParse(answer);
  if (result.success) return undefined;
  return result.error.issues
    .slice(0, 3)
    .map(({ path, message }) => `${path.join('.') || 'answer'}: ${message}`)
    .join('; ');
}

// Fails to compile when the schema and the domain's type drift apart.
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : never) : never;
type Comparable = Omit<FindingDraft, 'evidence'>;
export const draftSchemaMatchesDomain: Same<keyof z.output<typeof draft>, keyof FindingDraft> &
  Same<z.output<typeof draft>['concept'], Comparable['concept']> &
  Same<z.output<typeof draft>['site'], Comparable['site']> &
  Same<z.output<typeof draft>['measurements'][number]['unit'], Comparable['measurements'][number]['unit']> &
  Same<z.output<typeof result>['kind'], Comparable['result']['kind']> = true;
