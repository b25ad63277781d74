/** What a ServiceRequest in the chart says to us: an imaging order to remember, with its priority and accession number. */
import type { Identifier, ServiceRequest } from 'fhir/r4.js';
import type { HeardExam } from '../domain/expected-exam.ts';
import type { BodyRegion } from '../domain/study.ts';
import { accessionIn, patientOf, studyUidIn } from './imaging-study.ts';

/** How orders are understood; the same as in hooks, so that both remember the same. */
export type OrderReading = {
  readonly isImaging: (order: ServiceRequest) => boolean;
  readonly regionOf: (order: ServiceRequest) => BodyRegion;
  readonly accessionSystem?: string;
};

export type HeardOrder = { readonly exam: HeardExam } | { readonly left: 'not-imaging' | 'not-an-order' };

const proposals: ReadonlySet<string> = new Set(['proposal', 'plan', 'directive', 'option']);
/** R4 request priority: `urgent` is "soon", `asap` sooner, `stat` at once. All three are read before what can wait. */
const hurried: ReadonlySet<string> = new Set(['stat', 'asap', 'urgent']);

export function heardOrder(order: ServiceRequest & { id: string }, baseUrl: string, reading: OrderReading): HeardOrder {
  if (order.status === 'draft' || proposals.has(order.intent)) return { left: 'not-an-order' };
  if (!reading.isImaging(order)) return { left: 'not-imaging' };
  const accession = accessionIn(order.identifier, reading.accessionSystem);
  const patient = patientOf(order.subject, baseUrl);
  const study = studyUidIn(order.identifier);
  return {
    exam: {
      source: 'fhir-subscription',
      numbers: [`ServiceRequest/${order.id}`, ...orderNumbers(order.identifier)],
      ...(accession === undefined ? {} : { accession }),
      studyUids: study === undefined ? [] : [study],
      ...(patient === undefined ? {} : { patientId: patient }),
      order: `ServiceRequest/${order.id}`,
      region: reading.regionOf(order),
      ...(order.priority === undefined ? {} : { priority: hurried.has(order.priority) ? 'stat' : 'routine' }),
      state: stateOf(order.status, accession !== undefined || study !== undefined),
    },
  };
}

function stateOf(status: ServiceRequest['status'], findable: boolean): HeardExam['state'] {
  if (status === 'revoked' || status === 'entered-in-error') return 'cancelled';
  // The chart says that it was done, but not which pictures it led to: those are heard of otherwise.
  return status === 'completed' && findable ? 'done' : 'ordered';
}

/** Table 0203: placer and filler identifiers, written as HL7 messages about the same order would name them. */
function orderNumbers(identifiers: readonly Identifier[] = []): string[] {
  return identifiers.flatMap(({ type, system = '', value = '' }) =>
    (type?.coding ?? [])
      .filter(({ code }) => (code === 'PLAC' || code === 'FILL') && value !== '')
      .map(({ code }) => `${code === 'PLAC' ? 'placer' : 'filler'}:${value}^${system.replace(/^urn:oid:/, '')}`),
  );
}
