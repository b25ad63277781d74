/** Linking a study to its order: the chart's word first, then what a hook remembered. */
import { describe, expect, test } from 'vitest';
import type { Chart, OrderBook } from '../../src/domain/ports.ts';
import type { ChartLink, ImagingOrder, StudySummary } from '../../src/domain/study.ts';
import { linkToChart } from '../../src/pipeline/link-to-chart.ts';
import { patient, summary } from './pictures.ts';

const order = (reference: string, more: Partial<ImagingOrder> = {}): ImagingOrder => ({
  reference,
  patientId: patient,
  region: 'lumbar-spine',
  seenAt: '2026-11-20T08:00:00Z',
  ...more,
});

async function linked(
  orders: ImagingOrder[],
  { link = {}, study = {} }: { link?: Partial<ChartLink>; study?: Partial<StudySummary> } = {},
): Promise<string | undefined> {
  const chart = { locate: async () => ({ patientId: patient, ...link }) } as unknown as Chart;
  const book: OrderBook = { forPatient: async () => orders, remember: async () => {} };
  return (await linkToChart({ chart, orders: book }, { ...summary, ...study }, undefined, AbortSignal.timeout(60_000)))
    .order;
}

describe('linking a study to its order', () => {
  test('believes the chart when it names the order', async () => {
    expect(await linked([order('ServiceRequest/other')], { link: { order: 'ServiceRequest/chart' } })).toBe(
      'ServiceRequest/chart',
    );
  });

  test('takes the remembered order with the same accession number', async () => {
    const orders = [order('ServiceRequest/1', { accession: 'A1' }), order('ServiceRequest/2', { accession: 'A2' })];
    expect(await linked(orders, { study: { accession: 'A2' } })).toBe('ServiceRequest/2');
  });

  test('takes the latest order of the same region when nothing has an accession number', async () => {
    const orders = [
      order('ServiceRequest/old', { seenAt: '2026-01-01T00:00:00Z' }),
      order('ServiceRequest/new'),
      order('ServiceRequest/knee', { region: 'limb', seenAt: '2026-11-21T00:00:00Z' }),
    ];
    expect(await linked(orders)).toBe('ServiceRequest/new');
  });

  test("does not take an order whose accession number is another's", async () => {
    expect(
      await linked([order('ServiceRequest/1', { accession: 'A1' })], { study: { accession: 'B9' } }),
    ).toBeUndefined();
  });

  test('does not guess for a study that names no region', async () => {
    expect(
      await linked([order('ServiceRequest/1', { region: 'other' })], { study: { description: 'Follow-up' } }),
    ).toBeUndefined();
  });
});
