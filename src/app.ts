/** The wiring: every adapter is chosen here, visibly. */
import express, { type Express, type Router } from 'express';
import { join } from 'node:path';
import {
  appFolder,
  hooksFolder,
  openTheStore,
  theArchive,
  theChart,
  theKeys,
  theModels,
  thePacks,
  theWorklist,
} from './adapters.ts';
import { anyCaller, trustedClients } from './cds/client-trust.ts';
import { loadHooks } from './cds/load-hooks.ts';
import { cdsRouter } from './cds/router.ts';
import type { Config } from './config.ts';
import type { CircuitState } from './dicom/circuit.ts';
import { decoderPool } from './dicom/decoder-pool.ts';
import { arrangeSeries } from './dicom/volume/arrange.ts';
import { asWetreadError, WetreadError } from './domain/errors.ts';
import type { StudyEvent } from './domain/event.ts';
import type { Logger } from './domain/log.ts';
import type { Output } from './domain/ports.ts';
import { dicomwebPoll } from './events/dicomweb-poll.ts';
import { withOrderedPriority } from './events/expected-exams.ts';
import { restSource } from './events/rest.ts';
import { stowPath } from './events/stow.ts';
import { theExamWatch, theHl7, theSubscriptions } from './event-sources.ts';
import { keptSecret } from './fhir/kept-file.ts';
import type { ServiceKeys } from './fhir/service-keys.ts';
import { appAssets } from './http/app-assets.ts';
import { errorHandler, notFound } from './http/errors.ts';
import { listen } from './http/server.ts';
import { appSessions } from './http/sessions.ts';
import { smartLaunch } from './http/smart-launch.ts';
import { archiveWithInbox, receives, theReceivers } from './receivers.ts';
import { metrics } from './metrics.ts';
import { fhirReport } from './outputs/fhir-report.ts';
import { analyseStudy } from './pipeline/analyse-study.ts';
import { writeFindings } from './pipeline/write-findings.ts';
import { dicomwebProxy } from './viewer-api/dicomweb-proxy.ts';
import { viewerRouter } from './viewer-api/routes.ts';

/** What this process does: answer HTTP and hear events, read studies, or both. */
export type Roles = { readonly web: boolean; readonly work: boolean };
export type RunningApp = { readonly port: number | undefined; close(): Promise<void> };

/** Opens everything in the order it is needed; what was opened is closed in reverse, also when a later part fails to open. */
export async function startApp(config: Config, logger: Logger, roles: Roles): Promise<RunningApp> {
  const opened = new AsyncDisposableStack();
  try {
    const port = await openAll(opened, config, logger, roles);
    return { port, close: () => opened.disposeAsync() };
  } catch (error) {
    await opened.disposeAsync();
    throw error;
  }
}

/** Returns the port it listens on, if it does. */
async function openAll(
  opened: AsyncDisposableStack,
  config: Config,
  logger: Logger,
  roles: Roles,
): Promise<number | undefined> {
  const counted = metrics();
  const store = await openTheStore(config, logger);
  opened.defer(() => store.close());

  const keys = await theKeys(config, logger);
  const askPacs = {
    archiveAnswered: counted.archiveAnswered,
    archiveCircuit(state: CircuitState) {
      counted.archiveCircuit(state);
      // For `wetread doctor`, which is another process. A database that is away as well has its own alarm.
      void store.cursors.set('archive-circuit', JSON.stringify(state)).catch(() => {});
    },
  };
  // Where everything is sent here, there is no PACS to ask.
  const pacs =
    config.WETREAD_DICOMWEB_URL === undefined && receives(config) ? undefined : theArchive(config, logger, askPacs);
  const archive = archiveWithInbox(config, { received: store.received, pacs, logger });
  const chart = theChart(config, logger, keys);
  const packs = await thePacks(config, logger);
  const summaries = packs.map(({ summary }) => summary);
  const outputs: readonly Output[] = [
    fhirReport({
      client: chart.client,
      publicUrl: config.publicUrl,
      reportStatus: config.WETREAD_REPORT_STATUS,
      packs: summaries,
      chartOf: async (patient) => {
        const [readings, studies] = await Promise.all([
          store.readings.forPatient(patient),
          store.register.forPatient(patient),
        ]);
        return { readings, studies };
      },
      logger,
    }),
  ];
  const announce = withOrderedPriority((event: StudyEvent) => store.register.announce(event), store.exams);
  let ready = (): Promise<unknown> => store.probe();

  if (roles.work) {
    const decoder = decoderPool({
      threads: config.WETREAD_DECODER_THREADS,
      maxInstanceBytes: config.WETREAD_MAX_INSTANCE_MB * 1024 * 1024,
      logger,
    });
    opened.defer(() => decoder.close());
    const models = theModels(config, logger, packs, counted);
    opened.defer(() => models.close());
    counted.watchModels(models.status);
    await models.ready();
    ready = async () => {
      await store.probe();
      const { fault } = models.status();
      if (fault !== undefined) throw new WetreadError('model.provider-unavailable', fault);
    };

    const { register, readings, orders } = store;
    const arrange = arrangeSeries;
    const parts = { archive, arrange, decoder, chart: chart.chart, models, register, orders, readings, logger };
    await store.workStudies((job) => counting(() => analyseStudy(parts, job), counted.studyEnded), {
      concurrency: config.WETREAD_STUDIES_AT_ONCE,
    });
    await store.workOutputs(
      (job) =>
        counting(
          () => writeFindings({ readings, register, outputs, logger }, job),
          (outcome) => counted.outputEnded(job.output, outcome),
        ),
      { concurrency: config.WETREAD_STUDIES_AT_ONCE },
    );
  }
  if (!roles.web) return undefined;

  const sessions = appSessions({ store: store.sessions });
  const eventSecret =
    config.WETREAD_EVENT_SECRET ?? (await keptSecret(join(config.WETREAD_DATA_DIR, 'secrets', 'events')));
  const poll =
    config.WETREAD_POLL_SECONDS === 0 || pacs === undefined
      ? undefined
      : dicomwebPoll({
          archive: pacs,
          everySeconds: config.WETREAD_POLL_SECONDS,
          days: config.WETREAD_POLL_DAYS,
          cursors: store.cursors,
          announce,
          logger,
        });
  const workitems = theWorklist(config, logger, {
    claims: store.workitems,
    register: { announce, get: store.register.get },
  });
  const examWatch = theExamWatch({ ...store, ...chart, archive, announce, logger });
  const heard = { exams: store.exams, onHeard: examWatch.soon, logger };
  const hl7 = await theHl7(config, { ...heard, onAnswered: counted.hl7Answered });
  const subscriptions = await theSubscriptions(config, { ...heard, ...chart, announce, cursors: store.cursors });
  const receivers = theReceivers(config, {
    received: store.received,
    announce,
    onObject: counted.objectReceived,
    logger,
  });
  const cds = cdsRouter({
    hooks: await loadHooks(hooksFolder),
    ports: {
      readings: store.readings,
      studies: store.register,
      orders: store.orders,
      feedback: store.feedback,
      audit: store.audit,
    },
    packs: summaries,
    clients: config.WETREAD_CDS_OPEN ? anyCaller({ logger }) : trustedClients({ clients: config.WETREAD_CDS_CLIENTS }),
    publicUrl: config.publicUrl,
    origins: config.WETREAD_CDS_ORIGINS,
    metrics: counted,
    logger,
  });
  opened.defer(() => cds.drain());

  const app = express().disable('x-powered-by').disable('etag');
  app.use(
    operations({ ready, keys, text: async () => counted.text(await store.counts()), contentType: counted.contentType }),
  );
  app.use(cds);
  app.use(
    smartLaunch({
      issuers: config.WETREAD_SMART_ISSUERS,
      clientAssertion: (clientId, audience) => keys.assertion({ clientId, audience }),
      publicUrl: config.publicUrl,
      sessions,
      audit: store.audit,
      strangers: store.strangers,
      logger,
    }),
  );
  app.use(
    '/app/api',
    viewerRouter({
      readings: store.readings,
      studies: store.register,
      packs: summaries,
      sessions,
      audit: store.audit,
      strangers: store.strangers,
      logger,
    }),
  );
  app.use(
    '/dicom-web',
    dicomwebProxy({
      forward: archive.forward,
      studies: store.register,
      sessions,
      audit: store.audit,
      strangers: store.strangers,
      logger,
    }),
  );
  app.use('/app', appAssets({ folder: appFolder, issuers: config.WETREAD_SMART_ISSUERS }));
  for (const { router } of subscriptions) app.use(router);
  for (const router of receivers.routers) app.use(router);
  app.use(restSource({ secret: eventSecret, announce, logger }).router);
  app.use(notFound, errorHandler(logger));

  const server = await serve(app, config);
  opened.defer(() => server.close());
  // Last to open and first to close: nothing is announced that nobody could remember.
  const { dimse } = receivers;
  if (dimse !== undefined) {
    await opening('WETREAD_DIMSE_HOST, WETREAD_DIMSE_PORT', () => dimse.start());
    opened.defer(() => dimse.stop());
  }
  if (hl7 !== undefined) {
    await opening('WETREAD_HL7_HOST, WETREAD_HL7_PORT', () => hl7.start());
    opened.defer(() => hl7.stop());
  }
  for (const source of [...subscriptions, poll, workitems, examWatch, receivers]) {
    if (source === undefined) continue;
    void source.start();
    opened.defer(() => source.stop());
  }
  return server.port;
}

async function counting(
  work: () => Promise<void>,
  ended: (outcome: 'ok' | ReturnType<typeof asWetreadError>['code']) => void,
): Promise<void> {
  try {
    await work();
    ended('ok');
  } catch (error) {
    ended(asWetreadError(error).code);
    throw error;
  }
}

const serve = (app: Express, config: Config) =>
  opening('WETREAD_HOST, WETREAD_PORT', () =>
    listen(app, { host: config.WETREAD_HOST, port: config.WETREAD_PORT, largeBodies: stowPath }),
  );

/** An address that is taken or forbidden is the configuration's fault, and said so. */
async function opening<Opened>(settings: string, open: () => Promise<Opened>): Promise<Opened> {
  try {
    return await open();
  } catch (error) {
    const { code, address, port } = error as NodeJS.ErrnoException & { address?: string; port?: number };
    if (code !== 'EADDRINUSE' && code !== 'EACCES' && code !== 'EADDRNOTAVAIL') throw error;
    throw new WetreadError('config.invalid', `${settings}: ${address}:${port} cannot be opened (${code})`);
  }
}

/** What the people who run the service ask: is it alive, is it ready, how does it fare, whom does it sign as. */
function operations(parts: {
  ready(): Promise<unknown>;
  keys: ServiceKeys;
  text(): Promise<string>;
  contentType: string;
}): Router {
  const router = express.Router();
  router.get('/healthz', (_request, response) => void response.json({ alive: true }));
  router.get('/readyz', async (_request, response) => {
    try {
      await parts.ready();
      response.json({ ready: true });
    } catch (error) {
      const { code, row } = asWetreadError(error);
      response.status(503).json({ ready: false, code, message: row.says, next: row.next });
    }
  });
  router.get('/metrics', async (_request, response) => void response.type(parts.contentType).send(await parts.text()));
  router.get('/.well-known/jwks.json', (_request, response) => void response.json(parts.keys.publicJwks()));
  return router;
}
