/** What lies in the database as JSON, checked when it is read: a row of another version must not pass for one of this. */
import { z } from 'zod';
import { errorTable, type ErrorCode } from '../domain/errors.ts';
import {
  notAssessableReasons,
  segments,
  vertebrae,
  type FindingDraft,
  type PackIdentity,
  type Reviewer,
} from '../domain/finding.ts';
import { readingId, sopUid } from '../domain/ids.ts';
import type { Outcome } from '../domain/outcome.ts';

const point = z.tuple([z.number(), z.number()]).readonly();

const overlayShape = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('point'),
    at: point,
    label: z.string(),
    ellipse: z.object({ rx: z.number(), ry: z.number(), angleRad: z.number() }).exactOptional(),
  }),
  z.object({ kind: z.literal('polygon'), points: z.array(point).readonly(), label: z.string() }),
  z.object({ kind: z.literal('line'), from: point, to: point, label: z.string() }),
  z.object({
    kind: z.literal('heatmap'),
    label: z.string(),
    rows: z.number(),
    columns: z.number(),
    values: z.array(z.number()).readonly(),
    corners: z.tuple([point, point, point]).readonly(),
  }),
]);

const vertebra = z.enum(vertebrae);
const segment = z.enum(segments);

const grade = z.discriminatedUnion('scale', [
  z.object({ scale: z.literal('Meyerding'), value: z.enum(['I', 'II', 'III', 'IV', 'V']) }),
  z.object({ scale: z.literal('OVF class'), value: z.enum(['0', '1', '2']), definition: z.string() }),
  z.object({ scale: z.literal('Genant'), value: z.enum(['0', '1', '2', '3']) }),
]);
const grades = z.array(grade).readonly().exactOptional();

/** Until a finding could be graded by several scales it had one `grade`. */
const withGrades = (stored: unknown): unknown => {
  if (typeof stored !== 'object' || stored === null || !('grade' in stored)) return stored;
  const { grade: only, ...others } = stored;
  return { ...others, grades: [only] };
};

export const findingDraft: z.ZodType<FindingDraft> = z.object({
  concept: z.enum(['spondylolisthesis', 'vertebral-height', 'vertebral-fracture', 'view-and-quality']),
  site: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('vertebra'), level: vertebra }),
    z.object({ kind: z.literal('segment'), level: segment }),
    z.object({ kind: z.literal('image') }),
  ]),
  result: z.preprocess(
    withGrades,
    z.discriminatedUnion('kind', [
      z.object({
        kind: z.literal('detected'),
        grades,
        direction: z.enum(['anterior', 'posterior']).exactOptional(),
      }),
      z.object({ kind: z.literal('not-detected'), grades }),
      z.object({ kind: z.literal('measured'), grades }),
      z.object({
        kind: z.literal('not-assessable'),
        reason: z.enum(notAssessableReasons),
        explanation: z.string(),
      }),
    ]),
  ),
  measurements: z
    .array(
      z.object({
        quantity: z.string(),
        value: z.number(),
        unit: z.enum(['%', 'mm', '1', 'deg']),
        interval: z.tuple([z.number(), z.number()]).readonly().exactOptional(),
      }),
    )
    .readonly(),
  summary: z.string(),
  evidence: z
    .object({ sopUid: z.string().transform(sopUid), frame: z.number(), shapes: z.array(overlayShape).readonly() })
    .exactOptional(),
  explanation: z
    .object({
      of: z.string(),
      bars: z.array(z.object({ label: z.string(), value: z.number() })).readonly(),
      rest: z.number(),
    })
    .exactOptional(),
});

export const reviewer: z.ZodType<Reviewer> = z.object({ reference: z.string(), display: z.string() });

export const packIdentity: z.ZodType<PackIdentity> = z.object({
  name: z.string(),
  version: z.string(),
  title: z.string(),
  sha256: z.string(),
});

export const errorCode = z.enum(Object.keys(errorTable) as [ErrorCode, ...ErrorCode[]]);
const selection = z
  .array(z.object({ seriesUid: z.string(), pack: z.string(), taken: z.boolean(), why: z.string() }))
  .readonly();

export const outcome: z.ZodType<Outcome> = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('analysed'),
    readings: z.array(z.string().transform(readingId)).readonly(),
    selection,
    packFailures: z.array(z.object({ pack: z.string(), code: errorCode })).readonly(),
  }),
  z.object({
    kind: z.literal('skipped'),
    reason: z.enum(['no-pack-applies', 'no-image', 'unknown-modality']),
    selection,
  }),
  z.object({ kind: z.literal('failed'), code: errorCode, detail: z.string().exactOptional() }),
]);
