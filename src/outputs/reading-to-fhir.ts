/** One reading as FHIR R4 resources: Device, Observations, DiagnosticReport, Provenance. Pure: the same reading beside the same earlier ones always gives the same resources. */
import type {
  CodeableConcept,
  Coding,
  Device,
  DiagnosticReport,
  Identifier,
  Observation,
  ObservationComponent,
  Provenance,
  Quantity,
  Reference,
} from 'fhir/r4.js';
import { dayInWords as day } from '../domain/day-in-words.ts';
import type { Finding, Measurement, PackIdentity, Reading, Reviewer, Superseded } from '../domain/finding.ts';
import { uuidOf } from '../domain/identity.ts';
import type { PackSummary } from '../domain/ports.ts';
import { changeInWords } from '../domain/prior-in-words.ts';
import { comparisonOf, type Comparison } from '../domain/prior.ts';
import type { StudyRecord } from '../domain/study.ts';
import * as codes from './codes.ts';
import { conclusionOf, standingOf } from './conclusion.ts';
import { markdown, narrative, plain } from './narrative.ts';

export type ReportStatus = 'partial' | 'preliminary';

export type ReadingToFhirOptions = {
  readonly publicUrl: string;
  readonly reportStatus: ReportStatus;
  /** What is known of the model; without it the Device has its identity only. */
  readonly pack?: PackSummary | undefined;
  /** Everything of the patient that stands, so that a finding can be compared with an earlier film. */
  readonly chart?: { readonly readings: readonly Reading[]; readonly studies: readonly StudyRecord[] } | undefined;
};

export type WrittenResource = Device | Observation | DiagnosticReport | Provenance;

/** A resource with the search that finds it again. References to others of the same reading are `urn:uuid:{key}`. */
export type Written<Resource extends WrittenResource = WrittenResource> = {
  readonly key: string;
  readonly resource: Resource;
  /** Query of an identity search: parameter and value. */
  readonly lookUp: { readonly parameter: 'identifier' | '_tag'; readonly value: string };
};

export const urn = (key: string): string => `urn:uuid:${key}`;

/** In the order in which a server without transactions must get them: what is referred to comes first. */
export function readingToFhir(reading: Reading, study: StudyRecord, options: ReadingToFhirOptions): Written[] {
  const context: Context = { reading, study, options, deviceKey: deviceKeyOf(reading.pack) };
  return [
    byIdentifier(context.deviceKey, deviceOf(context)),
    ...reading.findings.map((finding) => byIdentifier(finding.id, observationOf(context, finding))),
    byIdentifier(reportKeyOf(reading), reportOf(context)),
    ...provenancesOf(context),
  ];
}

/** The report of an unreviewed reading is carried on by the next one; a person's report keeps its own. */
export const reportKeyOf = ({ id, report }: Reading): string => report ?? id;

export const supersededNote = 'Superseded';

/**
 * What changes in the chart when a newer reading takes the place of this one. What the newer one says as well stands,
 * what a person has confirmed or released stands; suggestions that nobody had reviewed are withdrawn. A report that was
 * final becomes `appended` (R4: "modified by adding new content; the existing content is unchanged"): it says that there
 * is a newer one, and everything its reader released stays in it.
 */
export function supersededToFhir(
  reading: Reading & { readonly superseded: Superseded },
  study: StudyRecord,
  options: ReadingToFhirOptions,
): Written[] {
  const { superseded, review } = reading;
  const context: Context = { reading, study, options, deviceKey: deviceKeyOf(reading.pack) };
  const standing = new Set(superseded.standing);
  const withdrawn =
    review.kind === 'final'
      ? []
      : reading.findings
          .filter(({ id, verdict }) => verdict.kind === 'unreviewed' && !standing.has(id))
          .map((finding) => byIdentifier(finding.id, withdrawnObservation(context, finding, superseded)));
  const appended =
    review.kind === 'final' && !superseded.sameReport
      ? [byIdentifier(reportKeyOf(reading), appendedReport(context, superseded))]
      : [];
  const changed = [...withdrawn, ...appended];
  if (changed.length === 0) return [];
  const newer = { reading, study, deviceKey: deviceKeyOf(superseded.pack), options };
  return [
    byIdentifier(newer.deviceKey, deviceOf({ ...newer, reading: { ...reading, pack: superseded.pack } })),
    ...changed,
    provenance('superseded', `${reading.id} ${superseded.by}`, {
      resourceType: 'Provenance',
      text: narrative([`Superseded on ${superseded.at.slice(0, 10)} by a newer reading.`]),
      target: changed.map(({ key }) => ({ reference: urn(key) })),
      occurredDateTime: superseded.at,
      recorded: superseded.at,
      reason: [{ text: 'A newer reading of the same study took the place of this one' }],
      agent: [{ type: codes.author, who: { reference: urn(newer.deviceKey) } }],
      entity: [{ role: 'source', what: imagingStudyOf(study) }],
    }),
  ];
}

function withdrawnObservation(context: Context, finding: Finding, { at }: Superseded): Observation {
  const text = `${supersededNote} on ${at.slice(0, 10)}: a newer reading of this study took the place of this one, which nobody had reviewed.`;
  return {
    ...observationOf(context, finding),
    text: narrative([finding.summary, text]),
    status: 'entered-in-error',
    note: [{ time: at, text: markdown(text) }],
  };
}

function appendedReport(context: Context, { at }: Superseded): DiagnosticReport {
  const report = reportOf(context);
  const more = `${supersededNote} on ${at.slice(0, 10)}: after this review the study was read again; see the newer report of the same study.`;
  const conclusion = `${report.conclusion ?? ''} ${more}`.trim();
  return { ...report, text: narrative([conclusion]), status: 'appended', conclusion };
}

type Context = {
  readonly reading: Reading;
  readonly study: StudyRecord;
  readonly options: ReadingToFhirOptions;
  readonly deviceKey: string;
};

/** Other weights under the same version number are another device: results must be traceable to the weights. */
export const deviceKeyOf = ({ name, version, sha256 }: PackIdentity): string => uuidOf('device', name, version, sha256);

const identifierOf = (key: string): Identifier => ({ system: codes.systems.uri, value: urn(key) });

function byIdentifier<Resource extends WrittenResource>(key: string, resource: Resource): Written<Resource> {
  return { key, resource, lookUp: { parameter: 'identifier', value: `${codes.systems.uri}|${urn(key)}` } };
}

function deviceOf({ reading: { pack }, options, deviceKey }: Context): Device {
  const about = options.pack?.sha256 === pack.sha256 ? options.pack : undefined;
  const notes =
    about === undefined
      ? []
      : [
          `Intended use: ${about.intendedUse}`,
          `Trained on: ${about.trainedOn}`,
          ...about.limitations.map((text) => `Limitation: ${text}`),
          ...(about.demonstration ? ['For demonstration only; not a medical device.'] : []),
        ];
  return {
    resourceType: 'Device',
    text: narrative([`AI model ${pack.title}, version ${pack.version}.`, ...notes]),
    identifier: [identifierOf(deviceKey)],
    status: 'active',
    modelNumber: plain(pack.name),
    deviceName: [{ name: plain(pack.title), type: 'model-name' }],
    type: { text: 'AI model for medical images' },
    version: [{ value: pack.version }, { type: { text: 'SHA-256 of the weights' }, value: pack.sha256 }],
    url: options.publicUrl,
    ...(notes.length === 0 ? {} : { note: notes.map((text) => ({ text: markdown(text) })) }),
  };
}

function observationOf(context: Context, finding: Finding): Observation {
  const { reading, study, options, deviceKey } = context;
  const { verdict, result } = finding;
  const reviewer =
    verdict.kind === 'unreviewed' ? (reading.review.kind === 'final' ? reading.review.by : undefined) : verdict.by;
  const site = codes.bodySite(
    finding.site,
    options.pack?.regions.length === 1 && options.pack.regions[0] === 'lumbar-spine',
  );
  const comparison = comparisonIn(context, finding);
  const components = [
    ...componentsOf(finding),
    ...(comparison === undefined
      ? []
      : [{ code: codes.changeQuestion, valueCodeableConcept: codes.change(comparison.change) }]),
  ];
  const course = comparison && codes.courseInterpretation[comparison.change];
  const note =
    verdict.kind === 'rejected'
      ? [{ ...authorOf(verdict.by), time: verdict.at, text: markdown(`Rejected: ${verdict.reason}`) }]
      : comparison === undefined
        ? []
        : [{ text: markdown(changeInWords(comparison, day)) }];
  return {
    resourceType: 'Observation',
    meta: { security: [labelOf(finding, reading)] },
    text: narrative([finding.summary, standingOf(finding, reading)]),
    identifier: [identifierOf(finding.id)],
    ...basedOn(study),
    status: observationStatus(finding, reading),
    category: [codes.imaging],
    code: codes.concepts[finding.concept],
    subject: { reference: `Patient/${reading.patientId}` },
    ...effective(study),
    issued: verdict.kind === 'unreviewed' ? issuedAt(reading) : verdict.at,
    ...(reviewer === undefined ? {} : { performer: [practitioner(reviewer)] }),
    ...valueOf(finding),
    ...(result.kind === 'detected'
      ? { interpretation: [codes.positive, ...(course === undefined ? [] : [course])] }
      : result.kind === 'not-detected'
        ? { interpretation: [codes.negative] }
        : {}),
    ...(note.length === 0 ? {} : { note }),
    ...(site === undefined ? {} : { bodySite: site }),
    method: { text: `${plain(reading.pack.title)}, version ${plain(reading.pack.version)} (AI)` },
    device: { reference: urn(deviceKey) },
    derivedFrom: [
      imagingStudyOf(study),
      // By identifier: the earlier Observation may be on its way to the chart, or on another server.
      ...(comparison === undefined
        ? []
        : [
            {
              type: 'Observation',
              identifier: identifierOf(comparison.prior.finding),
              display: `The same on the film of ${day(comparison.prior.takenAt)}`,
            },
          ]),
    ],
    ...(components.length === 0 ? {} : { component: components }),
  };
}

/** Nobody follows the course of what was rejected. */
const comparisonIn = ({ reading, options: { chart } }: Context, finding: Finding): Comparison | undefined =>
  chart === undefined || finding.verdict.kind === 'rejected' ? undefined : comparisonOf(finding, reading, chart);

/**
 * A rejected suggestion must not stay in the chart as a finding, whoever queries it: R4 withdraws a result with
 * `entered-in-error` ("this electronic record should never have existed"). `cancelled` would say that it was never made.
 */
function observationStatus({ verdict }: Finding, { review }: Reading): Observation['status'] {
  if (verdict.kind === 'rejected') return 'entered-in-error';
  return verdict.kind === 'confirmed' || review.kind === 'final' ? 'final' : 'preliminary';
}

function labelOf({ verdict }: Finding, { review }: Reading): Coding {
  // Nobody asserts what was rejected: it stays what the AI alone had said.
  if (verdict.kind === 'rejected') return codes.aiAsserted;
  return verdict.kind === 'confirmed' || review.kind === 'final' ? codes.clinicianAsserted : codes.aiAsserted;
}

function valueOf({
  result,
  summary,
}: Finding): Pick<Observation, 'valueCodeableConcept' | 'dataAbsentReason' | 'valueString'> {
  switch (result.kind) {
    case 'detected':
      return { valueCodeableConcept: { coding: [codes.detected], text: plain(summary) } };
    case 'not-detected':
      return { valueCodeableConcept: { coding: [codes.notDetected], text: plain(summary) } };
    case 'not-assessable':
      return {
        dataAbsentReason: {
          coding: [codes.notPerformed],
          text: plain(`${codes.reasonTexts[result.reason]}: ${result.explanation}`),
        },
      };
    case 'measured':
      // Numbers are in the components; without any, the sentence is the result.
      return { valueString: plain(summary) };
  }
}

function componentsOf({ result, measurements }: Finding): ObservationComponent[] {
  const words: ObservationComponent[] = [];
  for (const grade of result.kind === 'not-assessable' ? [] : (result.grades ?? [])) {
    const { question, answer } = codes.graded(grade);
    words.push({ code: question, valueCodeableConcept: answer });
  }
  if (result.kind === 'detected' && result.direction !== undefined)
    words.push({ code: codes.directionQuestion, valueCodeableConcept: codes.direction(result.direction) });
  return [...words, ...measurements.flatMap(measured)];
}

/** R4 has no place for an interval beside a value; a second component keeps it queryable without an extension. */
function measured({ quantity, value, unit, interval }: Measurement): ObservationComponent[] {
  const amount = (number: number): Quantity => ({
    value: rounded(number),
    ...(codes.unitText[unit] === '' ? {} : { unit: codes.unitText[unit] }),
    system: codes.systems.ucum,
    code: unit,
  });
  return [
    { code: codes.quantity(quantity), valueQuantity: amount(value) },
    ...(interval === undefined
      ? []
      : [{ code: codes.interval(quantity), valueRange: { low: amount(interval[0]), high: amount(interval[1]) } }]),
  ];
}

/** 17.900000000000002 would claim a precision that no film has. */
const rounded = (value: number): number => Math.round(value * 1000) / 1000;

function reportOf(context: Context): DiagnosticReport {
  const { reading, study, options } = context;
  const final = reading.review.kind === 'final' ? reading.review : undefined;
  const conclusion = plain(
    conclusionOf(reading, (finding) => {
      const comparison = comparisonIn(context, finding);
      return comparison && changeInWords(comparison, day);
    }),
  );
  const results = reading.findings
    .filter(({ verdict }) => verdict.kind !== 'rejected')
    .map(({ id }) => ({ reference: urn(id) }));
  return {
    resourceType: 'DiagnosticReport',
    meta: { security: [final === undefined ? codes.aiAsserted : codes.clinicianAsserted] },
    text: narrative([
      `${reading.pack.title}, version ${reading.pack.version}`,
      ...(study.description === undefined ? [] : [study.description]),
      conclusion,
    ]),
    identifier: [identifierOf(reportKeyOf(reading))],
    ...basedOn(study),
    status: final === undefined ? options.reportStatus : 'final',
    category: [codes.radiology],
    code: codes.imagingReport,
    subject: { reference: `Patient/${reading.patientId}` },
    ...effective(study),
    issued: issuedAt(reading),
    ...(final === undefined ? {} : { resultsInterpreter: [practitioner(final.by)] }),
    ...(results.length === 0 ? {} : { result: results }),
    imagingStudy: [imagingStudyOf(study)],
    conclusion,
  };
}

/** One for the reading itself, one for each judged finding, one for the release of the whole. */
function provenancesOf(context: Context): Written<Provenance>[] {
  const { reading, study, deviceKey } = context;
  const source: Provenance['entity'] = [{ role: 'source', what: imagingStudyOf(study) }];
  const report = reportKeyOf(reading);
  const all = [report, ...reading.findings.map(({ id }) => id)];
  const device: Reference = { reference: urn(deviceKey) };

  const written = [
    provenance('read', reading.id, {
      resourceType: 'Provenance',
      meta: { security: [codes.aiAsserted] },
      text: narrative([
        `Read by ${reading.pack.title}, version ${reading.pack.version} (${reading.executionProvider}).`,
      ]),
      target: all.map((key) => ({ reference: urn(key) })),
      occurredDateTime: reading.readAt,
      recorded: reading.readAt,
      // The AI Transparency guide codes this with AIAST too, but R4's own copy of that code system is older than the code, and strict servers refuse it here.
      reason: [{ text: codes.aiAsserted.display! }],
      agent: [{ type: codes.author, who: device }],
      entity: source,
    }),
  ];
  for (const finding of reading.findings) {
    if (finding.verdict.kind === 'unreviewed') continue;
    const { by, at } = finding.verdict;
    const reason: CodeableConcept[] =
      finding.verdict.kind === 'rejected'
        ? [{ text: plain(`Rejected: ${finding.verdict.reason}`) }]
        : [{ text: 'Confirmed' }];
    written.push(provenance('verdict', finding.id, verification([finding.id], by, at, reason, source)));
  }
  if (reading.review.kind === 'final') {
    const judged = reading.findings.filter(({ verdict }) => verdict.kind === 'unreviewed').map(({ id }) => id);
    written.push(
      provenance(
        'release',
        reading.id,
        verification(
          [report, ...judged],
          reading.review.by,
          reading.review.at,
          [{ text: 'Released after review' }],
          source,
        ),
      ),
    );
  }
  return written;
}

function verification(
  targets: readonly string[],
  by: Reviewer,
  at: string,
  reason: CodeableConcept[],
  entity: NonNullable<Provenance['entity']>,
): Provenance {
  return {
    resourceType: 'Provenance',
    text: narrative([`Reviewed by ${by.display} on ${at.slice(0, 10)}.`]),
    target: targets.map((key) => ({ reference: urn(key) })),
    occurredDateTime: at,
    recorded: at,
    reason,
    agent: [{ type: codes.verifier, who: practitioner(by) }],
    entity,
  };
}

/** R4's Provenance has no identifier; a tag is the one element of every resource that can hold a key and be searched. */
function provenance(
  act: 'read' | 'verdict' | 'release' | 'superseded',
  about: string,
  resource: Provenance,
): Written<Provenance> {
  const key = uuidOf('provenance', act, about);
  return {
    key,
    resource: { ...resource, meta: { ...resource.meta, tag: [{ system: codes.systems.uri, code: urn(key) }] } },
    lookUp: { parameter: '_tag', value: `${codes.systems.uri}|${urn(key)}` },
  };
}

const practitioner = ({ reference, display }: Reviewer): Reference => ({ reference, display: plain(display) });
const authorOf = (by: Reviewer) => ({ authorReference: practitioner(by) });
const basedOn = ({ order }: StudyRecord) => (order === undefined ? {} : { basedOn: [{ reference: order }] });
const issuedAt = ({ review, readAt }: Reading): string => (review.kind === 'final' ? review.at : readAt);

/** DICOM times have no zone and FHIR times need one: only the day is certain. */
const effective = ({ startedAt }: StudyRecord) =>
  startedAt === undefined ? {} : { effectiveDateTime: startedAt.slice(0, 10) };

/** A chart without an ImagingStudy still learns which study was read, by its UID. */
function imagingStudyOf({ imagingStudy, studyUid }: StudyRecord): Reference {
  if (imagingStudy !== undefined) return { reference: imagingStudy };
  return { type: 'ImagingStudy', identifier: { system: codes.systems.dicomUid, value: `urn:oid:${studyUid}` } };
}
