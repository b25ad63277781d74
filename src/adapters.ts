/** The adapters, each made from the configuration: the database, the keys, the archive, the chart, the models. */
import { join } from 'node:path';
import { archiveFromConfig, type ArchiveObserver } from './archive-from-config.ts';
import type { Config } from './config.ts';
import type { DicomwebArchive } from './dicom/dicomweb-archive.ts';
import { WetreadError } from './domain/errors.ts';
import type { Logger } from './domain/log.ts';
import type { UpsWorklist } from './events/ups-worklist.ts';
import { backendAuthorization } from './fhir/backend-authorization.ts';
import { fhirChart } from './fhir/chart.ts';
import { fhirClient } from './fhir/client.ts';
import { serviceKeys, type ServiceKeys } from './fhir/service-keys.ts';
import { loadPacks, type LoadedPack } from './inference/load-packs.ts';
import { memoryShortage } from './inference/memory-hint.ts';
import { modelRunner, type ManagedModelRunner, type RunMetrics } from './inference/model-runner.ts';
import type { InferenceServer } from './inference/process-pool.ts';
import { openStore, type Store } from './store/open-store.ts';
import { worklistFromConfig } from './worklist-from-config.ts';

const home = join(import.meta.dirname, '..');
export const hooksFolder = join(home, 'hooks');
export const appFolder = join(home, 'smart-app/dist');
export const outputNames = ['fhir-report'] as const;

export const openTheStore = (config: Config, logger: Logger, options: { join?: boolean } = {}): Promise<Store> =>
  openStore({
    ...options,
    ...(config.DATABASE_URL !== undefined && { databaseUrl: config.DATABASE_URL }),
    dataDir: config.WETREAD_DATA_DIR,
    outputs: [...outputNames],
    retry: { limit: config.WETREAD_RETRY_LIMIT, delaySeconds: config.WETREAD_RETRY_SECONDS, backoff: true },
    retention: { auditDays: config.WETREAD_KEEP_AUDIT_DAYS, cardDays: config.WETREAD_KEEP_CARDS_DAYS },
    logger,
  });

export const theKeys = (config: Config, logger: Logger): Promise<ServiceKeys> =>
  serviceKeys({
    dataDir: config.WETREAD_DATA_DIR,
    ...(config.WETREAD_PRIVATE_KEY_FILE !== undefined && { keyFile: config.WETREAD_PRIVATE_KEY_FILE }),
    logger,
  });

export const theArchive = (config: Config, logger: Logger, observer?: ArchiveObserver): DicomwebArchive =>
  archiveFromConfig(needed('WETREAD_DICOMWEB_URL', config.WETREAD_DICOMWEB_URL), config, {
    assertion: async (clientId, audience) => (await theKeys(config, logger)).assertion({ clientId, audience }),
    observer,
    logger,
  });

export const theWorklist = (
  config: Config,
  logger: Logger,
  parts: Pick<Parameters<typeof worklistFromConfig>[1], 'claims' | 'register'>,
): UpsWorklist | undefined =>
  worklistFromConfig(config, {
    ...parts,
    assertion: async (clientId, audience) => (await theKeys(config, logger)).assertion({ clientId, audience }),
    logger,
  });

export function theChart(config: Config, logger: Logger, keys: ServiceKeys) {
  const baseUrl = needed('WETREAD_FHIR_URL', config.WETREAD_FHIR_URL);
  const timeoutMs = config.WETREAD_FHIR_TIMEOUT_SECONDS * 1000;
  const clientId = config.WETREAD_FHIR_CLIENT_ID;
  const client = fhirClient({
    baseUrl,
    timeoutMs,
    logger,
    ...(clientId !== undefined && {
      auth: backendAuthorization({ fhirBaseUrl: baseUrl, clientId, keys, timeoutMs, logger }),
    }),
  });
  const identifierSystems = {
    ...(config.WETREAD_PATIENT_IDENTIFIER_SYSTEM !== undefined && {
      patient: config.WETREAD_PATIENT_IDENTIFIER_SYSTEM,
    }),
    ...(config.WETREAD_ACCESSION_IDENTIFIER_SYSTEM !== undefined && {
      accession: config.WETREAD_ACCESSION_IDENTIFIER_SYSTEM,
    }),
  };
  return { client, identifierSystems, chart: fhirChart({ client, identifierSystems }) };
}

function needed(name: string, value: string | undefined): string {
  if (value === undefined)
    throw new WetreadError('config.invalid', `${name} is not set; "npm start" shows everything with a demo hospital`);
  return value;
}

export const modelsFolder = (config: Config): string => config.WETREAD_MODELS_DIR ?? join(home, 'models');

export const thePacks = (config: Config, logger: Logger): Promise<LoadedPack[]> =>
  loadPacks(modelsFolder(config), logger);

export const theModels = (
  config: Config,
  logger: Logger,
  packs: readonly LoadedPack[],
  counted?: RunMetrics,
): ManagedModelRunner => {
  const memoryMb = config.WETREAD_MODEL_MEMORY_MB;
  if (config.WETREAD_INFERENCE_SERVER === undefined)
    for (const { identity, manifest } of packs) {
      const shortage = memoryShortage(manifest, memoryMb);
      if (shortage !== undefined)
        logger.warn('the model pack needs more memory than its process may have', { pack: identity.name, ...shortage });
    }
  return modelRunner({
    packs,
    processes: config.WETREAD_INFERENCE_PROCESSES,
    threads: config.WETREAD_INFERENCE_THREADS,
    provider: config.WETREAD_EXECUTION_PROVIDER,
    maxRssBytes: memoryMb * 2 ** 20,
    batch: { most: config.WETREAD_BATCH_PICTURES, waitMs: config.WETREAD_BATCH_WAIT_MS },
    ...theInferenceServer(config),
    logger,
    ...(counted !== undefined && { metrics: counted }),
  });
};

function theInferenceServer(config: Config): { server?: InferenceServer } {
  const url = config.WETREAD_INFERENCE_SERVER;
  if (url === undefined) return {};
  const authorization = config.WETREAD_INFERENCE_SERVER_AUTHORIZATION;
  const requestsAtOnce = config.WETREAD_INFERENCE_REQUESTS_AT_ONCE;
  return { server: { url, requestsAtOnce, ...(authorization !== undefined && { authorization }) } };
}

/** Opens the store for one task of the command line, beside a running service too. */
export async function withStore<Result>(
  config: Config,
  logger: Logger,
  task: (store: Store) => Promise<Result>,
): Promise<Result> {
  const store = await openTheStore(config, logger, { join: true });
  try {
    return await task(store);
  } finally {
    await store.close();
  }
}
