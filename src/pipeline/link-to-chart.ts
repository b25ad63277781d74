/** Finds the patient and the order that a study belongs to; an order seen in a hook fills in what the chart does not say. */
import type { PatientId } from '../domain/ids.ts';
import type { Chart, OrderBook } from '../domain/ports.ts';
import { regionOfText } from '../domain/region.ts';
import type { ChartLink, ImagingOrder, StudySummary } from '../domain/study.ts';

export async function linkToChart(
  { chart, orders }: { chart: Chart; orders: OrderBook },
  study: StudySummary,
  patientId: PatientId | undefined,
  signal: AbortSignal,
): Promise<ChartLink> {
  const link = await chart.locate(study, patientId === undefined ? {} : { patientId }, signal);
  if (link.order !== undefined) return link;
  const order = orderFor(study, await orders.forPatient(link.patientId));
  return order?.reference === undefined ? link : { ...link, order: order.reference };
}

/** The accession number decides; without one, the latest order of the same region does. */
function orderFor(study: StudySummary, orders: readonly ImagingOrder[]): ImagingOrder | undefined {
  const signed = orders.filter(({ reference }) => reference !== undefined);
  const byAccession = signed.find(({ accession }) => accession !== undefined && accession === study.accession);
  if (byAccession !== undefined) return byAccession;
  const region = regionOfText(study.description ?? '');
  if (region === 'other') return undefined;
  return signed
    .filter((order) => order.region === region && order.accession === undefined)
    .toSorted((a, b) => b.seenAt.localeCompare(a.seenAt))[0];
}
