/** What a DiagnosticReport in the chart says to us: a radiology report is about a study that therefore exists. */
import type { CodeableConcept, DiagnosticReport, FhirResource, Reference } from 'fhir/r4.js';
import { WetreadError } from '../domain/errors.ts';
import type { HeardExam } from '../domain/expected-exam.ts';
import { isFhirId, type StudyUid } from '../domain/ids.ts';
import { regionOfText } from '../domain/region.ts';
import { accessionIn, patientOf, studyUidIn } from './imaging-study.ts';

type Referred = 'ImagingStudy' | 'ServiceRequest';
type Resource<Type extends Referred> = Extract<FhirResource, { resourceType: Type }>;

export type ReportSources = {
  readonly baseUrl: string;
  readonly accessionSystem?: string;
  read<Type extends Referred>(type: Type, id: string, signal?: AbortSignal): Promise<Resource<Type>>;
};

export type HeardReport =
  | { readonly exam: HeardExam }
  | { readonly left: 'not-radiology' | 'withdrawn' | 'nothing-made-yet' | 'own' | 'no-study' };

const dicomSystem = 'http://dicom.nema.org/resources/ontology/DCM';
const radiology: ReadonlySet<string> = new Set([
  // Table 0074: radiology, radiograph, imaging, CAT scan, nuclear magnetic resonance, nuclear medicine, ultrasound, cineradiograph.
  ...['RAD', 'RX', 'IMG', 'CT', 'NMR', 'NMS', 'CUS', 'OUS', 'RUS', 'VUS', 'XRC'].map(
    (code) => `http://terminology.hl7.org/CodeSystem/v2-0074|${code}`,
  ),
  'http://loinc.org|LP29684-5',
]);

export async function heardReport(
  report: DiagnosticReport & { id: string },
  sources: ReportSources,
  signal?: AbortSignal,
): Promise<HeardReport> {
  if (report.status === 'entered-in-error' || report.status === 'cancelled') return { left: 'withdrawn' };
  if (report.status === 'registered') return { left: 'nothing-made-yet' };
  // What a machine said, ourselves among them, is about a study that was read already.
  if (report.meta?.security?.some(({ code }) => code === 'AIAST')) return { left: 'own' };
  // R5 says `study` where R4 said `imagingStudy`.
  const references = [...(report.imagingStudy ?? []), ...((report as { study?: Reference[] }).study ?? [])];
  if (references.length === 0 && !isRadiology(report.category)) return { left: 'not-radiology' };

  const studies = await resolved(references, 'ImagingStudy', sources, signal);
  const orders = await resolved(report.basedOn ?? [], 'ServiceRequest', sources, signal);
  const uids = [
    ...studies.map(({ identifier }) => studyUidIn(identifier)),
    // A logical reference names the study without the chart having it.
    ...references.map(({ identifier }) => studyUidIn(identifier && [identifier])),
    studyUidIn(report.identifier),
  ].filter((uid) => uid !== undefined);
  const accession = [report, ...studies, ...orders]
    .map(({ identifier }) => accessionIn(identifier, sources.accessionSystem))
    .find((one) => one !== undefined);
  if (uids.length === 0 && accession === undefined) return { left: 'no-study' };
  const patient = report.subject === undefined ? undefined : patientOf(report.subject, sources.baseUrl);
  return {
    exam: {
      source: 'fhir-subscription',
      numbers: orders.flatMap(({ id }) => (id === undefined ? [] : [`ServiceRequest/${id}`])),
      ...(accession === undefined ? {} : { accession }),
      studyUids: [...new Set<StudyUid>(uids)],
      ...(patient === undefined ? {} : { patientId: patient }),
      region: regionOfText(report.code.text ?? report.code.coding?.[0]?.display ?? ''),
      state: 'done',
    },
  };
}

const isRadiology = (categories: readonly CodeableConcept[] = []): boolean =>
  categories.some(({ coding = [] }) =>
    coding.some(({ system, code }) => radiology.has(`${system}|${code}`) || system === dicomSystem),
  );

async function resolved<Type extends Referred>(
  references: readonly Reference[],
  type: Type,
  sources: ReportSources,
  signal?: AbortSignal,
): Promise<Resource<Type>[]> {
  const found: Resource<Type>[] = [];
  for (const { reference = '' } of references) {
    const relative = reference.startsWith(`${sources.baseUrl}/`)
      ? reference.slice(sources.baseUrl.length + 1)
      : reference;
    const [first, id = '', more] = relative.split('/_history/')[0]!.split('/');
    if (first !== type || more !== undefined || !isFhirId(id)) continue;
    try {
      found.push(await sources.read(type, id, signal));
    } catch (error) {
      // The report is older than what it points at, or the reference is broken: what is left may do.
      if (!(error instanceof WetreadError && error.code === 'chart.not-found')) throw error;
    }
  }
  return found;
}
