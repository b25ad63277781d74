/** Which studies a model has not read in the version that is installed: what an operator may have read again. */
import { studyUid, type StudyUid } from '../domain/ids.ts';
import type { Sql } from './database.ts';

export type ReadAgainQuery = {
  readonly pack: string;
  /** The installed one: what it has read is left alone. */
  readonly version: string;
  /** Only studies that the pack has read in a version before this one. Unset: also those it has never read. */
  readonly olderThan?: string;
  /** Taken, or where that is unknown announced, on this day or later: `2026-01-01`. */
  readonly since?: string;
};

/** Newest first. */
export async function studiesToReadAgain(sql: Sql, query: ReadAgainQuery): Promise<StudyUid[]> {
  const rows = await sql.query<{ study_uid: string; version: string | null }>(
    `select s.study_uid, r.pack ->> 'version' as version
     from wetread.study s left join wetread.reading r
       on r.study_uid = s.study_uid and r.pack ->> 'name' = $1 and r.superseded_by is null
     where s.state = 'settled' and coalesce(s.started_at, to_char(s.announced_at, 'YYYY-MM-DD')) >= $2
     order by coalesce(s.started_at, to_char(s.announced_at, 'YYYY-MM-DD')) desc, s.study_uid`,
    [query.pack, query.since ?? ''],
  );
  return rows.filter(({ version }) => isWanted(version, query)).map((row) => studyUid(row.study_uid));
}

function isWanted(version: string | null, { version: installed, olderThan }: ReadAgainQuery): boolean {
  if (version === installed) return false;
  return olderThan === undefined || (version !== null && compareVersions(version, olderThan) < 0);
}

/** Semantic Versioning 2.0.0, section 11, as far as numbers and the presence of a pre-release go. */
export function compareVersions(one: string, other: string): number {
  const [left, right] = [parts(one), parts(other)];
  for (let at = 0; at < 3; at += 1) {
    const difference = (left.numbers[at] ?? 0) - (right.numbers[at] ?? 0);
    if (difference !== 0) return difference;
  }
  if (left.before === right.before) return 0;
  // A pre-release comes before its release.
  if (left.before === undefined) return 1;
  if (right.before === undefined) return -1;
  return left.before.localeCompare(right.before, 'en', { numeric: true });
}

function parts(version: string): { numbers: number[]; before: string | undefined } {
  const [core = '', before] = version.split('+')[0]!.split(/-(.*)/s);
  return { numbers: core.split('.').map(Number), before };
}
