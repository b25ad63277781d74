/** Readings and what people said of them: one stands for each study and pack, earlier ones are superseded and kept; each change owes every output in the same transaction. */
import { WetreadError } from '../domain/errors.ts';
import type { Finding, FindingDraft, Reading, Reviewer, ReviewState, Verdict } from '../domain/finding.ts';
import { findingId, patientId, readingId, studyUid, type FindingId, type ReadingId } from '../domain/ids.ts';
import type { ReadingStore } from '../domain/ports.ts';
import { continued } from '../domain/same-finding.ts';
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

    async reinstate(id) {
      await database.transaction((sql) => standAgain(sql, id));
      cache.forget((await stored(id)).patientId);
    },

    get: (id) => readingById(database, id),

    async findingById(id) {
      const [reading] = await readings(database, `r.reading_id = (${readingWithFinding})`, [id]);
      const finding = reading?.findings.find((one) => one.id === id);
      return reading && finding && { finding, reading };
    },

    async forPatient(patient) {
      const standing = () => readings(database, 's.patient_id = $1 and r.superseded_by is null', [patient]);
      return [...(await cache.get(patient, 'readings', standing))];
    },

    async supersededForPatient(patient) {
      const earlier = () => readings(database, 's.patient_id = $1 and r.superseded_by is not null', [patient]);
      return [...(await cache.get(patient, 'superseded readings', earlier))];
    },

    forStudy: (study, which = 'standing') =>
      readings(database, `r.study_uid = $1 ${which === 'all' ? '' : 'and r.superseded_by is null'}`, [study]),

    async recordVerdict(id, verdict, by) {
      const reading = await database.transaction((sql) => judge(sql, id, verdict, by));
      const result = await stored(reading);
      cache.forget(result.patientId);
      return result;
    },

    async verify(id, by) {
      await database.transaction(async (sql) => {
        const [row] = await sql.query<{ final_at: Date | null; superseded: boolean; open: number }>(
          `select final_at, superseded_by is not null as superseded, (select count(*)::int from wetread.finding f
             where f.reading_id = r.reading_id and f.result_kind = 'detected' and f.verdict = 'unreviewed') as open
           from wetread.reading r where reading_id = $1 for update of r`,
          [id],
        );
        if (row === undefined) throw new WetreadError('request.not-found', 'there is no such reading');
        if (row.final_at !== null) return;
        if (row.superseded) throw new WetreadError('request.conflict', newerReading);
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
    // The study's row is the lock under which one reading takes the place of another.
    const study = await sql.query(
      'update wetread.study set patient_id = coalesce(patient_id, $2) where study_uid = $1 returning study_uid',
      [reading.studyUid, reading.patientId],
    );
    if (study.length === 0) throw new WetreadError('internal.unexpected', 'the study was never announced');
    const [known] = await sql.query('select from wetread.reading where reading_id = $1', [reading.id]);
    if (known !== undefined) return standAgain(sql, reading.id);

    const earlier = await supersede(sql, reading.id, reading.studyUid, reading.pack.name);
    const { findings, unchanged } =
      earlier === undefined ? { findings: reading.findings, unchanged: false } : continued(earlier, reading);
    const review = unchanged && earlier !== undefined ? earlier.review : reading.review;
    // What a person has released stays as it was released; an unreviewed report is carried on.
    const report =
      earlier !== undefined && (unchanged || earlier.review.kind === 'open') ? reportOf(earlier) : reading.id;
    await sql.query(
      `insert into wetread.reading (reading_id, study_uid, pack, content_hash, pictures, read_at, execution_provider,
         final_by, final_at, report_id, replaces)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
      [
        reading.id,
        reading.studyUid,
        JSON.stringify(reading.pack),
        reading.contentHash,
        reading.pictures ?? null,
        reading.readAt,
        reading.executionProvider,
        review.kind === 'final' ? JSON.stringify(review.by) : null,
        review.kind === 'final' ? review.at : null,
        report,
        earlier?.id ?? null,
      ],
    );
    await insertFindings(sql, { ...reading, findings });
    await oweOutputs(sql, jobs, reading.id, outputs);
    // An earlier film may be read after a later one: both may have come at once.
    await oweLater(sql, reading.id);
  }

  /** The reading that stood until now, which owes its outputs the news. */
  async function supersede(sql: Sql, by: ReadingId, study: string, pack: string): Promise<Reading | undefined> {
    // Whoever is judging it right now is waited for.
    const [standing] = await sql.query<{ reading_id: string }>(
      `select reading_id from wetread.reading
       where study_uid = $1 and pack ->> 'name' = $2 and superseded_by is null and reading_id <> $3 for update`,
      [study, pack, by],
    );
    if (standing === undefined) return undefined;
    const earlier = await readingById(sql, readingId(standing.reading_id));
    await sql.query(
      'update wetread.reading set superseded_by = $2, superseded_at = now(), revision = revision + 1 where reading_id = $1',
      [standing.reading_id, by],
    );
    await oweOutputs(sql, jobs, standing.reading_id, outputs);
    return earlier;
  }

  async function standAgain(sql: Sql, id: ReadingId): Promise<void> {
    const [row] = await sql.query<{ study_uid: string; pack: string; standing: boolean }>(
      `select study_uid, r.pack ->> 'name' as pack, superseded_by is null as standing
       from wetread.reading r join wetread.study using (study_uid) where reading_id = $1 for update`,
      [id],
    );
    if (row === undefined) throw new WetreadError('request.not-found', 'there is no such reading');
    if (row.standing) return;
    const other = await supersede(sql, id, row.study_uid, row.pack);
    await sql.query(
      'update wetread.reading set superseded_by = null, superseded_at = null, revision = revision + 1 where reading_id = $1',
      [id],
    );
    // Verdicts on findings that both make were given on the one that stood.
    await sql.query(
      `update wetread.finding f set verdict = g.verdict, verdict_by = g.verdict_by, verdict_at = g.verdict_at, verdict_reason = g.verdict_reason
       from wetread.finding g where f.reading_id = $1 and g.reading_id = $2 and g.finding_id = f.finding_id and g.verdict <> 'unreviewed'`,
      [id, other?.id ?? null],
    );
    await oweOutputs(sql, jobs, id, outputs);
  }

  /** The reading that stands and makes this finding, locked. */
  async function lockedReadingOf(sql: Sql, id: FindingId): Promise<ReadingId> {
    for (;;) {
      const [found] = await sql.query<{ reading_id: string }>(readingWithFinding, [id]);
      if (found === undefined) throw new WetreadError('request.not-found', 'there is no such finding');
      const [locked] = await sql.query<{ superseded: boolean }>(
        'select superseded_by is not null as superseded from wetread.reading where reading_id = $1 for update',
        [found.reading_id],
      );
      if (locked?.superseded === false) return readingId(found.reading_id);
      // Superseded while it was waited for, or before: its findings that still hold are in the newer reading.
      const [now] = await sql.query<{ reading_id: string }>(readingWithFinding, [id]);
      if (now?.reading_id === found.reading_id) throw new WetreadError('request.conflict', newerReading);
    }
  }

  async function judge(
    sql: Sql,
    id: FindingId,
    verdict: { readonly kind: 'confirmed' } | { readonly kind: 'rejected'; readonly reason: string },
    by: Reviewer,
  ): Promise<ReadingId> {
    // The reading's row is locked first: two people who answer its last two suspicions at once see each other.
    const reading = await lockedReadingOf(sql, id);
    const [standing] = await sql.query<{
      verdict: Verdict['kind'];
      verdict_by: unknown;
      verdict_reason: string | null;
    }>('select verdict, verdict_by, verdict_reason from wetread.finding where reading_id = $1 and finding_id = $2', [
      reading,
      id,
    ]);
    const reason = verdict.kind === 'rejected' ? verdict.reason : null;
    if (standing !== undefined && standing.verdict !== 'unreviewed') {
      const theirs = reviewerShape.parse(standing.verdict_by).reference !== by.reference;
      if (standing.verdict === verdict.kind && (theirs || standing.verdict_reason === reason)) return reading;
      if (theirs) throw new WetreadError('request.conflict', `the finding was ${standing.verdict} by somebody else`);
    }
    await sql.query(
      `update wetread.finding set verdict = $3, verdict_by = $4, verdict_at = now(), verdict_reason = $5
       where reading_id = $1 and finding_id = $2`,
      [reading, id, verdict.kind, JSON.stringify(by), reason],
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
    await oweLater(sql, reading);
    return reading;
  }

  /**
   * Later films are compared with this one, and what was rejected is no prior: their open reports are written anew, where
   * one of the two has a suspicion. What somebody has released stays as it was released. Earlier before later, so that two
   * verdicts never wait for each other.
   */
  async function oweLater(sql: Sql, reading: ReadingId): Promise<void> {
    const later = await sql.query<{ reading_id: string }>(
      `select r.reading_id from wetread.reading here join wetread.study s on s.study_uid = here.study_uid
         join wetread.study t on t.patient_id = s.patient_id and t.started_at > s.started_at
         join wetread.reading r on r.study_uid = t.study_uid
       where here.reading_id = $1 and r.superseded_by is null and r.final_at is null
         and exists (select from wetread.finding f
           where f.reading_id in (r.reading_id, here.reading_id) and f.result_kind = 'detected')
       order by t.started_at, r.reading_id for update of r`,
      [reading],
    );
    for (const { reading_id } of later) {
      await sql.query('update wetread.reading set revision = revision + 1 where reading_id = $1', [reading_id]);
      await oweOutputs(sql, jobs, reading_id, outputs);
    }
  }

  async function finish(sql: Sql, reading: ReadingId, by: Reviewer): Promise<void> {
    await sql.query(
      'update wetread.reading set revision = revision + 1, final_by = $2, final_at = now() where reading_id = $1',
      [reading, JSON.stringify(by)],
    );
    await oweOutputs(sql, jobs, reading, outputs);
  }
}

const newerReading = 'a newer reading has taken the place of this one';

/** Of the readings that make a finding the one that stands, or else the one that was superseded last. */
const readingWithFinding = `select f.reading_id from wetread.finding f join wetread.reading x using (reading_id)
  where f.finding_id = $1 order by x.superseded_by is not null, x.superseded_at desc limit 1`;

const reportOf = ({ id, report }: Reading): ReadingId => report ?? id;

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
  pictures: number | null;
  report_id: string;
  final_by: unknown;
  final_at: Date | null;
  findings: unknown;
  replaces: string | null;
  replaced_version: string;
  replaced_read_at: Date;
  replaced_pictures: number | null;
  replaced_verdicts: number;
  replaced_final_by: unknown;
  replaced_final_at: Date | null;
  superseded_at: Date | null;
  now_reading: string;
  now_pack: unknown;
  now_findings: string[] | null;
  same_report: boolean;
};

/** Newest study first; findings in the order the pack gave them. One query, whatever is asked. */
async function readings(sql: Sql, where: string, values: readonly unknown[]): Promise<Reading[]> {
  const rows = await sql.query<ReadingRow>(
    `select r.reading_id, r.study_uid, s.patient_id, r.pack, r.content_hash, r.pictures, r.read_at, r.execution_provider,
       r.report_id, r.final_by, r.final_at, r.replaces, e.pack ->> 'version' as replaced_version, e.read_at as replaced_read_at,
       e.pictures as replaced_pictures, e.final_by as replaced_final_by, e.final_at as replaced_final_at,
       (select count(*)::int from wetread.finding v where v.reading_id = r.replaces and v.verdict <> 'unreviewed'
          and not exists (select from wetread.finding o where o.reading_id = r.reading_id and o.finding_id = v.finding_id)
       ) as replaced_verdicts,
       r.superseded_at, n.reading_id as now_reading, n.pack as now_pack, n.report_id = r.report_id as same_report,
       (select array_agg(m.finding_id) from wetread.finding m where m.reading_id = n.reading_id) as now_findings,
       (select coalesce(jsonb_agg(jsonb_build_object(
            'id', f.finding_id, 'draft', f.payload, 'verdict', f.verdict, 'by', f.verdict_by, 'at', f.verdict_at, 'reason', f.verdict_reason
          ) order by f.position), '[]'::jsonb)
        from wetread.finding f where f.reading_id = r.reading_id) as findings
     from wetread.reading r join wetread.study s using (study_uid)
       left join wetread.reading e on e.reading_id = r.replaces
       left join wetread.reading n on r.superseded_by is not null and n.superseded_by is null
         and n.study_uid = r.study_uid and n.pack ->> 'name' = r.pack ->> 'name'
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
    ...(row.pictures === null ? {} : { pictures: row.pictures }),
    readAt: row.read_at.toISOString(),
    executionProvider: row.execution_provider,
    findings: z.array(storedFinding).parse(row.findings).map(findingOf),
    review: reviewOf(row.final_by, row.final_at),
    ...(row.report_id === row.reading_id ? {} : { report: readingId(row.report_id) }),
    ...(row.replaces === null
      ? {}
      : {
          replaces: {
            reading: readingId(row.replaces),
            version: row.replaced_version,
            readAt: row.replaced_read_at.toISOString(),
            ...(row.replaced_pictures === null ? {} : { pictures: row.replaced_pictures }),
            review: reviewOf(row.replaced_final_by, row.replaced_final_at),
            verdicts: row.replaced_verdicts,
          },
        }),
    ...(row.superseded_at === null
      ? {}
      : {
          superseded: {
            by: readingId(row.now_reading),
            pack: packIdentity.parse(row.now_pack),
            at: row.superseded_at.toISOString(),
            standing: (row.now_findings ?? []).map(findingId),
            sameReport: row.same_report,
          },
        }),
  };
}

const reviewOf = (by: unknown, at: Date | null): ReviewState =>
  at === null ? { kind: 'open' } : { kind: 'final', by: reviewerShape.parse(by), at: at.toISOString() };

function findingOf({ id, draft, verdict, by, at, reason }: z.output<typeof storedFinding>): Finding {
  return { ...draft, id, verdict: verdictOf(verdict, by, at, reason) };
}

function verdictOf(kind: Verdict['kind'], by: Reviewer | null, at: string | null, reason: string | null): Verdict {
  if (kind === 'unreviewed' || by === null || at === null) return { kind: 'unreviewed' };
  const when = new Date(at).toISOString();
  return kind === 'confirmed' ? { kind, by, at: when } : { kind, by, at: when, reason: reason ?? '' };
}
