/** Imaging orders seen in hooks, so that the study that answers one can be linked to it. */
import type { Priority } from '../domain/event.ts';
import { patientId, studyUid } from '../domain/ids.ts';
import type { OrderBook } from '../domain/ports.ts';
import type { BodyRegion, ImagingOrder } from '../domain/study.ts';
import type { Database } from './database.ts';
import { priorityNumber, type Jobs } from './jobs.ts';
import type { PatientCache } from './patient-cache.ts';

type OrderRow = {
  reference: string | null;
  patient_id: string;
  region: BodyRegion;
  accession: string | null;
  priority: number | null;
  seen_at: Date;
};

export function orderBook(parts: { database: Database; jobs: Jobs; cache: PatientCache }): OrderBook {
  const { database, jobs, cache } = parts;

  return {
    async remember(order) {
      const identity = order.reference === undefined ? '(patient_id, region) where reference is null' : '(reference)';
      const priority = order.priority === undefined ? null : priorityNumber[order.priority];
      await database.query(
        `insert into wetread.imaging_order as known (reference, patient_id, region, accession, priority, seen_at)
         values ($1, $2, $3, $4, $5, $6)
         on conflict ${identity} do update set
           patient_id = excluded.patient_id, region = excluded.region,
           accession = coalesce(excluded.accession, known.accession),
           priority = coalesce(excluded.priority, known.priority),
           seen_at = greatest(excluded.seen_at, known.seen_at)`,
        [order.reference ?? null, order.patientId, order.region, order.accession ?? null, priority, order.seenAt],
      );
      // The pictures may have come before the order was heard of.
      if (priority !== null && order.accession !== undefined) await raiseWaiting(order.accession, priority);
      cache.forget(order.patientId);
    },

    /** Newest first. */
    async forPatient(patient) {
      const orders = await cache.get(patient, 'orders', async () => {
        const rows = await database.query<OrderRow>(
          'select reference, patient_id, region, accession, priority, seen_at from wetread.imaging_order where patient_id = $1 order by seen_at desc, id desc',
          [patient],
        );
        return rows.map(imagingOrder);
      });
      return [...orders];
    },
  };

  async function raiseWaiting(accession: string, priority: number): Promise<void> {
    await database.transaction(async (sql) => {
      const raised = await sql.query<{ study_uid: string }>(
        `update wetread.study set priority = $2
         where accession = $1 and state in ('pending', 'reading') and priority < $2 and priority > $3 returning study_uid`,
        [accession, priority, priorityNumber.backfill],
      );
      for (const { study_uid } of raised) await jobs.raisePriority(sql, studyUid(study_uid), priority);
    });
  }
}

const priorityWord = (number: number): Priority | undefined =>
  (Object.keys(priorityNumber) as Priority[]).find((word) => priorityNumber[word] === number);

const imagingOrder = (row: OrderRow): ImagingOrder => ({
  ...(row.reference === null ? {} : { reference: row.reference }),
  patientId: patientId(row.patient_id),
  region: row.region,
  ...(row.accession === null ? {} : { accession: row.accession }),
  ...(row.priority === null ? {} : { priority: priorityWord(row.priority) ?? 'routine' }),
  seenAt: row.seen_at.toISOString(),
});
