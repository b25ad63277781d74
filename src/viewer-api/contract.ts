/** What the app and the service say to each other under /app/api; the only file of src/ that the app may import. */
import { z } from 'zod';

const point = z.tuple([z.number(), z.number()]).readonly();
const range = z.tuple([z.number(), z.number()]).readonly();
const reviewer = z.object({ reference: z.string(), display: z.string() }).readonly();

const overlayShape = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('point'),
    at: point,
    label: z.string(),
    ellipse: z.object({ rx: z.number(), ry: z.number(), angleRad: z.number() }).readonly().exactOptional(),
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
export type OverlayShapeView = z.infer<typeof overlayShape>;

/** `frame` counts from 0. */
const evidence = z
  .object({ sopUid: z.string(), frame: z.number().int().nonnegative(), shapes: z.array(overlayShape).readonly() })
  .readonly();
export type EvidenceView = z.infer<typeof evidence>;

const verdict = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('unreviewed') }),
  z.object({ kind: z.literal('confirmed'), by: reviewer, at: z.string() }),
  z.object({ kind: z.literal('rejected'), by: reviewer, at: z.string(), reason: z.string() }),
]);

const measurement = z
  .object({
    quantity: z.string(),
    value: z.number(),
    unit: z.enum(['%', 'mm', '1', 'deg']),
    /** 95 % interval. */
    interval: range.exactOptional(),
  })
  .readonly();
export type MeasurementView = z.infer<typeof measurement>;

/** The leading scale first. `definition` names what the classes of a scale mean where papers differ. */
const grade = z.object({ scale: z.string(), value: z.string(), definition: z.string().exactOptional() }).readonly();
export type GradeView = z.infer<typeof grade>;
const grades = z.array(grade).readonly().exactOptional();

/** Signed parts of a model's score, the largest first; `rest` is what no bar shows. */
const explanation = z
  .object({
    of: z.string(),
    bars: z.array(z.object({ label: z.string(), value: z.number() }).readonly()).readonly(),
    rest: z.number(),
  })
  .readonly();
export type ExplanationView = z.infer<typeof explanation>;

/** The newest earlier film on which the same was looked for at the same place. */
const prior = z
  .object({
    change: z.enum(['new', 'gone', 'progressed', 'regressed', 'unchanged', 'uncertain']),
    /** "grade I → II (18 % → 31 %, more than the measurement's spread)" */
    says: z.string(),
    /** Whole sentences: what may explain the difference. */
    cautions: z.array(z.string()).readonly(),
    finding: z.string(),
    studyUid: z.string(),
    takenAt: z.string(),
    /** By whom and when the earlier finding was confirmed. */
    confirmed: z.object({ by: reviewer, at: z.string() }).readonly().exactOptional(),
    reviewed: z.boolean(),
  })
  .readonly();
export type PriorView = z.infer<typeof prior>;

const findingView = z
  .object({
    id: z.string(),
    concept: z.string(),
    site: z.discriminatedUnion('kind', [
      z.object({ kind: z.literal('vertebra'), level: z.string() }),
      z.object({ kind: z.literal('segment'), level: z.string() }),
      z.object({ kind: z.literal('image') }),
    ]),
    result: z.discriminatedUnion('kind', [
      z.object({
        kind: z.literal('detected'),
        grades,
        direction: z.enum(['anterior', 'posterior']).exactOptional(),
      }),
      z.object({ kind: z.literal('not-detected'), grades }),
      z.object({ kind: z.literal('measured'), grades }),
      z.object({ kind: z.literal('not-assessable'), reason: z.string(), explanation: z.string() }),
    ]),
    measurements: z.array(measurement).readonly(),
    summary: z.string(),
    evidence: evidence.exactOptional(),
    explanation: explanation.exactOptional(),
    prior: prior.exactOptional(),
    verdict,
  })
  .readonly();
export type FindingView = z.infer<typeof findingView>;

export const readingView = z
  .object({
    id: z.string(),
    studyUid: z.string(),
    pack: z.object({ name: z.string(), version: z.string(), title: z.string() }).readonly(),
    readAt: z.string(),
    /** A whole sentence: why it took the place of an earlier reading. */
    update: z.string().exactOptional(),
    findings: z.array(findingView).readonly(),
    review: z.discriminatedUnion('kind', [
      z.object({ kind: z.literal('open') }),
      z.object({ kind: z.literal('final'), by: reviewer, at: z.string() }),
    ]),
  })
  .readonly();
export type ReadingView = z.infer<typeof readingView>;

/** Where Wetread stands with a study, as a clinician would say it. */
export const studyProgress = z.enum(['pending', 'reading', 'read', 'not-read', 'failed']);
export type StudyProgress = z.infer<typeof studyProgress>;

const studyView = z
  .object({
    studyUid: z.string(),
    description: z.string().exactOptional(),
    modalities: z.array(z.string()).readonly(),
    /** ISO 8601 without zone: DICOM dates have none. */
    startedAt: z.string().exactOptional(),
    progress: studyProgress,
    /** A whole sentence: "Being read now." */
    says: z.string(),
    /** What to do about it, when there is something to do. */
    next: z.string().exactOptional(),
    readings: z.array(readingView).readonly(),
  })
  .readonly();
export type StudyView = z.infer<typeof studyView>;

export const studiesAnswer = z.object({ studies: z.array(studyView).readonly() }).readonly();

/** Who the picture belongs to, for the banner; kept in the page's memory only. */
const patientBanner = z
  .object({
    id: z.string(),
    display: z.string().exactOptional(),
    birthDate: z.string().exactOptional(),
    sex: z.string().exactOptional(),
  })
  .readonly();
export type PatientBanner = z.infer<typeof patientBanner>;

export const sessionRequest = z.strictObject({ code: z.string().min(20).max(200) });
export const sessionAnswer = z
  .object({
    token: z.string(),
    expiresAt: z.string(),
    patient: patientBanner,
    user: reviewer,
    opens: z.union([z.object({ finding: z.string() }), z.object({ study: z.string() })]).exactOptional(),
  })
  .readonly();
export type SessionAnswer = z.infer<typeof sessionAnswer>;

export const longestReason = 500;
export const verdictRequest = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('confirmed') }),
  z.strictObject({ kind: z.literal('rejected'), reason: z.string().trim().min(3).max(longestReason) }),
]);
export type VerdictRequest = z.infer<typeof verdictRequest>;

export const packView = z
  .object({
    name: z.string(),
    version: z.string(),
    title: z.string(),
    sha256: z.string(),
    intendedUse: z.string(),
    trainedOn: z.string(),
    limitations: z.array(z.string()).readonly(),
    licence: z.object({ weights: z.string(), data: z.string() }).readonly(),
    demonstration: z.boolean(),
  })
  .readonly();
export type PackView = z.infer<typeof packView>;

/** How every refusal looks: what is wrong, and what to do next. */
export const errorAnswer = z
  .object({ code: z.string(), message: z.string(), next: z.string(), detail: z.string().exactOptional() })
  .readonly();
export type ErrorAnswer = z.infer<typeof errorAnswer>;
