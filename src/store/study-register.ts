/** The memory of studies: each is stored and queued in one transaction, and queued once per reason however often it is announced. */
import { WetreadError } from '../domain/errors.ts';
import type { StudyEvent } from '../domain/event.ts';
import { patientId, studyUid, type PatientId, type StudyUid } from '../domain/ids.ts';
import type { Outcome } from '../domain/outcome.ts';
import type { StudyRegister } from '../domain/ports.ts';
import type { ChartLink, StudyRecord, StudyState, StudySummary } from '../domain/study.ts';
import type { Database, Sql } from './database.ts';
import { priorityNumber, type Jobs } from './jobs.ts';
import { oweOutputs } from './owed-outputs.ts';
import type { PatientCache } from './patient-cache.ts';
import { outcome as outcomeShape } from './stored-shapes.ts';

export type StudyRow = {
  study_uid: string;
  patient_id: string | null;
  accession: string | null;
  imaging_study: string | null;
  order_reference: string | null;
  description: string | null;
  modalities: string[];
  started_at: string | null;
  announced_at: Date;
  settled_at: Date | null;
  state: StudyState['kind'];
  attempt: number;
  outcome: unknown;
};

export const studyColumns = `study_uid, patient_id, accession, imaging_study, order_reference, description, modalities,
  started_at, announced_at, settled_at, state, attempt, outcome`;

export function studyRegister(parts: {
  database: Database;
  jobs: Jobs;
  cache: PatientCache;
  outputs: readonly string[];
}): StudyRegister {
  const { database, jobs, cache } = parts;

  /** Tells this process at once; the others hear it from the database. */
  function changed(row: { patient_id: string | null } | undefined): void {
    if (row?.patient_id != null) cache.forget(row.patient_id);
  }

  return {
    async announce(event) {
      const priority = priorityNumber[event.priority];
      const [known] = await database.query<KnownStudy>(
        'select patient_id, accession, priority, state from wetread.study where study_uid = $1',
        [event.studyUid],
      );
      // Polls repeat themselves: what says nothing new needs no transaction.
      if (known !== undefined && !saysSomethingNew(event, priority, known)) return 'known';

      const { answer, row } = await database.transaction(async (sql) => {
        const [added] = await sql.query<{ patient_id: string | null }>(
          `insert into wetread.study (study_uid, patient_id, accession, priority) values ($1, $2, $3, $4)
           on conflict (study_uid) do nothing returning patient_id`,
          [event.studyUid, event.patientId ?? null, event.accession ?? null, priority],
        );
        if (added !== undefined) {
          await jobs.queueStudy(sql, event.studyUid, event.reason, priority);
          return { answer: 'queued' as const, row: added };
        }
        return announceAgain(sql, event, priority);
      });
      changed(row);
      return answer;
    },

    async get(study) {
      const [row] = await database.query<StudyRow>(`select ${studyColumns} from wetread.study where study_uid = $1`, [
        study,
      ]);
      return row && studyRecord(row);
    },

    async forPatient(patient) {
      const records = await cache.get(patient, 'studies', async () => {
        const rows = await database.query<StudyRow>(
          `select ${studyColumns} from wetread.study where patient_id = $1
           order by started_at desc nulls last, announced_at desc, study_uid`,
          [patient],
        );
        return rows.map(studyRecord);
      });
      return [...records];
    },

    async describe(study, link) {
      const { before, after } = await database.transaction((sql) => describeStudy(sql, study, link));
      changed(before);
      changed(after);
      return studyRecord(after);
    },

    async begin(study, attempt) {
      const rows = await database.query<{ patient_id: string | null }>(
        `update wetread.study set state = 'reading', attempt = $2, outcome = null, settled_at = null
         where study_uid = $1 returning patient_id`,
        [study, attempt],
      );
      if (rows.length === 0) throw neverAnnounced();
      changed(rows[0]);
    },

    async settle(study, outcome) {
      const rows = await settleStudy(database, study, 'settled', outcome);
      if (rows.length === 0) throw neverAnnounced();
      changed(rows[0]);
    },

    hurry: (study) =>
      database.transaction(async (sql) => {
        const raised = await sql.query(
          `update wetread.study set priority = $2 where study_uid = $1 and state in ('pending', 'reading') and priority < $2 returning study_uid`,
          [study, priorityNumber.waiting],
        );
        if (raised.length > 0) await jobs.raisePriority(sql, study, priorityNumber.waiting);
      }),

    async dead() {
      const rows = await database.query<StudyRow>(
        `select ${studyColumns} from wetread.study where state = 'dead' order by settled_at desc, study_uid`,
      );
      return rows.map(studyRecord);
    },

    async requeue(study) {
      const row = await database.transaction((sql) => requeueStudy(sql, study));
      changed(row);
    },
  };

  async function announceAgain(sql: Sql, event: StudyEvent, priority: number) {
    const [row] = await sql.query<{ patient_id: string | null; was: number }>(
      `with known as (select study_uid, priority from wetread.study where study_uid = $1 for update)
       update wetread.study s set
         patient_id = coalesce(s.patient_id, $2), accession = coalesce(s.accession, $3), priority = greatest(s.priority, $4)
       from known where s.study_uid = known.study_uid returning s.patient_id, known.priority as was`,
      [event.studyUid, event.patientId ?? null, event.accession ?? null, priority],
    );
    if (event.reason === 're-read' && (await jobs.queueStudy(sql, event.studyUid, 're-read', priority))) {
      await sql.query(
        `update wetread.study set state = 'pending', outcome = null, settled_at = null, interruptions = 0
         where study_uid = $1 and state in ('settled', 'dead')`,
        [event.studyUid],
      );
      return { answer: 'queued' as const, row };
    }
    if (row !== undefined && priority > row.was) await jobs.raisePriority(sql, event.studyUid, priority);
    return { answer: 'known' as const, row };
  }

  /** What the archive says now replaces what it said; what the chart cannot name any more stays as it was. */
  async function describeStudy(sql: Sql, study: StudySummary, link: ChartLink) {
    const [before] = await sql.query<StudyRow>(
      `select ${studyColumns} from wetread.study where study_uid = $1 for update`,
      [study.studyUid],
    );
    if (before === undefined) throw neverAnnounced();
    const [after] = await sql.query<StudyRow>(
      `update wetread.study set
         patient_id = $2, imaging_study = coalesce($3, imaging_study), order_reference = coalesce($4, order_reference),
         accession = coalesce($5, accession), description = coalesce($6, description), started_at = coalesce($7, started_at),
         modalities = $8
       where study_uid = $1 returning ${studyColumns}`,
      [
        study.studyUid,
        link.patientId,
        link.imagingStudy ?? null,
        link.order ?? null,
        study.accession ?? null,
        study.description ?? null,
        study.startedAt ?? null,
        study.modalities,
      ],
    );
    if (after === undefined) throw neverAnnounced();
    // The study was filed under somebody else: reports that were written already must move as well.
    if (before.patient_id !== null && before.patient_id !== after.patient_id) {
      const readings = await sql.query<{ reading_id: string }>(
        'update wetread.reading set revision = revision + 1 where study_uid = $1 returning reading_id',
        [study.studyUid],
      );
      for (const { reading_id } of readings) await oweOutputs(sql, jobs, reading_id, parts.outputs);
    }
    return { before, after };
  }

  /** Gives a dead study, and outputs of it that were given up, another full round of tries. */
  async function requeueStudy(sql: Sql, study: StudyUid) {
    const [known] = await sql.query<{ patient_id: string | null; state: string; priority: number }>(
      'select patient_id, state, priority from wetread.study where study_uid = $1 for update',
      [study],
    );
    if (known === undefined) throw new WetreadError('request.not-found', 'the study was never announced');
    if (known.state === 'dead') {
      await sql.query(
        `update wetread.study set state = 'pending', attempt = 0, interruptions = 0, outcome = null, settled_at = null where study_uid = $1`,
        [study],
      );
      await jobs.queueStudy(sql, study, 'study-arrived', known.priority);
    }
    const owing = await sql.query<{ reading_id: string; output: string }>(
      `select o.reading_id, o.output from wetread.owed_output o join wetread.reading r using (reading_id)
       where r.study_uid = $1 and o.dead_code is not null`,
      [study],
    );
    for (const { reading_id, output } of owing) await oweOutputs(sql, jobs, reading_id, [output]);
    if (known.state !== 'dead' && owing.length === 0)
      throw new WetreadError('request.conflict', 'the study is not dead');
    return known;
  }
}

export async function recentStudies(sql: Sql, most: number): Promise<StudyRecord[]> {
  const rows = await sql.query<StudyRow>(
    `select ${studyColumns} from wetread.study order by announced_at desc, study_uid limit $1`,
    [most],
  );
  return rows.map(studyRecord);
}

type KnownStudy = { patient_id: string | null; accession: string | null; priority: number; state: string };

function saysSomethingNew(event: StudyEvent, priority: number, known: KnownStudy): boolean {
  return (
    event.reason === 're-read' ||
    (event.patientId !== undefined && known.patient_id === null) ||
    (event.accession !== undefined && known.accession === null) ||
    (priority > known.priority && known.state === 'pending')
  );
}

const neverAnnounced = () => new WetreadError('internal.unexpected', 'the study was never announced');

export function settleStudy(sql: Sql, study: StudyUid, state: 'settled' | 'dead', outcome: Outcome) {
  return sql.query<{ patient_id: string | null }>(
    `update wetread.study set state = $2, outcome = $3, settled_at = now() where study_uid = $1 returning patient_id`,
    [study, state, JSON.stringify(outcome)],
  );
}

export function studyRecord(row: StudyRow): StudyRecord {
  return {
    studyUid: studyUid(row.study_uid),
    ...(row.patient_id === null ? {} : { patientId: patientId(row.patient_id) as PatientId }),
    ...(row.accession === null ? {} : { accession: row.accession }),
    ...(row.imaging_study === null ? {} : { imagingStudy: row.imaging_study }),
    ...(row.order_reference === null ? {} : { order: row.order_reference }),
    ...(row.description === null ? {} : { description: row.description }),
    modalities: row.modalities,
    ...(row.started_at === null ? {} : { startedAt: row.started_at }),
    announcedAt: row.announced_at.toISOString(),
    ...(row.settled_at === null ? {} : { settledAt: row.settled_at.toISOString() }),
    state: studyState(row),
  };
}

function studyState(row: StudyRow): StudyState {
  switch (row.state) {
    case 'pending':
      return { kind: 'pending' };
    case 'reading':
      return { kind: 'reading', attempt: row.attempt };
    case 'settled':
    case 'dead':
      return { kind: row.state, outcome: outcomeShape.parse(row.outcome) };
  }
}
