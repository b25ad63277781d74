/** Exams that were ordered or done, until their studies are known: what several messages say of one exam becomes one row. */
import { createHash } from 'node:crypto';
import type { ExpectedExam, ExpectedExams, HeardExam, HeardMessage } from '../domain/expected-exam.ts';
import { patientId, studyUid } from '../domain/ids.ts';
import type { BodyRegion } from '../domain/study.ts';
import type { Database, Sql } from './database.ts';
import { priorityNumber } from './jobs.ts';

type ExamRow = {
  exam_id: string;
  source: HeardExam['source'];
  numbers: string[];
  accession: string | null;
  study_uids: string[];
  record_number: string | null;
  patient_id: string | null;
  order_reference: string | null;
  region: BodyRegion;
  priority: number;
  state: ExpectedExam['state'];
  revision: number;
  looks: number;
  heard_at: Date;
};

const columns = `exam_id, source, numbers, accession, study_uids, record_number, patient_id, order_reference, region,
  priority, state, revision, looks, heard_at`;

/** Messages about one exam may come over several connections at once; together they must not make two rows of it. */
const hearingLock = 0x6578616d;
/** Whoever took an exam and vanished is not waited for longer. */
const leaseSeconds = 120;

export function expectedExams(database: Database): ExpectedExams {
  return {
    async hear(exams, message) {
      if (exams.length === 0 && message === undefined) return 'new';
      return database.transaction(async (sql) => {
        await sql.query('select pg_advisory_xact_lock($1)', [hearingLock]);
        if (message !== undefined && !(await isNew(sql, message))) return 'repeated';
        for (const exam of exams) await hearOne(sql, exam);
        return 'new';
      });
    },

    async priorityOf({ studyUid: uid, accession }) {
      const [row] = await database.query<{ priority: number | null }>(
        `select max(priority) as priority from wetread.expected_exam
         where state <> 'cancelled' and (study_uids @> array[$1::text] or accession = $2)`,
        [uid, accession ?? null],
      );
      return row?.priority == null ? undefined : priorityOfNumber(row.priority);
    },

    async due(most) {
      const rows = await database.query<ExamRow>(
        `update wetread.expected_exam set look_at = now() + make_interval(secs => $2), looks = looks + 1
         where exam_id in (
           select exam_id from wetread.expected_exam where look_at <= now() order by priority desc, look_at limit $1
           for update skip locked)
         returning ${columns}`,
        [most, leaseSeconds],
      );
      return rows.map(expectedExam);
    },

    async settled({ id, revision }) {
      await database.query('update wetread.expected_exam set look_at = null where exam_id = $1 and revision = $2', [
        id,
        revision,
      ]);
    },

    async again({ id, revision }, afterSeconds) {
      await database.query(
        `update wetread.expected_exam set look_at = now() + make_interval(secs => $3) where exam_id = $1 and revision = $2`,
        [id, revision, afterSeconds],
      );
    },

    async waitingStudies({ accession, studyUids }) {
      const rows = await database.query<{ study_uid: string }>(
        `select study_uid from wetread.study where state = 'pending' and (accession = $1 or study_uid = any($2))`,
        [accession ?? null, studyUids],
      );
      return rows.map((row) => studyUid(row.study_uid));
    },

    async prune() {
      await database.query(`delete from wetread.heard_message where heard_at < now() - interval '14 days'`);
      await database.query(
        `delete from wetread.expected_exam where look_at is null and heard_at < now() - interval '400 days'`,
      );
    },
  };
}

/** Senders that were restarted may count from 1 again: the number alone does not make a message the same. */
async function isNew(sql: Sql, { sender, id, content }: HeardMessage): Promise<boolean> {
  const digest = createHash('sha256').update(`${sender.length}:${sender}${id.length}:${id}`).update(content).digest();
  const added = await sql.query(
    'insert into wetread.heard_message (digest) values ($1) on conflict do nothing returning digest',
    [digest],
  );
  return added.length > 0;
}

async function hearOne(sql: Sql, exam: HeardExam): Promise<void> {
  const known = await sql.query<ExamRow>(
    `select ${columns} from wetread.expected_exam
     where (accession = $2 or numbers && $1 or study_uids && $3)
       -- Numbers are unique within their issuer at best: another patient's exam is another exam.
       and (record_number is null or $4::text is null or record_number = $4)
     order by exam_id for update`,
    [exam.numbers, exam.accession ?? null, exam.studyUids, exam.recordNumber ?? null],
  );
  const same =
    exam.accession === undefined
      ? known
      : // One order may become several exams, each with its accession number.
        known.filter(({ accession }) => accession === null || accession === exam.accession);
  if (same.length === 0) return insert(sql, exam);
  if (exam.accession === undefined) {
    // Said of the order as a whole: it holds for every exam of it.
    for (const row of same) await update(sql, row, exam);
    return;
  }
  const kept = same.find(({ accession }) => accession === exam.accession) ?? same[0]!;
  const merged = same.filter((row) => row !== kept);
  if (merged.length > 0)
    await sql.query('delete from wetread.expected_exam where exam_id = any($1::bigint[])', [
      merged.map((row) => row.exam_id),
    ]);
  await update(sql, merged.reduce(together, kept), exam);
}

function together(one: ExamRow, other: ExamRow): ExamRow {
  return {
    ...one,
    numbers: union(one.numbers, other.numbers),
    study_uids: union(one.study_uids, other.study_uids),
    record_number: one.record_number ?? other.record_number,
    patient_id: one.patient_id ?? other.patient_id,
    order_reference: one.order_reference ?? other.order_reference,
    region: one.region === 'other' ? other.region : one.region,
    priority: Math.max(one.priority, other.priority),
    state: one.state === 'done' || other.state === 'done' ? 'done' : one.state,
  };
}

async function insert(sql: Sql, exam: HeardExam): Promise<void> {
  await sql.query(
    `insert into wetread.expected_exam
       (source, numbers, accession, study_uids, record_number, patient_id, order_reference, region, priority, state, look_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, case when $10 = 'cancelled' then null else now() end)`,
    [
      exam.source,
      exam.numbers,
      exam.accession ?? null,
      exam.studyUids,
      exam.recordNumber ?? null,
      exam.patientId ?? null,
      exam.order ?? null,
      exam.region,
      priorityNumber[exam.priority ?? 'routine'],
      exam.state,
    ],
  );
}

async function update(sql: Sql, row: ExamRow, exam: HeardExam): Promise<void> {
  const state = nextState(row.state, exam.state);
  await sql.query(
    `update wetread.expected_exam set
       numbers = $2, accession = $3, study_uids = $4, record_number = $5, patient_id = $6, order_reference = $7,
       region = $8, priority = $9, state = $10, revision = revision + 1, looks = 0, heard_at = now(),
       look_at = case when $10 = 'cancelled' then null else now() end
     where exam_id = $1`,
    [
      row.exam_id,
      union(row.numbers, exam.numbers),
      exam.accession ?? row.accession,
      union(row.study_uids, exam.studyUids),
      exam.recordNumber ?? row.record_number,
      exam.patientId ?? row.patient_id,
      exam.order ?? row.order_reference,
      exam.region === 'other' ? row.region : exam.region,
      nextPriority(row.priority, exam),
      state,
    ],
  );
}

/** Pictures that were made do not vanish with their order; a cancelled order that is sent again is wanted again. */
function nextState(was: ExamRow['state'], said: HeardExam['state']): ExamRow['state'] {
  return was === 'done' ? 'done' : said;
}

/** The order decides. Results carry a priority that many systems fill in with "routine", so they only ever raise it. */
function nextPriority(was: number, { priority, state }: HeardExam): number {
  if (priority === undefined) return was;
  return state === 'ordered' ? priorityNumber[priority] : Math.max(was, priorityNumber[priority]);
}

const union = (one: readonly string[], other: readonly string[]): string[] => [...new Set([...one, ...other])];

const priorityOfNumber = (number: number): ExpectedExam['priority'] =>
  number >= priorityNumber.stat ? 'stat' : 'routine';

function expectedExam(row: ExamRow): ExpectedExam {
  return {
    id: row.exam_id,
    source: row.source,
    numbers: row.numbers,
    ...(row.accession === null ? {} : { accession: row.accession }),
    studyUids: row.study_uids.map((uid) => studyUid(uid)),
    ...(row.record_number === null ? {} : { recordNumber: row.record_number }),
    ...(row.patient_id === null ? {} : { patientId: patientId(row.patient_id) }),
    ...(row.order_reference === null ? {} : { order: row.order_reference }),
    region: row.region,
    priority: priorityOfNumber(row.priority),
    state: row.state,
    revision: row.revision,
    looks: row.looks,
    heardAt: row.heard_at.toISOString(),
  };
}
