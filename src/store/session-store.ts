/** Sessions of the app and launches under way; both end by themselves. */
import { findingId, patientId, studyUid } from '../domain/ids.ts';
import type { AppSession, SessionStore } from '../domain/ports.ts';
import { z } from 'zod';
import type { Database } from './database.ts';
import { reviewer } from './stored-shapes.ts';

type SessionRow = { patient_id: string; reviewer: unknown; opens: unknown; expires_at: Date };
type LaunchRow = { state: string; remembered: Record<string, unknown>; expires_at: Date };

const opens = z.union([
  z.object({ finding: z.string().transform(findingId) }),
  z.object({ study: z.string().transform(studyUid) }),
]);

export function sessionStore(database: Database): SessionStore {
  return {
    async create(session) {
      await database.query('delete from wetread.app_session where expires_at < now()');
      await database.query(
        'insert into wetread.app_session (token_hash, patient_id, reviewer, opens, expires_at) values ($1, $2, $3, $4, $5)',
        [
          session.tokenHash,
          session.patientId,
          JSON.stringify(session.reviewer),
          session.opens === undefined ? null : JSON.stringify(session.opens),
          session.expiresAt,
        ],
      );
    },

    async byTokenHash(tokenHash) {
      const [row] = await database.query<SessionRow>(
        'select patient_id, reviewer, opens, expires_at from wetread.app_session where token_hash = $1 and expires_at > now()',
        [tokenHash],
      );
      return row && appSession(row);
    },

    end: async (tokenHash) =>
      void (await database.query('delete from wetread.app_session where token_hash = $1', [tokenHash])),

    async extend(tokenHash, expiresAt) {
      await database.query(
        'update wetread.app_session set expires_at = $2 where token_hash = $1 and expires_at > now()',
        [tokenHash, expiresAt],
      );
    },

    async rememberLaunch(launch) {
      await database.query('delete from wetread.app_launch where expires_at < now()');
      await database.query('insert into wetread.app_launch (state, remembered, expires_at) values ($1, $2, $3)', [
        launch.state,
        JSON.stringify(launch.remembered),
        launch.expiresAt,
      ]);
    },

    async takeLaunch(state) {
      // Deleting and reading are one statement: of two callers with the same state one gets nothing.
      const [row] = await database.query<LaunchRow>(
        'delete from wetread.app_launch where state = $1 returning state, remembered, expires_at',
        [state],
      );
      if (row === undefined || row.expires_at.getTime() <= Date.now()) return undefined;
      return { state: row.state, remembered: row.remembered, expiresAt: row.expires_at.toISOString() };
    },
  };
}

const appSession = (row: SessionRow): AppSession => ({
  patientId: patientId(row.patient_id),
  reviewer: reviewer.parse(row.reviewer),
  ...(row.opens === null ? {} : { opens: opens.parse(row.opens) }),
  expiresAt: row.expires_at.toISOString(),
});
