/** The memory of studies: each is stored and queued in one transaction; it has one living job however often it is announced, and no announcement is lost while that job runs. */
import { WetreadError } from '../domain/errors.ts';
import type { StudyEvent } from '../domain/event.ts';
import { patientId, studyUid, type PatientId, type StudyUid } from '../domain/ids.ts';
import type { Outcome } from '../domain/outcome.ts';
import type { StudyRegister } from '../domain/ports.ts';
import type { ChartLink, FailedTry, StudyRecord, StudyState, StudySummary } from '../domain/study.ts';
import type { Database, Sql } from './database.ts';
import { jobSchema, priorityNumber, type Jobs } from './jobs.ts';
import { oweOutputs } from './owed-outputs.ts';
import type { PatientCache } from './patient-cache.ts';
import { errorCode, outcome as outcomeShape } from './stored-shapes.ts';

export type StudyRow = {
  study_uid: string;
  patient_id: string | null;
  accession: string | null;
  imaging_study: string | null;
  order_reference: string | null;
  description: string | null;
  modalities: string[];
  started_at: string | null;
  instance_count: number | null;
  announced_at: Date;
  settled_at: Date | null;
  state: StudyState['kind'];
  attempt: number;
  outcome: unknown;
  failed_code: string | null;
  failed_attempt: number | null;
  failed_at: Date | null;
  next_try_at: Date | null;
};

export const studyColumns = `study_uid, patient_id, accession, imaging_study, order_reference, description, modalities,
  started_at, instance_count, announced_at, settled_at, state, attempt, outcome, failed_code, failed_attempt, failed_at,
  case when failed_code is not null and study.state = 'pending' then (
    select start_after from ${jobSchema}.job j where j.name = 'read-study' and j.singleton_key = study.study_uid and j.state = 'retry'
  ) end as next_try_at`;

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
      const [known] = await database.query<KnownStudy>(
        `select ${knownColumns} from wetread.study where study_uid = $1`,
        [event.studyUid],
      );
      // Polls repeat themselves: what says nothing new needs no transaction.
      if (known !== undefined && !saysSomethingNew(event, known)) return 'known';

      const { answer, row } = await database.transaction(async (sql) => {
        const priority = await urgencyOf(sql, event);
        const [added] = await sql.query<{ patient_id: string | null }>(
          `insert into wetread.study (study_uid, patient_id, accession, priority, told_count) values ($1, $2, $3, $4, $5)
           on conflict (study_uid) do nothing returning patient_id`,
          [event.studyUid, event.patientId ?? null, event.accession ?? null, priority, event.instanceCount ?? null],
        );
        if (added === undefined) return announceAgain(sql, event, priority);
        await jobs.queueStudy(sql, event.studyUid, priority);
        return { answer: 'queued' as const, row: added };
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

    async settle(study, outcome, instanceCount) {
      const rows = await settleStudy(database, study, 'settled', outcome, instanceCount);
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

  async function announceAgain(sql: Sql, event: StudyEvent, urgency: number) {
    const [known] = await sql.query<KnownStudy>(
      `select ${knownColumns} from wetread.study where study_uid = $1 for update`,
      [event.studyUid],
    );
    if (known === undefined) throw neverAnnounced();
    const asked = askedFor(event, known);
    const rested = known.state === 'settled' || known.state === 'dead';
    // A re-read has the urgency it was asked with; whatever else comes of a study leaves it as urgent as it was.
    const priority = rested && event.reason === 're-read' ? urgency : Math.max(urgency, known.priority);
    const [row] = await sql.query<{ patient_id: string | null }>(
      `update wetread.study set
         patient_id = coalesce(patient_id, $2), accession = coalesce(accession, $3), priority = $4,
         short_looks = case when $5::int is distinct from told_count then 0 else short_looks end,
         told_count = coalesce($5, told_count), wish = greatest(wish, $6),
         wish_packs = case when $7::text[] is null then wish_packs else array(select distinct unnest(wish_packs || $7)) end
       where study_uid = $1 returning patient_id`,
      [
        event.studyUid,
        event.patientId ?? null,
        event.accession ?? null,
        priority,
        event.instanceCount ?? null,
        asked,
        event.reason === 're-read' ? (event.packs ?? ['*']) : null,
      ],
    );
    if (asked === wishes.nothing) {
      if (priority > known.priority) await jobs.raisePriority(sql, event.studyUid, priority);
      return { answer: 'known' as const, row };
    }
    // Until it is known that there is something new, a study that was read stays so; and nobody waits for what is read
    // again for completeness, so no chart says for weeks that it is.
    const quietly = asked === wishes.look || (known.state === 'settled' && event.priority === 'backfill');
    if (rested && !quietly) await setPending(sql, event.studyUid);
    // Without a number it may be news or the tenth echo: those that come within two seconds make one question.
    const echo = asked === wishes.look && event.instanceCount === undefined;
    const queued = await jobs.queueStudy(sql, event.studyUid, priority, echo ? echoSeconds : 0);
    if (!queued) {
      if (!echo) await jobs.hastenStudy(sql, event.studyUid);
      if (priority > known.priority) await jobs.raisePriority(sql, event.studyUid, priority);
    }
    const willBeRead = asked === wishes.read && rested;
    return { answer: willBeRead || (queued && !echo) ? ('queued' as const) : ('known' as const), row };
  }

  /** What the sender says, or what an order that was remembered before the study came says. */
  async function urgencyOf(sql: Sql, event: StudyEvent): Promise<number> {
    const said = priorityNumber[event.priority];
    // An order of years ago makes nothing urgent that is read for completeness.
    if (event.priority === 'backfill') return said;
    const [order] = await sql.query<{ priority: number | null }>(
      `select max(o.priority)::int as priority from wetread.imaging_order o
       where o.priority is not null and (
         (o.accession = coalesce($2, (select accession from wetread.study where study_uid = $1)) and o.seen_at > now() - interval '30 days')
         or (o.accession is null and o.seen_at > now() - interval '1 day'
           and o.patient_id = coalesce($3, (select patient_id from wetread.study where study_uid = $1))))`,
      [event.studyUid, event.accession ?? null, event.patientId ?? null],
    );
    return Math.max(said, order?.priority ?? 0);
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
      await setPending(sql, study);
      await jobs.queueStudy(sql, study, known.priority);
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

type KnownStudy = {
  patient_id: string | null;
  accession: string | null;
  priority: number;
  state: StudyState['kind'];
  instance_count: number | null;
  told_count: number | null;
  outcome_kind: Outcome['kind'] | null;
};
const knownColumns = `patient_id, accession, priority, state, instance_count, told_count, outcome ->> 'kind' as outcome_kind`;

/** In ascending order: the larger one includes the smaller. */
export const wishes = { nothing: 0, look: 1, read: 2 } as const;
type Wish = (typeof wishes)[keyof typeof wishes];

/** How long an announcement that names no number waits for its echoes. */
const echoSeconds = 2;

/**
 * What an announcement asks for. Its study is
 *
 * | pending | nothing: the job that waits will see everything that is there |
 * | being read | a look afterwards, as the pictures may have come after the archive was asked |
 * | settled | nothing when it counts as many objects as the archive did; otherwise a look |
 * | dead | nothing, unless it counts another number than before: operators wake the dead |
 *
 * and a `re-read` is always a read.
 */
function askedFor(event: StudyEvent, known: KnownStudy): Wish {
  const { instanceCount: count } = event;
  if (event.reason === 're-read') return wishes.read;
  // A list that names a study and counts nothing says that it exists, not that anything has happened to it.
  const listed = count === undefined && (event.source === 'dicomweb-poll' || event.source === 'backfill');
  const repeated = listed || (count !== undefined && count === known.told_count);
  switch (known.state) {
    case 'pending':
      return wishes.nothing;
    case 'reading':
      return repeated ? wishes.nothing : wishes.look;
    case 'settled':
      // Objects really arrived once more: whoever was told "send the study again" did so.
      if (known.outcome_kind === 'failed' && (event.source === 'stow' || event.source === 'dimse')) return wishes.read;
      return repeated || (count !== undefined && count === known.instance_count) ? wishes.nothing : wishes.look;
    case 'dead':
      return count !== undefined && known.told_count !== null && !repeated ? wishes.read : wishes.nothing;
  }
}

function saysSomethingNew(event: StudyEvent, known: KnownStudy): boolean {
  return (
    askedFor(event, known) !== wishes.nothing ||
    (event.patientId !== undefined && known.patient_id === null) ||
    (event.accession !== undefined && known.accession === null) ||
    (event.instanceCount !== undefined && event.instanceCount !== known.told_count && known.state === 'pending') ||
    (priorityNumber[event.priority] > known.priority && known.state === 'pending')
  );
}

/** To be read from the start, with a full round of tries. */
export const setPending = (sql: Sql, study: StudyUid) =>
  sql.query(
    `update wetread.study set state = 'pending', attempt = 0, interruptions = 0, outcome = null, settled_at = null, failed_code = null
     where study_uid = $1`,
    [study],
  );

const neverAnnounced = () => new WetreadError('internal.unexpected', 'the study was never announced');

export function settleStudy(
  sql: Sql,
  study: StudyUid,
  state: 'settled' | 'dead',
  outcome: Outcome,
  instanceCount?: number,
) {
  return sql.query<{ patient_id: string | null }>(
    `update wetread.study set state = $2, outcome = $3, settled_at = now(), failed_code = null,
       instance_count = coalesce($4, instance_count)
     where study_uid = $1 returning patient_id`,
    [study, state, JSON.stringify(outcome), instanceCount ?? null],
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
    ...(row.instance_count === null ? {} : { instanceCount: row.instance_count }),
    announcedAt: row.announced_at.toISOString(),
    ...(row.settled_at === null ? {} : { settledAt: row.settled_at.toISOString() }),
    state: studyState(row),
  };
}

function studyState(row: StudyRow): StudyState {
  switch (row.state) {
    case 'pending':
      return { kind: 'pending', ...lastFailure(row) };
    case 'reading':
      return { kind: 'reading', attempt: row.attempt };
    case 'settled':
    case 'dead':
      return { kind: row.state, outcome: outcomeShape.parse(row.outcome) };
  }
}

function lastFailure(row: StudyRow): { lastFailure?: FailedTry } {
  if (row.failed_code === null || row.failed_attempt === null || row.failed_at === null) return {};
  return {
    lastFailure: {
      code: errorCode.parse(row.failed_code),
      attempt: row.failed_attempt,
      at: row.failed_at.toISOString(),
      ...(row.next_try_at === null ? {} : { nextTryAt: row.next_try_at.toISOString() }),
    },
  };
}
