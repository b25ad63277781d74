/** The chart port over FHIR R4: whose study this is, and which order it answers. Evidence must agree; nothing is taken at random. */
import type { Identifier, ImagingStudy, Patient, Reference, ServiceRequest } from 'fhir/r4.js';
import { WetreadError } from '../domain/errors.ts';
import { isFhirId, patientId, type PatientId } from '../domain/ids.ts';
import type { Chart } from '../domain/ports.ts';
import type { ChartLink, StudySummary } from '../domain/study.ts';
import type { FhirClient } from './client.ts';

export type ChartIdentifierSystems = {
  /** Of the medical record numbers that DICOM Patient ID (0010,0020) holds. */
  readonly patient?: string;
  /** Of accession numbers on orders. Without it any identifier with that value counts. */
  readonly accession?: string;
};

export type FhirChartOptions = { readonly client: FhirClient; readonly identifierSystems: ChartIdentifierSystems };

/** FHIR R4 ImagingStudy: the Study Instance UID is an identifier of this system with an OID URN as its value. */
export const dicomUidSystem = 'urn:dicom:uid';

/** Orders that cannot have produced a film, or that were withdrawn. */
const noOrder: ReadonlySet<string> = new Set(['draft', 'entered-in-error', 'revoked']);

/** A patient and everyone whose record was merged into theirs: the film may carry the old number. */
type Person = { readonly id: PatientId; readonly records: readonly Patient[] };

export function fhirChart({ client, identifierSystems }: FhirChartOptions): Chart {
  async function locate(
    study: StudySummary,
    hint: { readonly patientId?: PatientId },
    signal?: AbortSignal,
  ): Promise<ChartLink> {
    const [imagingStudies, orders] = await Promise.all([imagingStudiesOf(study, signal), ordersOf(study, signal)]);
    const person = await personOf(study, hint, imagingStudies, orders, signal);
    const theirs = <Resource extends { subject: Reference }>(resources: readonly Resource[]) =>
      resources.filter(({ subject }) => isAbout(subject, person));

    const imagingStudy = theirs(imagingStudies)[0];
    const based = imagingStudy?.basedOn?.map((one) => idOf('ServiceRequest', one)).find((id) => id !== undefined);
    const matching = theirs(orders);
    // One accession may cover several orders of one patient; then the chart does not say which, and none is guessed.
    const order = based ?? (matching.length === 1 ? matching[0]!.id : undefined);
    return {
      patientId: person.id,
      ...(imagingStudy?.id === undefined ? {} : { imagingStudy: `ImagingStudy/${imagingStudy.id}` }),
      ...(order === undefined ? {} : { order: `ServiceRequest/${order}` }),
    };
  }

  const idOf = (type: string, reference: Reference | undefined) => localId(client.baseUrl, type, reference);

  function isAbout(subject: Reference, person: Person): boolean {
    const id = idOf('Patient', subject);
    return id !== undefined && (id === person.id || person.records.some((record) => record.id === id));
  }

  async function imagingStudiesOf(study: StudySummary, signal?: AbortSignal): Promise<ImagingStudy[]> {
    // The bare UID is not what R4 says, but what some gateways write.
    const identifier = `${dicomUidSystem}|urn:oid:${study.studyUid},${dicomUidSystem}|${study.studyUid}`;
    const found = await client.search('ImagingStudy', { identifier }, { signal });
    return found.filter(({ status }) => status !== 'entered-in-error');
  }

  async function ordersOf(study: StudySummary, signal?: AbortSignal): Promise<ServiceRequest[]> {
    if (study.accession === undefined || study.accession === '') return [];
    const found = await client.search(
      'ServiceRequest',
      { identifier: token(identifierSystems.accession, study.accession) },
      { signal },
    );
    return found.filter(({ status }) => !noOrder.has(status));
  }

  /**
   * The strongest evidence names the patient (ImagingStudy, then order, then record number, then the event's hint);
   * whatever else is known must not contradict it. A finding in the wrong chart is worse than none, so a contradiction
   * stops here and is tried again later: charts and archives are put right by people, and an order may still be coming.
   */
  async function personOf(
    study: StudySummary,
    hint: { readonly patientId?: PatientId },
    imagingStudies: readonly ImagingStudy[],
    orders: readonly ServiceRequest[],
    signal?: AbortSignal,
  ): Promise<Person> {
    const fromStudies = await people(imagingStudies, signal);
    if (fromStudies.length > 0)
      return agreed(
        fromStudies,
        study,
        hint,
        'several ImagingStudy resources with this UID belong to different patients',
        signal,
      );

    const fromOrders = await people(orders, signal);
    if (fromOrders.length > 0)
      return agreed(fromOrders, study, hint, 'orders of different patients carry this accession number', signal);

    const fromNumber = await withRecordNumber(study, signal);
    if (fromNumber.length > 0)
      return agreed(fromNumber, study, hint, 'several patients carry this medical record number', signal);

    if (hint.patientId !== undefined) return agreed([await follow(hint.patientId, signal)], study, hint, '', signal);
    const unset = identifierSystems.patient === undefined && study.dicomPatientId !== undefined;
    throw new WetreadError('chart.patient-unknown', unset ? 'WETREAD_PATIENT_IDENTIFIER_SYSTEM is not set' : undefined);
  }

  async function agreed(
    candidates: readonly Person[],
    study: StudySummary,
    hint: { readonly patientId?: PatientId },
    ambiguity: string,
    signal?: AbortSignal,
  ): Promise<Person> {
    // The hint may name a record that was merged into another since.
    const hinted = hint.patientId === undefined ? undefined : (await follow(hint.patientId, signal)).id;
    const fitting = candidates.filter(
      (person) => !contradictsRecordNumber(person, study) && (hinted === undefined || person.id === hinted),
    );
    if (fitting.length === 1) return fitting[0]!;
    if (candidates.length > 1) {
      const certain = fitting.filter((person) => carriesRecordNumber(person, study));
      if (certain.length === 1) return certain[0]!;
      throw new WetreadError('chart.patient-unknown', ambiguity);
    }
    const numberContradicts = contradictsRecordNumber(candidates[0]!, study);
    throw new WetreadError(
      'chart.patient-unknown',
      numberContradicts
        ? 'The medical record number in the image and the patient in the chart are not the same person.'
        : 'The event and the chart name different patients.',
    );
  }

  /** The patients these resources are about, each once, merged records followed. */
  async function people(
    resources: readonly { readonly subject: Reference }[],
    signal?: AbortSignal,
  ): Promise<Person[]> {
    const ids = new Set(resources.map(({ subject }) => idOf('Patient', subject)).filter((id) => id !== undefined));
    const persons = new Map<string, Person>();
    for (const id of ids) {
      const person = await follow(id, signal);
      const before = persons.get(person.id);
      persons.set(
        person.id,
        before === undefined ? person : { id: person.id, records: [...before.records, ...person.records] },
      );
    }
    return [...persons.values()];
  }

  async function withRecordNumber(study: StudySummary, signal?: AbortSignal): Promise<Person[]> {
    // Without the system a number says nothing: two hospitals' patients may share it.
    if (identifierSystems.patient === undefined || study.dicomPatientId === undefined || study.dicomPatientId === '')
      return [];
    const found = await client.search(
      'Patient',
      { identifier: token(identifierSystems.patient, study.dicomPatientId) },
      { signal },
    );
    const persons = new Map<string, Person>();
    for (const patient of found) {
      const person = await followFrom(patient, signal);
      persons.set(person.id, person);
    }
    return [...persons.values()];
  }

  async function follow(id: string, signal?: AbortSignal): Promise<Person> {
    try {
      return await followFrom(await client.read('Patient', id, signal), signal);
    } catch (error) {
      if (error instanceof WetreadError && error.code === 'chart.not-found')
        throw new WetreadError('chart.patient-unknown', 'the patient that is referred to is not in the chart', {
          cause: error,
        });
      throw error;
    }
  }

  /** Patient.link `replaced-by` leads to the record that is used now. */
  async function followFrom(patient: Patient, signal?: AbortSignal): Promise<Person> {
    const records = [patient];
    for (;;) {
      const successor = idOf('Patient', records.at(-1)!.link?.find(({ type }) => type === 'replaced-by')?.other);
      if (successor === undefined || records.some(({ id }) => id === successor) || records.length > 4) break;
      records.push(await client.read('Patient', successor, signal));
    }
    return { id: patientId(records.at(-1)!.id ?? ''), records };
  }

  function numbersOf(person: Person): string[] {
    return person.records.flatMap(({ identifier = [] }) =>
      identifier
        .filter(({ system }) => system === identifierSystems.patient)
        .map(({ value = '' }: Identifier) => value.trim()),
    );
  }

  const comparable = (study: StudySummary) =>
    identifierSystems.patient === undefined ? undefined : study.dicomPatientId?.trim() || undefined;

  function carriesRecordNumber(person: Person, study: StudySummary): boolean {
    const number = comparable(study);
    return number !== undefined && numbersOf(person).includes(number);
  }

  /** Only a number of the same system can contradict; a patient without one cannot be compared. */
  function contradictsRecordNumber(person: Person, study: StudySummary): boolean {
    const number = comparable(study);
    const numbers = numbersOf(person);
    return number !== undefined && numbers.length > 0 && !numbers.includes(number);
  }

  return { locate, probe: (signal) => client.probe(signal) };
}

/** Search values escape the characters that separate them (R4 search, 3.1.1.4.5). */
export function token(system: string | undefined, value: string): string {
  const escaped = (text: string) => text.replaceAll(/[\\|,$]/g, (character) => `\\${character}`);
  return system === undefined ? escaped(value) : `${escaped(system)}|${escaped(value)}`;
}

/** The id in `Patient/123` or `{base}/Patient/123/_history/4`. Undefined for anything else: another server's Patient/123 is another person. */
export function localId(baseUrl: string, type: string, reference: Reference | undefined): string | undefined {
  const text = reference?.reference?.split('/_history/')[0] ?? '';
  const relative = text.startsWith(`${baseUrl}/`) ? text.slice(baseUrl.length + 1) : text;
  const [first, id, more] = relative.split('/');
  return first === type && id !== undefined && more === undefined && isFhirId(id) ? id : undefined;
}
