/** An order as another system numbers it, found in the chart: whose it is, and its ServiceRequest. */
import { WetreadError } from '../domain/errors.ts';
import { patientId, type PatientId } from '../domain/ids.ts';
import { localId, token, type ChartIdentifierSystems } from './chart.ts';
import type { FhirClient } from './client.ts';

export type NumberedOrder = {
  readonly accession?: string;
  /** Placer and filler order numbers, without their issuers. */
  readonly orderNumbers: readonly string[];
  readonly recordNumber?: string;
};

export type OrderInChart = { readonly patientId: PatientId; readonly order?: string };

const noOrder: ReadonlySet<string> = new Set(['draft', 'entered-in-error']);

/** Undefined unless one patient is meant for certain. */
export function findOrder(parts: { readonly client: FhirClient; readonly identifierSystems: ChartIdentifierSystems }) {
  const { client, identifierSystems } = parts;

  return async (wanted: NumberedOrder, signal?: AbortSignal): Promise<OrderInChart | undefined> => {
    const patient = await patientWith(wanted.recordNumber, signal);
    const numbers = [
      ...(wanted.accession === undefined ? [] : [token(identifierSystems.accession, wanted.accession)]),
      // Bare numbers are no proof by themselves: they count only for a patient who is known.
      ...(patient === undefined ? [] : wanted.orderNumbers.map((number) => token(undefined, number))),
    ];
    for (const identifier of numbers) {
      const found = await client.search('ServiceRequest', { identifier }, { signal });
      const orders = found
        .filter(({ status }) => !noOrder.has(status))
        .map(({ id, subject }) => ({ id, subject: localId(client.baseUrl, 'Patient', subject) }))
        .filter(({ subject }) => subject !== undefined && (patient === undefined || subject === patient));
      if (orders.length === 1)
        return { patientId: patientId(orders[0]!.subject!), order: `ServiceRequest/${orders[0]!.id}` };
    }
    return patient === undefined ? undefined : { patientId: patient };
  };

  async function patientWith(number: string | undefined, signal?: AbortSignal): Promise<PatientId | undefined> {
    // Without the system a number says nothing: two hospitals' patients may share it.
    if (number === undefined || identifierSystems.patient === undefined) return undefined;
    const found = await client.search('Patient', { identifier: token(identifierSystems.patient, number) }, { signal });
    if (found.length > 1)
      throw new WetreadError('chart.patient-unknown', 'several patients carry this medical record number');
    return found[0]?.id === undefined ? undefined : patientId(found[0].id);
  }
}
