/** QIDO-RS searches (PS3.18 10.6), to their end: page after page, and past the ways in which archives misread a question. */
import { WetreadError } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';
import type { Answer, Get } from './archive-http.ts';
import { demandJson, demandOk, leave, textOfBody } from './archive-answer.ts';
import { parseRows, type DicomJsonRow } from './dicom-json.ts';
import type { Limiter } from './limiter.ts';

export type Search = {
  readonly path: string;
  /** Search keys by keyword or tag. */
  readonly where?: Readonly<Record<string, string>>;
  readonly includefield?: readonly string[];
  readonly uidOf: (row: DicomJsonRow) => string | undefined;
  /** False for a row that cannot be an answer to `where`: such a row shows that the archive does not understand a key. */
  readonly fits?: (row: DicomJsonRow) => boolean;
  readonly limit?: number | undefined;
  readonly offset?: number | undefined;
  readonly signal?: AbortSignal | undefined;
};

type Page = { readonly rows: readonly DicomJsonRow[]; readonly more: boolean };

const pageSize = 200;
const maxJsonBytes = 64 * 1024 * 1024;

export function qidoSearch({ get, limiter, logger }: { get: Get; limiter: Limiter; logger: Logger }) {
  /** Some archives answer 400 to fields that they cannot return instead of leaving them out. */
  let refusesIncludefield = false;
  /** What each question's first row was: a later page that begins with it shows that offsets are not understood. */
  const firstRows = new Map<string, string>();

  async function ask(search: Search, paging: { limit?: number; offset?: number }): Promise<Page> {
    const { path, where = {}, includefield = [], signal } = search;
    const parameters = new URLSearchParams({ ...where });
    if (!refusesIncludefield) for (const field of includefield) parameters.append('includefield', field);
    for (const [name, value] of Object.entries(paging)) parameters.set(name, String(value));
    const answer = await get(`${path}?${parameters}`, { accept: 'application/dicom+json', signal, limiter });
    if (answer.status === 204) {
      await leave(answer);
      return { rows: [], more: false };
    }
    if (answer.status === 400 && includefield.length > 0 && !refusesIncludefield) {
      await leave(answer);
      const page = await ask({ ...search, includefield: [] }, paging);
      logger.warn('the archive refuses includefield; what it returns by itself must do');
      refusesIncludefield = true;
      return page;
    }
    // Any archive can be asked for its studies: where it cannot, something else answers at this address.
    if (answer.status === 404 && path === 'studies') {
      await leave(answer);
      throw new WetreadError('archive.bad-answer', 'status 404');
    }
    // 206 was how an earlier edition of PS3.18 said that there is more.
    if (answer.status !== 206) await demandOk(answer);
    await demandJson(answer);
    const rows = parseRows(await textOfBody(answer, maxJsonBytes));
    return { rows, more: saysMore(answer, (paging.offset ?? 0) + rows.length) };
  }

  function beginsAgain({ path, where = {}, uidOf }: Search, at: number, [first]: readonly DicomJsonRow[]): boolean {
    const question = `${path}?${new URLSearchParams({ ...where })}`;
    const uid = first === undefined ? undefined : uidOf(first);
    if (at > 0) return uid !== undefined && firstRows.get(question) === uid;
    // The oldest question makes room.
    firstRows.delete(question);
    if (uid !== undefined) firstRows.set(question, uid);
    if (firstRows.size > 100) firstRows.delete(firstRows.keys().next().value ?? '');
    return false;
  }

  /** Everything from `offset` on, at most `limit` rows; `strange` when a row came that does not fit. */
  async function walk(search: Search, offset: number, limit: number) {
    const { uidOf, fits = () => true } = search;
    const found = new Map<string, DicomJsonRow>();
    const keep = (rows: readonly DicomJsonRow[]) => {
      const before = found.size;
      for (const row of rows) found.set(uidOf(row) ?? `without a UID ${found.size}`, row);
      return found.size - before;
    };
    const everything = (rows: readonly DicomJsonRow[]) => {
      found.clear();
      keep(rows);
      return { rows: [...found.values()].filter(fits).slice(offset, offset + limit), strange: false };
    };
    for (let at = offset; found.size < limit;) {
      const wanted = Math.min(pageSize, limit - found.size);
      const { rows, more } = await ask(search, { limit: wanted, offset: at });
      // The limit meant nothing to it, so this is everything there is.
      if (rows.length > wanted) return everything(rows);
      if (rows.length > 0 && (beginsAgain(search, at, rows) || keep(rows) === 0)) {
        logger.warn('the archive gives the same page again; asking for everything at once');
        return everything((await ask(search, {})).rows);
      }
      at += rows.length;
      if (rows.length === 0 || (rows.length < wanted && !more)) break;
    }
    const rows = [...found.values()].slice(0, limit);
    return { rows, strange: !rows.every(fits) };
  }

  return async (search: Search): Promise<DicomJsonRow[]> => {
    const { limit = Number.POSITIVE_INFINITY, offset = 0, fits = () => true } = search;
    const { rows, strange } = await walk(search, offset, limit);
    if (!strange) return rows;
    // Its offsets count rows that nobody asked for: only who walks them all can count those that fit.
    const all = offset === 0 && limit === Number.POSITIVE_INFINITY ? rows : (await walk(search, 0, Infinity)).rows;
    return all.filter(fits).slice(offset, offset + limit);
  };
}

/** Warning 299 (PS3.18 8.3.4.4), status 206, or a count of all rows that is larger than what came. */
function saysMore({ status, headers }: Answer, heard: number): boolean {
  const total = Number(headers.get('x-total-count') ?? Number.NaN);
  return status === 206 || /\b299\b/.test(headers.get('warning') ?? '') || total > heard;
}
