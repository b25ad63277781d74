/** From a data manifest and answers to a report: every section that the data's columns allow, real and synthetic apart. */
import type { Answer } from './answers.ts';
import { boxOperatingPoint, withCalls, type BoxRule } from './box-threshold.ts';
import type { BootstrapOptions } from './intervals.ts';
import type { OperatingRule } from './operating-point.ts';
import { pairUp, patientsOf, type Pair } from './pair.ts';
import type { DataKind, ModelStatement, Report, Section } from './report.ts';
import { abstentionSection } from './sections/abstention.ts';
import {
  classificationPrimary,
  classificationSection,
  classified,
  labelsOf,
  positiveOf,
} from './sections/classification.ts';
import { clusterSection } from './sections/clusters.ts';
import { comparisonSection } from './sections/comparison.ts';
import { contactSheetSection } from './sections/contact-sheet.ts';
import { alarmPrimary, detectionPrimary, detectionSection } from './sections/detection.ts';
import { falseAcceptanceSection } from './sections/false-acceptance.ts';
import { landmarkPrimary, landmarkSection, type Yardstick } from './sections/landmarks.ts';
import { gradedPlaceSections } from './sections/graded-places.ts';
import { gradeSections, measurementPrimary, measurementSections } from './sections/measurement.ts';
import { selfConsistencySection } from './sections/self-consistency.ts';
import { subgroupSection, type Primary } from './sections/subgroups.ts';
import type { TruthRow } from './truth.ts';

export type EvaluationOptions = BootstrapOptions & {
  readonly rule?: OperatingRule;
  readonly positive?: string;
  readonly threshold?: number;
  readonly iou?: number;
  readonly boxThreshold?: number;
  readonly boxRule?: BoxRule;
  readonly yardstick?: Yardstick;
  /** Only landmarks of these parts (`L4`) are compared. */
  readonly names?: readonly string[];
  /** Every picture is put on the page. */
  readonly contactSheet?: boolean;
};

export type Entrant = {
  readonly model: ModelStatement;
  readonly answers: readonly Answer[];
  /** By label, what the model itself is used at; for figures when no validation pictures choose. */
  readonly thresholds?: Readonly<Record<string, number>>;
};

export type EvaluationInput = {
  readonly title: string;
  readonly rows: readonly TruthRow[];
  readonly entrant: Entrant;
  readonly compareWith?: Entrant;
  readonly data: Pick<Report['data'], 'file' | 'sha256' | 'picturesSha256'>;
  readonly wetread: string;
  readonly madeAt: Date;
  readonly notes?: readonly string[];
  readonly options?: EvaluationOptions;
};

export function evaluate(input: EvaluationInput): Report {
  const { rows, entrant, compareWith, options = {} } = input;
  const pairs = pairUp(rows, entrant.answers);
  const rivals = compareWith && pairUp(rows, compareWith.answers);
  const kinds = (['real', 'synthetic'] as const).filter((kind) => rows.some((row) => row.kind === kind));
  return {
    title: input.title,
    madeAt: input.madeAt.toISOString(),
    wetread: input.wetread,
    models: [entrant.model, ...(compareWith ? [compareWith.model] : [])],
    data: {
      ...input.data,
      images: rows.length,
      patients: patientsOf(pairs),
      real: rows.filter(({ kind }) => kind === 'real').length,
      synthetic: rows.filter(({ kind }) => kind === 'synthetic').length,
    },
    sections: kinds.flatMap((kind) => sectionsOf(kind, pairs, rivals, input, options)),
    notes: [...(input.notes ?? []), ...notesOn(rows, pairs)],
  };
}

function sectionsOf(
  kind: DataKind,
  pairs: readonly Pair[],
  rivals: readonly Pair[] | undefined,
  { entrant, compareWith }: EvaluationInput,
  options: EvaluationOptions,
): Section[] {
  const settled = settleBoxes(kind, pairs, options);
  const all = settled.pairs.filter(({ row }) => row.kind === kind && row.split === 'test');
  const foreign = all.filter(({ row }) => row.expect === 'abstain');
  const test = all.filter(({ row }) => row.expect === 'read');
  const refusals = falseAcceptanceSection(kind, foreign);
  if (test.length === 0) return refusals === undefined ? [] : [refusals];
  const validation = pairs.filter(({ row }) => row.kind === kind && row.split === 'validation');
  const positive = options.positive ?? positiveOf(labelsOf(classified(test)));
  const threshold = options.threshold ?? entrant.thresholds?.[positive];
  const primary = primaryOf(test, options);
  const sections = [
    abstentionSection(kind, test),
    refusals,
    classificationSection(kind, test, validation, { ...options, ...(threshold !== undefined && { threshold }) }),
    clusterSection(kind, test, options),
    detectionSection(kind, test, { ...options, says: settled.says }),
    landmarkSection(kind, test, options),
    ...measurementSections(kind, test, options),
    ...gradeSections(kind, test, options),
    ...gradedPlaceSections(kind, test, validation, options),
    selfConsistencySection(kind, test, options),
    primary && subgroupSection(kind, test, primary, options),
    ...(rivals && compareWith ? rivalSections(kind, test, rivals, [entrant.model, compareWith.model], options) : []),
    options.contactSheet === true ? contactSheetSection(kind, test) : undefined,
  ];
  return sections.filter((section) => section !== undefined).map(withoutEmpty);
}

/** Where nothing was read, headings and axes without anything in them would say nothing. */
const withoutEmpty = (section: Section): Section => ({
  ...section,
  tables: section.tables.filter(({ rows }) => rows.length > 0),
  plots: section.plots.filter((plot) =>
    plot.kind === 'matrix'
      ? plot.counts.length > 0
      : (plot.kind === 'dots' ? [plot] : plot.series).some(({ points }) => points.length > 0),
  ),
});

/** The second model's own boxes, and both on the same pictures; each has its own operating point. */
function rivalSections(
  kind: DataKind,
  test: readonly Pair[],
  rivals: readonly Pair[],
  models: readonly [ModelStatement, ModelStatement],
  options: EvaluationOptions,
): (Section | undefined)[] {
  const primary = primaryOf(test, options);
  if (primary === undefined) return [];
  const settled = settleBoxes(kind, rivals, options);
  const byFile = new Map(settled.pairs.map((pair) => [pair.row.file, pair]));
  const compared = test.map((first) => ({ first, second: byFile.get(first.row.file)! }));
  const names = nameApart(...models);
  const boxes = detectionSection(
    kind,
    compared.map(({ second }) => second),
    { ...options, says: settled.says },
  );
  return [
    boxes && { ...boxes, title: `${boxes.title}: ${names[1]}` },
    comparisonSection(kind, names, compared, boxes === undefined ? [primary] : [primary, alarmPrimary], options),
  ];
}

/** Pictures of one kind with their boxes called or not: by the model, or by a score chosen on validation pictures. */
function settleBoxes(kind: DataKind, pairs: readonly Pair[], options: EvaluationOptions) {
  const own = pairs.filter(({ row }) => row.kind === kind);
  const of = (split: 'test' | 'validation') => own.filter(({ row }) => row.split === split && row.boxes !== undefined);
  const point = boxOperatingPoint(of('test'), of('validation'), {
    ...(options.boxThreshold !== undefined && { given: options.boxThreshold }),
    ...(options.boxRule !== undefined && { rule: options.boxRule }),
    ...(options.iou !== undefined && { iou: options.iou }),
  });
  return { pairs: withCalls(own, point), says: point.says };
}

/** Versions of one pack are told apart by their version, packs by their name. */
const nameApart = (a: ModelStatement, b: ModelStatement): [string, string] =>
  a.name === b.name ? [`${a.name} ${a.version}`, `${b.name} ${b.version}`] : [a.name, b.name];

function primaryOf(test: readonly Pair[], options: EvaluationOptions): Primary | undefined {
  const cases = classified(test);
  if (cases.length > 0) return classificationPrimary(labelsOf(cases), options.positive);
  if (test.some(({ row }) => row.boxes !== undefined)) return detectionPrimary(options);
  if (test.some(({ row }) => row.landmarks !== undefined)) return landmarkPrimary(options);
  const quantity = test.flatMap(({ row }) => Object.keys(row.values))[0]?.split('@')[0];
  return quantity === undefined ? undefined : measurementPrimary(quantity);
}

function notesOn(rows: readonly TruthRow[], pairs: readonly Pair[]): string[] {
  const real = rows.filter(({ kind }) => kind === 'real').length;
  const silent = pairs.filter(({ answer }) => answer.failed === 'no-answer').length;
  return [
    ...(real < rows.length
      ? [
          'Figures marked synthetic were measured on generated pictures. They say nothing of patients and must not stand beside published figures without that word.',
        ]
      : []),
    ...(real > 0 && real < 100 ? [`Only ${real} real pictures: the intervals are the message, not the figures.`] : []),
    // A drawn film is its own patient.
    ...(rows.every(({ patient, file, kind }) => patient === file && kind === 'real')
      ? [
          'The manifest names no patients, so each picture counts as one patient: if some belong together, the intervals are too narrow.',
        ]
      : []),
    ...(rows.some(({ split }) => split === 'validation')
      ? ['Validation pictures were used to choose thresholds only and are not part of any figure.']
      : []),
    ...(rows.some(({ label }) => label !== undefined) && pairs.every(({ answer }) => answer.scores === undefined)
      ? [
          'The manifest has labels, but the model told no scores (postprocess.ts: `return { findings, scores }`), so no classification was measured.',
        ]
      : []),
    ...(silent > 0 ? [`${silent} pictures of the manifest have no answer; they count as failed.`] : []),
    'Research use only. Nothing here is a claim of diagnostic performance.',
  ];
}
