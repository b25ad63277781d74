/** From a data manifest and answers to a report: every section that the data's columns allow, real and synthetic apart. */
import type { Answer } from './answers.ts';
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
import { detectionPrimary, detectionSection } from './sections/detection.ts';
import { landmarkPrimary, landmarkSection, type Yardstick } from './sections/landmarks.ts';
import { gradeSections, measurementPrimary, measurementSections } from './sections/measurement.ts';
import { subgroupSection, type Primary } from './sections/subgroups.ts';
import type { TruthRow } from './truth.ts';

export type EvaluationOptions = BootstrapOptions & {
  readonly rule?: OperatingRule;
  readonly positive?: string;
  readonly threshold?: number;
  readonly iou?: number;
  readonly boxThreshold?: number;
  readonly yardstick?: Yardstick;
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
  const test = pairs.filter(({ row }) => row.kind === kind && row.split === 'test');
  if (test.length === 0) return [];
  const validation = pairs.filter(({ row }) => row.kind === kind && row.split === 'validation');
  const boxes = {
    ...options,
    ...(options.boxThreshold !== undefined && { threshold: options.boxThreshold }),
  };
  const positive = options.positive ?? positiveOf(labelsOf(classified(test)));
  const threshold = options.threshold ?? entrant.thresholds?.[positive];
  const primary = primaryOf(test, options);
  const sections = [
    abstentionSection(kind, test),
    classificationSection(kind, test, validation, { ...options, ...(threshold !== undefined && { threshold }) }),
    clusterSection(kind, test, options),
    detectionSection(kind, test, boxes),
    landmarkSection(kind, test, options),
    ...measurementSections(kind, test, options),
    ...gradeSections(kind, test, options),
    primary && subgroupSection(kind, test, primary, options),
    primary &&
      rivals &&
      compareWith &&
      comparisonSection(
        kind,
        nameApart(entrant.model, compareWith.model),
        test.map((first) => ({ first, second: rivals.find(({ row }) => row === first.row)! })),
        primary,
        options,
      ),
  ];
  return sections.filter((section) => section !== undefined);
}

/** Versions of one pack are told apart by their version, packs by their name. */
const nameApart = (a: ModelStatement, b: ModelStatement): [string, string] =>
  a.name === b.name ? [`${a.name} ${a.version}`, `${b.name} ${b.version}`] : [a.name, b.name];

function primaryOf(test: readonly Pair[], options: EvaluationOptions): Primary | undefined {
  const cases = classified(test);
  if (cases.length > 0) return classificationPrimary(labelsOf(cases), options.positive);
  if (test.some(({ row }) => row.boxes !== undefined))
    return detectionPrimary({
      ...(options.iou !== undefined && { iou: options.iou }),
      ...(options.boxThreshold !== undefined && { threshold: options.boxThreshold }),
    });
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
    ...(rows.every(({ patient, file }) => patient === file)
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
