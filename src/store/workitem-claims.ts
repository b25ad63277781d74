/** Claims on workitems, kept from before the worklist hears of them until it was told their end. */
import { studyUid } from '../domain/ids.ts';
import type { Priority } from '../domain/event.ts';
import type { WorkitemClaim, WorkitemClaims } from '../domain/workitem.ts';
import type { Database } from './database.ts';

type ClaimRow = {
  workitem_uid: string;
  transaction_uid: string;
  study_uids: string[];
  priority: string;
  accession: string | null;
  state: WorkitemClaim['state'];
  announced: boolean;
  progress: string | null;
  cancel_reason: string | null;
  began_at: Date;
};

export function workitemClaims(database: Database): WorkitemClaims {
  return {
    async intend({ workitem, transaction, studies, priority, accession }) {
      const added = await database.query(
        `insert into wetread.workitem_claim (workitem_uid, transaction_uid, study_uids, priority, accession)
         values ($1, $2, $3, $4, $5) on conflict (workitem_uid) do nothing returning workitem_uid`,
        [workitem, transaction, studies, priority, accession ?? null],
      );
      return added.length > 0;
    },

    async all() {
      const rows = await database.query<ClaimRow>(
        `select workitem_uid, transaction_uid, study_uids, priority, accession, state, announced, progress, cancel_reason, began_at
         from wetread.workitem_claim order by began_at, workitem_uid`,
      );
      return rows.map(claimOf);
    },

    async mark(workitem, { state, announced, progress, cancelReason }) {
      await database.query(
        `update wetread.workitem_claim set state = coalesce($2, state), announced = coalesce($3, announced),
           progress = coalesce($4, progress), cancel_reason = coalesce($5, cancel_reason)
         where workitem_uid = $1`,
        [workitem, state ?? null, announced ?? null, progress ?? null, cancelReason ?? null],
      );
    },

    async end(workitem) {
      await database.query('delete from wetread.workitem_claim where workitem_uid = $1', [workitem]);
    },
  };
}

const claimOf = (row: ClaimRow): WorkitemClaim => ({
  workitem: row.workitem_uid,
  transaction: row.transaction_uid,
  studies: row.study_uids.map(studyUid),
  priority: row.priority as Priority,
  state: row.state,
  announced: row.announced,
  beganAt: row.began_at,
  ...(row.accession === null ? {} : { accession: row.accession }),
  ...(row.progress === null ? {} : { progress: row.progress }),
  ...(row.cancel_reason === null ? {} : { cancelReason: row.cancel_reason }),
});
