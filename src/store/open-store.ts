/** Opens the one engine: the site's PostgreSQL, or the built-in one; tables, queues, and everything that stands on them. */
import type { ExpectedExams } from '../domain/expected-exam.ts';
import type { ReceivedObjects } from '../domain/inbox.ts';
import type { Logger } from '../domain/log.ts';
import type {
  AuditTrail,
  FeedbackStore,
  OrderBook,
  ReadingStore,
  SessionStore,
  StrangerRefusals,
  StudyRegister,
} from '../domain/ports.ts';
import type { StudyUid } from '../domain/ids.ts';
import type { StudyRecord } from '../domain/study.ts';
import type { WorkitemClaims } from '../domain/workitem.ts';
import { auditTrail } from './audit-trail.ts';
import { cursors, type Cursors } from './cursors.ts';
import { openDatabase, type Database } from './database.ts';
import { startEmbeddedPostgres } from './embedded.ts';
import { expectedExams } from './expected-exams.ts';
import { feedbackStore } from './feedback-store.ts';
import { joinOrStartPostgres } from './join-embedded.ts';
import { defaultRetry, openJobs, type Jobs, type RetryRules } from './jobs.ts';
import { settleAbandoned, takeOverLostJobs } from './lost-jobs.ts';
import { expectMigrated, migrate } from './migrate.ts';
import { orderBook } from './order-book.ts';
import { workOutputs, type OutputJob } from './output-jobs.ts';
import { patientCache } from './patient-cache.ts';
import { openPresence } from './presence.ts';
import { studiesToReadAgain, type ReadAgainQuery } from './read-again.ts';
import { readingStore } from './reading-store.ts';
import { workers } from './running-jobs.ts';
import { receivedObjects } from './received-objects.ts';
import { defaultRetention, pruneWhenDue, type RetentionRules } from './retention.ts';
import { sessionStore } from './session-store.ts';
import { strangerRefusals } from './stranger-refusals.ts';
import { workStudies, type StudyJob } from './study-jobs.ts';
import { recentStudies, studyRegister } from './study-register.ts';
import { workitemClaims } from './workitem-claims.ts';

export type { Cursors, OutputJob, RetryRules, StudyJob };

export type StoreCounts = {
  readonly pending: number;
  readonly reading: number;
  readonly dead: number;
  readonly owedOutputs: number;
  /** Of the owed ones: given up until somebody asks again. */
  readonly deadOutputs: number;
};

export type Store = {
  readonly register: StudyRegister;
  readonly readings: ReadingStore;
  readonly orders: OrderBook;
  readonly exams: ExpectedExams;
  readonly feedback: FeedbackStore;
  readonly audit: AuditTrail;
  readonly strangers: StrangerRefusals;
  readonly cursors: Cursors;
  readonly workitems: WorkitemClaims;
  readonly sessions: SessionStore;
  readonly received: ReceivedObjects;
  /** Those announced last, newest first. */
  recentStudies(most: number): Promise<StudyRecord[]>;
  studiesToReadAgain(query: ReadAgainQuery): Promise<StudyUid[]>;
  /** What a throwing handler means is told in `study-jobs.ts`. */
  workStudies(handler: (job: StudyJob) => Promise<void>, options: { concurrency: number }): Promise<void>;
  workOutputs(handler: (job: OutputJob) => Promise<void>, options: { concurrency: number }): Promise<void>;
  /** Throws `store.unreachable` unless the database answers. */
  probe(): Promise<{ readonly version: string; readonly kind: 'embedded' | 'external' }>;
  counts(): Promise<StoreCounts>;
  close(): Promise<void>;
};

export type StoreOptions = {
  /** Unset: the built-in database in `dataDir`. */
  readonly databaseUrl?: string;
  readonly dataDir: string;
  /** Names of the outputs that each reading owes. */
  readonly outputs: readonly string[];
  readonly retry?: RetryRules;
  readonly retention?: RetentionRules;
  /**
   * For one task of the command line, not for a service: when a living process holds the data folder its database is
   * used as it stands. Such a store looks after nobody's work and must not work itself.
   */
  readonly join?: boolean;
  readonly logger: Logger;
};

/** How often work left behind by other processes is looked for. */
const watchEveryMs = 5_000;

export async function openStore(options: StoreOptions): Promise<Store> {
  const { outputs, logger } = options;
  // Closed in reverse order, whether opening failed half-way or the service stops.
  const toClose: (() => Promise<void> | void)[] = [];
  const closeAll = async () => {
    for (const close of toClose.splice(0).toReversed()) await close();
  };
  try {
    const { join = false, dataDir } = options;
    const embedded =
      options.databaseUrl === undefined
        ? await (join ? joinOrStartPostgres : startEmbeddedPostgres)({ dataDir, database: 'wetread', logger })
        : undefined;
    const guest = embedded !== undefined && 'joined' in embedded && embedded.joined === true;
    if (embedded !== undefined) toClose.push(() => embedded.stop());
    const connectionString = options.databaseUrl ?? embedded?.url('wetread') ?? '';

    const database = openDatabase(connectionString, logger);
    toClose.push(() => database.close());
    await (guest ? expectMigrated : migrate)(database);

    const jobs = await openJobs({ connectionString, retry: options.retry ?? defaultRetry, logger, guest });
    toClose.push(() => jobs.stop());

    let trusted = () => false;
    const cache = patientCache({ patients: 2_000, trusted: () => trusted() });
    const presence = await openPresence({
      connectionString,
      worker: await nextWorkerNumber(database),
      logger,
      onPatientChanged: (patient) => cache.forget(patient),
      onGap: () => cache.forgetAll(),
    });
    toClose.push(() => presence.close());
    trusted = () => presence.listening;

    const parts = { database, jobs, cache, outputs, logger };
    const demandService = () => {
      if (join) throw new TypeError('a store opened to join must not work: nobody would look after its jobs');
    };
    const crew = workers({ database, jobs, presence, logger });
    toClose.push(() => crew.close());
    if (!join) {
      await takeOverLostJobs(parts, { alone: embedded !== undefined });
      await settleAbandoned(parts);
      toClose.push(watch(parts, options.retention ?? defaultRetention));
    }

    const audit = auditTrail(database);
    const strangers = strangerRefusals({ audit, logger });
    toClose.push(() => strangers.close());

    return {
      register: studyRegister(parts),
      readings: readingStore(parts),
      orders: orderBook(parts),
      exams: expectedExams(database),
      feedback: feedbackStore(parts),
      audit,
      strangers,
      cursors: cursors(database),
      workitems: workitemClaims(database),
      sessions: sessionStore(database),
      received: receivedObjects(database),
      recentStudies: (most) => recentStudies(database, most),
      studiesToReadAgain: (query) => studiesToReadAgain(database, query),
      workStudies: async (handler, { concurrency }) => {
        demandService();
        await workStudies({ ...parts, workers: crew }, handler, { concurrency });
      },
      workOutputs: async (handler, { concurrency }) => {
        demandService();
        await workOutputs({ ...parts, workers: crew }, handler, { concurrency });
      },
      async probe() {
        const [row] = await database.query<{ version: string }>(`select current_setting('server_version') as version`);
        return { version: row?.version ?? '', kind: embedded === undefined ? 'external' : 'embedded' };
      },
      counts: () => counts(database),
      close: closeAll,
    };
  } catch (error) {
    await closeAll().catch((failure: unknown) =>
      logger.warn('a part of the store could not be closed', { cause: failure }),
    );
    throw error;
  }
}

async function nextWorkerNumber(database: Database): Promise<number> {
  const [row] = await database.query<{ worker: number }>(`select nextval('wetread.worker_number')::int as worker`);
  return row?.worker ?? 0;
}

/** Looks after work that other processes left behind, and once a day after old rows, until the returned function is called. */
function watch(
  parts: {
    database: Database;
    jobs: Jobs;
    outputs: readonly string[];
    logger: Logger;
  },
  retention: RetentionRules,
): () => Promise<void> {
  let looking: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    looking = looking
      .then(() => takeOverLostJobs(parts, { alone: false }))
      .then(() => settleAbandoned(parts))
      .then(() => pruneWhenDue(parts, retention))
      .catch((error: unknown) => parts.logger.warn('lost jobs could not be looked for', { cause: error }));
  }, watchEveryMs);
  timer.unref();
  return async () => {
    clearInterval(timer);
    await looking;
  };
}

async function counts(database: Database): Promise<StoreCounts> {
  const [row] = await database.query<StoreCounts>(
    `select count(*) filter (where state = 'pending')::int as pending,
       count(*) filter (where state = 'reading')::int as reading,
       count(*) filter (where state = 'dead')::int as dead,
       (select count(*)::int from wetread.owed_output) as "owedOutputs",
       (select count(*)::int from wetread.owed_output where dead_code is not null) as "deadOutputs"
     from wetread.study where state <> 'settled'`,
  );
  return row ?? { pending: 0, reading: 0, dead: 0, owedOutputs: 0, deadOutputs: 0 };
}
