/** The pool of connections, transactions, and the one place where PostgreSQL's errors become Wetread's. */
import { Pool, type PoolClient } from 'pg';
import { WetreadError } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';

export interface Sql {
  query<Row extends object = Record<string, unknown>>(text: string, values?: readonly unknown[]): Promise<Row[]>;
}

export interface Database extends Sql {
  readonly connectionString: string;
  /** Repeated as a whole when PostgreSQL broke it off for the sake of another (deadlock, serialization). */
  transaction<Result>(work: (sql: Sql) => Promise<Result>): Promise<Result>;
  close(): Promise<void>;
}

export function openDatabase(connectionString: string, logger: Logger): Database {
  const pool = new Pool({
    connectionString,
    application_name: 'wetread',
    max: 10,
    // Also the longest wait for a free connection under load.
    connectionTimeoutMillis: 15_000,
    // A connection whose other end vanished without a word would otherwise hold its caller for ever.
    query_timeout: 30_000,
    keepAlive: true,
  });
  // Without a listener the loss of an idle connection would end the process. The next query gets a new one.
  pool.on('error', (error) => pool.ending || logger.warn('a database connection was lost', { cause: error }));

  return {
    connectionString,
    query: (text, values) => run(pool, text, values),
    async transaction(work) {
      for (let attempt = 1; ; attempt += 1) {
        try {
          return await once(pool, work);
        } catch (error) {
          if (attempt === 5 || !brokenOff.has(codeOf(error))) throw translated(error);
        }
      }
    },
    close: () => pool.end(),
  };
}

async function run<Row extends object>(
  on: Pool | PoolClient,
  text: string,
  values: readonly unknown[] = [],
): Promise<Row[]> {
  try {
    return (await on.query<Row>(text, values as unknown[])).rows;
  } catch (error) {
    throw translated(error);
  }
}

async function once<Result>(pool: Pool, work: (sql: Sql) => Promise<Result>): Promise<Result> {
  const client = await pool.connect();
  let broken: Error | undefined;
  // A connection that breaks between two queries says so only here.
  const onError = (error: Error) => void (broken = error);
  client.on('error', onError);
  try {
    await client.query('begin');
    const result = await work({ query: (text, values) => run(client, text, values) });
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch((failure: Error) => (broken = failure));
    throw error;
  } finally {
    client.off('error', onError);
    client.release(broken);
  }
}

/** serialization_failure, deadlock_detected */
const brokenOff: ReadonlySet<string> = new Set(['40001', '40P01']);

/** The code of an error, or of the one it was translated from. */
function codeOf(error: unknown): string {
  const { code, cause } = (error ?? {}) as { code?: unknown; cause?: unknown };
  if (error instanceof WetreadError) return codeOf(cause);
  return typeof code === 'string' ? code : '';
}

const networkCodes: ReadonlySet<string> = new Set(
  'ECONNREFUSED ECONNRESET ENOENT EPIPE ETIMEDOUT ENOTFOUND EAI_AGAIN EHOSTUNREACH ENETUNREACH EACCES'.split(' '),
);
/** Connection exception, too many connections, server going down or coming up (PostgreSQL's appendix A). */
const unreachableStates = /^(08|53300|57P0[1-5])/;
/** pg's own sentences, which carry no code. */
const unreachableSentences =
  /connection terminated|not currently accepting connections|connection error|timeout expired|timeout exceeded|query read timeout|not queryable|calling end on the pool/i;
/** Character not in repertoire, untranslatable character, invalid date: the value came from outside. */
const unstorableStates: ReadonlySet<string> = new Set(['22021', '22P05', '22007', '22008']);

export function translated(error: unknown): WetreadError {
  if (error instanceof WetreadError) return error;
  const code = codeOf(error);
  const sentence = error instanceof Error ? error.message : String(error);
  if (networkCodes.has(code) || unreachableStates.test(code) || unreachableSentences.test(sentence)) {
    return new WetreadError('store.unreachable', undefined, { cause: error });
  }
  if (unstorableStates.has(code))
    return new WetreadError('request.malformed', 'a value cannot be stored', { cause: error });
  return new WetreadError('internal.unexpected', undefined, { cause: error });
}
