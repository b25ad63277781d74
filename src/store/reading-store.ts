/** Readings and what people said of them; each change owes every output in the same transaction. */
import { WetreadError } from '../domain/errors.ts';
import type { Finding, FindingDraft, Reading, Reviewer, Verdict } from '../domain/finding.ts';
import { findingId, patientId, readingId, studyUid, type FindingId, type ReadingId } from '../domain/ids.ts';
import type { ReadingStore } from '../domain/ports.ts';
import { z } from 'zod';
import type { Database, Sql } from './database.ts';
import type { Jobs } from './jobs.ts';
import { oweOutputs } from './owed-outputs.ts';
import type { PatientCache } from './patient-cache.ts';
import { findingDraft, packIdentity, reviewer as reviewerShape } from './stored-shapes.ts';

export function readingStore(parts: {
  database: Database;
  jobs: Jobs;
  cache: PatientCache;
  outputs: readonly string[];
}): ReadingStore {
  const { database, jobs, cache, outputs } = parts;

  async function readingById(sql: Sql, id: ReadingId): Promise<Reading | undefined> {
    return (await readings(sql, 'r.reading_id = $1', [id]))[0];
  }

  /** The reading as it now stands, and the cache of this process told. */
  async function stored(id: ReadingId): Promise<Reading> {
    const reading = await readingById(database, id);
    if (reading === undefined) throw new WetreadError('request.not-found', 'there is no such reading');
    return reading;
  }

  return {
    async save(reading) {
      await database.transaction((sql) => insertReading(sql, reading));
      cache.forget(reading.patientId);
      return stored(reading.id);
    },

    get: (id) => readingById(database, id),

    async findingById(id) {
      const [reading] = await readings(
        database,
        'r.reading_id = (select reading_id from wetread.finding where finding_id = $1)',
        [id],
      );
      const finding = reading?.findings.find((one) => one.id === id);
      return reading && finding && { finding, reading };
    },

    async forPatient(patient) {
      return [...(await cache.get(patient, 'readings', () => readings(database, 's.patient_id = $1', [patient])))];
    },

    forStudy: (study) => readings(database, 'r.study_uid = $1', [study]),

    async recordVerdict(id, verdict, by) {
      const reading = await database.transaction((sql) => judge(sql, id, verdict, by));
      const result = await stored(reading);
      cache.forget(result.patientId);
      return result;
    },

    async verify(id, by) {
      await database.transaction(async (sql) => {
        const [row] = await sql.query<{ final_at: Date | null; open: number }>(
          `select final_at, (select count(*)::int from wetread.finding f
             where f.reading_id = r.reading_id and f.result_kind = 'detected' and f.verdict = 'unreviewed') as open
           from wetread.reading r where reading_id = $1 for update of r`,
          [id],
        );
        if (row === undefined) throw new WetreadError('request.not-found', 'there is no such reading');
        if (row.final_at !== null) return;
        if (row.open > 0) throw new WetreadError('request.conflict', 'a suspicion has not been answered');
        await finish(sql, id, by);
      });
      const result = await stored(id);
      cache.forget(result.patientId);
      return result;
    },

    async owedOutputs() {
      const rows = await database.query<{ reading_id: string; output: string }>(
        'select reading_id, output from wetread.owed_output order by owed_since, reading_id, output',
      );
      return rows.map((row) => ({ readingId: readingId(row.reading_id), output: row.output }));
    },
  };

  async function insertReading(sql: Sql, reading: Reading): Promise<void> {
    const study = await sql.query(
      'update wetread.study set patient_id = coalesce(patient_id, $2) where study_uid = $1 returning study_uid',
      [reading.studyUid, reading.patientId],
    );
    if (study.length === 0) throw new WetreadError('internal.unexpected', 'the study was never announced');
    const final = reading.review.kind === 'final' ? reading.review : undefined;
    const added = await sql.query(
      `insert into wetread.reading (reading_id, study_uid, pack, content_hash, read_at, execution_provider, final_by, final_at)
       values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (reading_id) do nothing returning reading_id`,
      [
        reading.id,
        reading.studyUid,
        JSON.stringify(reading.pack),
        reading.contentHash,
        reading.readAt,
        reading.executionProvider,
        final ? JSON.stringify(final.by) : null,
        final?.at ?? null,
      ],
    );
    if (added.length === 0) return;
    await insertFindings(sql, reading);
    await oweOutputs(sql, jobs, reading.id, outputs);
  }

  async function judge(
    sql: Sql,
    id: FindingId,
    verdict: { readonly kind: 'confirmed' } | { readonly kind: 'rejected'; readonly reason: string },
    by: Reviewer,
  ): Promise<ReadingId> {
    // The reading's row is locked first: two people who answer its last two suspicions at once see each other.
    const [row] = await sql.query<{ reading_id: string }>(
      `select reading_id from wetread.reading
       where reading_id = (select reading_id from wetread.finding where finding_id = $1) for update`,
      [id],
    );
    if (row === undefined) throw new WetreadError('request.not-found', 'there is no such finding');
    const reading = readingId(row.reading_id);
    const [standing] = await sql.query<{
      verdict: Verdict['kind'];
      verdict_by: unknown;
      verdict_reason: string | null;
    }>('select verdict, verdict_by, verdict_reason from wetread.finding where finding_id = $1', [id]);
    const reason = verdict.kind === 'rejected' ? verdict.reason : null;
    if (standing !== undefined && standing.verdict !== 'unreviewed') {
      const theirs = reviewerShape.parse(standing.verdict_by).reference !== by.reference;
      if (standing.verdict === verdict.kind && (theirs || standing.verdict_reason === reason)) return reading;
      if (theirs) throw new WetreadError('request.conflict', `the finding was ${standing.verdict} by somebody else`);
    }
    await sql.query(
      'update wetread.finding set verdict = $2, verdict_by = $3, verdict_at = now(), verdict_reason = $4 where finding_id = $1',
      [id, verdict.kind, JSON.stringify(by), reason],
    );
    const [open] = await sql.query(
      `select finding_id from wetread.finding where reading_id = $1 and result_kind = 'detected' and verdict = 'unreviewed' limit 1`,
      [reading],
    );
    if (open === undefined) await finish(sql, reading, by);
    else {
      await sql.query('update wetread.reading set revision = revision + 1 where reading_id = $1', [reading]);
      await oweOutputs(sql, jobs, reading, outputs);
    }
    return reading;
  }

  async function finish(sql: Sql, reading: ReadingId, by: Reviewer): Promise<void> {
    await sql.query(
      'update wetread.reading set revision = revision + 1, final_by = $2, final_at = now() where reading_id = $1',
      [reading, JSON.stringify(by)],
    );
    await oweOutputs(sql, jobs, reading, outputs);
  }
}

async function insertFindings(sql: Sql, reading: Reading): Promise<void> {
  const rows = reading.findings.map(({ id, verdict, ...draft }, position) => ({
    finding_id: id,
    position,
    concept: draft.concept,
    result_kind: draft.result.kind,
    payload: checkedDraft(draft),
    verdict: verdict.kind,
    verdict_by: verdict.kind === 'unreviewed' ? null : verdict.by,
    verdict_at: verdict.kind === 'unreviewed' ? null : verdict.at,
    verdict_reason: verdict.kind === 'rejected' ? verdict.reason : null,
  }));
  await sql.query(
    `insert into wetread.finding
       (reading_id, finding_id, position, concept, result_kind, payload, verdict, verdict_by, verdict_at, verdict_reason)
     select $1, x.* from jsonb_to_recordset($2) as x (
       finding_id uuid, position smallint, concept text, result_kind text, payload jsonb,
       verdict text, verdict_by jsonb, verdict_at timestamptz, verdict_reason text)`,
    [reading.id, JSON.stringify(rows)],
  );
}

/** Checked on the way in as well: a number that is none would be stored as null and make the reading unreadable for ever. */
function checkedDraft(draft: FindingDraft): FindingDraft {
  const result = findingDraft.safeParse(draft);
  if (result.success) return result.data;
  const fields = result.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
  throw new WetreadError('model.bad-output', fields.join('; '));
}

type ReadingRow = {
  reading_id: string;
  study_uid: string;
  patient_id: string;
  pack: unknown;
  content_hash: string;
  read_at: Date;
  execution_provider: string;
  final_by: unknown;
  final_at: Date | null;
  findings: unknown;
};

/** Newest study first; findings in the order the pack gave them. One query, whatever is asked. */
async function readings(sql: Sql, where: string, values: readonly unknown[]): Promise<Reading[]> {
  const rows = await sql.query<ReadingRow>(
    `select r.reading_id, r.study_uid, s.patient_id, r.pack, r.content_hash, r.read_at, r.execution_provider, r.final_by, r.final_at,
       (select coalesce(jsonb_agg(jsonb_build_object(
            'id', f.finding_id, 'draft', f.payload, 'verdict', f.verdict, 'by', f.verdict_by, 'at', f.verdict_at, 'reason', f.verdict_reason
          ) order by f.position), '[]'::jsonb)
        from wetread.finding f where f.reading_id = r.reading_id) as findings
     from wetread.reading r join wetread.study s using (study_uid)
     where ${where}
     order by s.started_at desc nulls last, s.announced_at desc, r.read_at desc, r.reading_id`,
    values,
  );
  return rows.map(readingOf);
}

const storedFinding = z.object({
  id: z.string().transform(findingId),
  draft: findingDraft,
  verdict: z.enum(['unreviewed', 'confirmed', 'rejected']),
  by: reviewerShape.nullable(),
  at: z.string().nullable(),
  reason: z.string().nullable(),
});

function readingOf(row: ReadingRow): Reading {
  return {
    id: readingId(row.reading_id),
    studyUid: studyUid(row.study_uid),
    patientId: patientId(row.patient_id),
    pack: packIdentity.parse(row.pack),
    contentHash: row.content_hash,
    readAt: row.read_at.toISOString(),
    executionProvider: row.execution_provider,
    findings: z.array(storedFinding).parse(row.findings).map(findingOf),
    review:
      row.final_at === null
        ? { kind: 'open' }
        : { kind: 'final', by: reviewerShape.parse(row.final_by), at: row.final_at.toISOString() },
  };
}

function findingOf({ id, draft, verdict, by, at, reason }: z.output<typeof storedFinding>): Finding {
  return { ...draft, id, verdict: verdictOf(verdict, by, at, reason) };
}

function verdictOf(kind: Verdict['kind'], by: Reviewer | null, at: string | null, reason: string | null): Verdict {
  if (kind === 'unreviewed' || by === null || at === null) return { kind: 'unreviewed' };
  const when = new Date(at).toISOString();
  return kind === 'confirmed' ? { kind, by, at: when } : { kind, by, at: when, reason: reason ?? '' };
}
