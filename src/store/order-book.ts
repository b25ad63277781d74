/** Imaging orders seen in hooks, so that the study that answers one can be linked to it. */
import { patientId } from '../domain/ids.ts';
import type { OrderBook } from '../domain/ports.ts';
import type { BodyRegion, ImagingOrder } from '../domain/study.ts';
import type { Database } from './database.ts';
import type { PatientCache } from './patient-cache.ts';

type OrderRow = {
  reference: string | null;
  patient_id: string;
  region: BodyRegion;
  accession: string | null;
  seen_at: Date;
};

export function orderBook({ database, cache }: { database: Database; cache: PatientCache }): OrderBook {
  return {
    async remember(order) {
      const identity = order.reference === undefined ? '(patient_id, region) where reference is null' : '(reference)';
      await database.query(
        `insert into wetread.imaging_order as known (reference, patient_id, region, accession, seen_at) values ($1, $2, $3, $4, $5)
         on conflict ${identity} do update set
           patient_id = excluded.patient_id, region = excluded.region,
           accession = coalesce(excluded.accession, known.accession), seen_at = greatest(excluded.seen_at, known.seen_at)`,
        [order.reference ?? null, order.patientId, order.region, order.accession ?? null, order.seenAt],
      );
      cache.forget(order.patientId);
    },

    /** Newest first. */
    async forPatient(patient) {
      const orders = await cache.get(patient, 'orders', async () => {
        const rows = await database.query<OrderRow>(
          'select reference, patient_id, region, accession, seen_at from wetread.imaging_order where patient_id = $1 order by seen_at desc, id desc',
          [patient],
        );
        return rows.map(imagingOrder);
      });
      return [...orders];
    },
  };
}

const imagingOrder = (row: OrderRow): ImagingOrder => ({
  ...(row.reference === null ? {} : { reference: row.reference }),
  patientId: patientId(row.patient_id),
  region: row.region,
  ...(row.accession === null ? {} : { accession: row.accession }),
  seenAt: row.seen_at.toISOString(),
});
