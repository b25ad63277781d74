/** A chart as the page shows it, read from the FHIR resources each time. */
import { formatHumanName, parseSearchRequest, type WithId } from '@medplum/core';
import type {
  AllergyIntolerance,
  Condition,
  DiagnosticReport,
  Encounter,
  ImagingStudy,
  MedicationRequest,
  Observation,
  Patient,
  Practitioner,
  Provenance,
  Resource,
  ServiceRequest,
} from '@medplum/fhirtypes';
import type { ChartRepository } from '../fhir/repository.ts';
import type { ChartView, OrderView, PatientRow, Person, ReportView, Staff, StudyView } from './chart-contract.ts';
import { accessionSystem, dicomUidSystem, identifierIn, mrnSystem } from './identifiers.ts';
import type { FilmProgress } from './progress.ts';

type Films = (patient: string) => readonly FilmProgress[];

export async function patientRows(charts: ChartRepository, films: Films): Promise<PatientRow[]> {
  const patients = await all<Patient>(charts, 'Patient?_sort=family&_count=200');
  const visits = await all<Encounter>(charts, 'Encounter?status=in-progress&_count=200');
  return patients.map((patient) => ({
    ...personOf(patient),
    reason: visits.find(({ subject }) => subject?.reference === `Patient/${patient.id}`)?.reasonCode?.[0]?.text ?? '',
    openFilms: films(patient.id).filter(({ steps }) => steps.reported === undefined).length,
  }));
}

export async function staffList(charts: ChartRepository): Promise<Staff[]> {
  const practitioners = await all<Practitioner>(charts, 'Practitioner?_count=100');
  return practitioners.map(({ id, name, qualification }) => ({
    id,
    name: formatHumanName(name![0]!, { prefix: true }),
    role: qualification?.[0]?.code.text ?? '',
  }));
}

export async function chartView(charts: ChartRepository, patientId: string, films: Films): Promise<ChartView> {
  const of = <T extends Resource>(type: string, more = '') =>
    all<T>(charts, `${type}?patient=Patient/${patientId}&_count=200${more}`);
  const patient = await charts.readResource<WithId<Patient>>('Patient', patientId);
  const [allergies, problems, medications, results, visits, orders, studies, reports, provenances] = await Promise.all([
    of<AllergyIntolerance>('AllergyIntolerance'),
    of<Condition>('Condition'),
    of<MedicationRequest>('MedicationRequest'),
    of<Observation>('Observation', '&_sort=-date'),
    of<Encounter>('Encounter', '&_sort=-date'),
    of<ServiceRequest>('ServiceRequest', '&_sort=-authored'),
    of<ImagingStudy>('ImagingStudy', '&_sort=-started'),
    of<DiagnosticReport>('DiagnosticReport', '&_sort=-issued'),
    all<Provenance>(charts, 'Provenance?_count=500'),
  ]);
  const today = visits.find(({ status }) => status === 'in-progress');
  const progress = films(patientId);
  const ofStudy = (report: DiagnosticReport, study: ImagingStudy) =>
    report.imagingStudy?.some(({ reference }) => reference === `ImagingStudy/${study.id}`) === true;
  const shown = (report: WithId<DiagnosticReport>) => reportView(report, results, provenances);

  return {
    patient: {
      ...personOf(patient),
      phone: patient.telecom?.find(({ system }) => system === 'phone')?.value ?? '',
      allergies: allergies.map(({ code, reaction }) =>
        [code?.text, reaction?.[0]?.manifestation?.[0]?.text?.toLowerCase()].filter(Boolean).join(': '),
      ),
    },
    today:
      today === undefined
        ? null
        : { encounter: today.id, type: today.type?.[0]?.text ?? '', reason: today.reasonCode?.[0]?.text ?? '' },
    problems: problems.map(({ code, onsetDateTime }) => ({ text: code?.text ?? '', since: onsetDateTime ?? '' })),
    medications: medications.map(({ medicationCodeableConcept, dosageInstruction }) => ({
      text: medicationCodeableConcept?.text ?? '',
      dose: dosageInstruction?.[0]?.text ?? '',
    })),
    // What an imaging report says stands with its report.
    results: results
      .filter(({ derivedFrom, valueQuantity }) => derivedFrom === undefined && valueQuantity !== undefined)
      .map((one) => ({ text: one.code.text ?? '', value: valueText(one), at: one.effectiveDateTime ?? '' })),
    visits: visits
      .filter(({ status }) => status === 'finished')
      .map(({ type, reasonCode, period }) => ({
        type: type?.[0]?.text ?? '',
        reason: reasonCode?.[0]?.text ?? '',
        at: period?.start ?? '',
      })),
    orders: orders.map(orderView),
    studies: studies.map((study) => {
      const mine = progress.find(({ studyUid }) => studyUid === uidOf(study));
      return {
        ...studyView(study),
        reports: reports.filter((report) => ofStudy(report, study)).map(shown),
        ...(mine === undefined ? {} : { progress: mine }),
      };
    }),
    earlierReports: reports.filter((report) => !studies.some((study) => ofStudy(report, study))).map(shown),
  };
}

async function all<T extends Resource>(charts: ChartRepository, query: string): Promise<WithId<T>[]> {
  return charts.searchResources(parseSearchRequest<T>(query));
}

function personOf(patient: WithId<Patient>): Person {
  const birthDate = patient.birthDate ?? '';
  return {
    id: patient.id,
    name: formatHumanName(patient.name![0]!, { prefix: true }),
    birthDate,
    age: ageOn(birthDate, new Date()),
    sex: patient.gender ?? 'unknown',
    mrn: identifierIn(patient, mrnSystem) ?? '',
  };
}

function ageOn(birthDate: string, day: Date): number {
  const [year = 0, month = 1, date = 1] = birthDate.split('-').map(Number);
  const before = day.getMonth() + 1 < month || (day.getMonth() + 1 === month && day.getDate() < date);
  return day.getFullYear() - year - (before ? 1 : 0);
}

export const uidOf = (study: ImagingStudy): string =>
  (identifierIn(study, dicomUidSystem) ?? '').replace('urn:oid:', '');

function studyView(study: WithId<ImagingStudy>): Omit<StudyView, 'reports' | 'progress'> {
  return {
    id: study.id,
    uid: uidOf(study),
    name: study.description ?? 'Imaging study',
    modality: study.modality?.[0]?.code ?? '',
    startedAt: study.started ?? '',
    accession: identifierIn(study, accessionSystem) ?? '',
    ordered: study.basedOn !== undefined,
  };
}

function orderView(order: WithId<ServiceRequest>): OrderView {
  return {
    id: order.id,
    name: order.code?.text ?? '',
    status: order.status ?? '',
    at: order.authoredOn ?? '',
    by: order.requester?.display ?? '',
    reason: order.reasonCode?.[0]?.text ?? '',
    accession: identifierIn(order, accessionSystem) ?? '',
  };
}

function reportView(
  report: WithId<DiagnosticReport>,
  observations: readonly WithId<Observation>[],
  provenances: readonly Provenance[],
): ReportView {
  const results = (report.result ?? []).flatMap(
    ({ reference }) => observations.find(({ id }) => reference === `Observation/${id}`) ?? [],
  );
  const byAi = report.meta?.security?.some(({ code }) => code === 'AIAST') === true;
  return {
    id: report.id,
    title: report.code.text ?? 'Report',
    status: report.status ?? '',
    ...standingOf(report, byAi, verifierOf(report, provenances)),
    at: report.issued ?? report.effectiveDateTime ?? '',
    conclusion: report.conclusion ?? '',
    results: results.map((one) => ({
      text: [one.bodySite?.text, one.code.text].filter(Boolean).join(': '),
      value: valueText(one),
      withdrawn: one.status === 'entered-in-error',
    })),
  };
}

function standingOf(report: DiagnosticReport, byAi: boolean, verifier: string): Pick<ReportView, 'standing' | 'tone'> {
  switch (report.status) {
    case 'registered':
    case 'partial':
    case 'preliminary':
      return byAi
        ? {
            standing: `${report.status === 'preliminary' ? 'Preliminary' : 'Partial'} – AI suggestion, not yet reviewed`,
            tone: 'suggested',
          }
        : { standing: 'Preliminary', tone: 'plain' };
    case 'final':
    case 'amended':
    case 'corrected':
    case 'appended':
      return { standing: verifier === '' ? 'Final' : `Final – verified by ${verifier}`, tone: 'confirmed' };
    case 'cancelled':
    case 'entered-in-error':
      return { standing: 'Withdrawn', tone: 'withdrawn' };
    default:
      return { standing: 'Unknown', tone: 'plain' };
  }
}

/** Who stands for the report: the verifier in its Provenance, else whoever interpreted it. */
function verifierOf(report: WithId<DiagnosticReport>, provenances: readonly Provenance[]): string {
  const agents = provenances
    .filter(({ target }) =>
      target?.some(({ reference }) => reference?.split('/_history/')[0] === `DiagnosticReport/${report.id}`),
    )
    .flatMap(({ agent }) => agent ?? []);
  const verifier = agents.find(({ type }) => type?.coding?.some(({ code }) => code === 'verifier'))?.who;
  return verifier?.display ?? report.resultsInterpreter?.[0]?.display ?? '';
}

function valueText({ valueQuantity, valueCodeableConcept, valueString, dataAbsentReason }: Observation): string {
  if (valueQuantity?.value !== undefined)
    return [valueQuantity.value, valueQuantity.unit].filter((part) => part !== undefined && part !== '').join(' ');
  return (
    valueCodeableConcept?.text ??
    valueCodeableConcept?.coding?.[0]?.display ??
    valueString ??
    dataAbsentReason?.text ??
    ''
  );
}
