/** Tries every part that is configured, for `wetread doctor`. */
import { hooksFolder, theArchive, theChart, theKeys, theModels, thePacks, theWorklist, withStore } from './adapters.ts';
import { loadHooks } from './cds/load-hooks.ts';
import type { Config } from './config.ts';
import type { CircuitState } from './dicom/circuit.ts';
import { asWetreadError } from './domain/errors.ts';
import type { Logger } from './domain/log.ts';
import { inboxInWords, receives } from './receivers.ts';
import type { NetworkFacts } from './inference/process-messages.ts';
import { theHl7 } from './event-sources.ts';

export type Check = {
  readonly name: string;
  readonly state: 'ok' | 'fault' | 'off';
  readonly says: string;
  readonly next?: string;
};

/** What was found about where a network runs, when it is not simply the processor. */
function provenWords({ pack, network, differenceFromCpu, nodesOnCpu, server }: NetworkFacts): string[] {
  const name = network === 'main' ? pack : `${pack}/${network}`;
  return [
    ...(differenceFromCpu === undefined
      ? []
      : [`${name} differs from the processor by ${(100 * differenceFromCpu).toPrecision(2)} % of the largest value`]),
    ...(nodesOnCpu === undefined
      ? []
      : [`${nodesOnCpu.count} of ${nodesOnCpu.of} small nodes of ${name} ran on the processor`]),
    ...(server === undefined ? [] : [`${name} at ${server.name} ${server.version}, proven by its ${server.provenBy}`]),
  ];
}

/** Tries every part that is configured, one after the other; a fault in one does not hide the others. */
export async function checkUp(config: Config, logger: Logger): Promise<Check[]> {
  const checks: Check[] = [];
  const check = async (name: string, look: () => Promise<string>) => {
    try {
      checks.push({ name, state: 'ok', says: await look() });
    } catch (thrown) {
      const error = asWetreadError(thrown);
      checks.push({ name, state: 'fault', says: `${error.message} (${error.code})`, next: error.row.next });
    }
  };
  const off = (name: string, says: string) => checks.push({ name, state: 'off', says });
  const soon = () => AbortSignal.timeout(10_000);

  let circuit: ReturnType<typeof openCircuit>;
  let worklistParts: (Parameters<typeof theWorklist>[2] & { claimed: number }) | undefined;
  await check('database', () =>
    withStore(config, logger, async (store) => {
      circuit = openCircuit(await store.cursors.get('archive-circuit'));
      const claimed = (await store.workitems.all()).length;
      worklistParts = { claims: store.workitems, register: store.register, claimed };
      const { version, kind } = await store.probe();
      const { pending, dead, owedOutputs } = await store.counts();
      return `PostgreSQL ${version} (${kind}); ${pending} waiting, ${dead} given up, ${owedOutputs} outputs owed`;
    }),
  );
  await check('models', async () => {
    const packs = await thePacks(config, logger);
    const models = theModels({ ...config, WETREAD_INFERENCE_PROCESSES: 1 }, logger, packs);
    try {
      await models.ready();
      const { provider, probeMs, networks } = models.status();
      const where = config.WETREAD_INFERENCE_SERVER ?? provider;
      const read = packs.map(
        ({ identity }) => `${identity.name} ${identity.version} (${Math.round(probeMs[identity.name] ?? 0)} ms)`,
      );
      return [`${read.join(', ')} on ${where}`, ...networks.flatMap(provenWords)].join('; ');
    } finally {
      await models.close();
    }
  });
  await check('hooks', async () => (await loadHooks(hooksFolder)).map(({ id }) => id).join(', '));
  if (config.WETREAD_DICOMWEB_URL === undefined)
    off(
      'archive',
      receives(config)
        ? 'WETREAD_DICOMWEB_URL is not set: only what is sent here can be read'
        : 'WETREAD_DICOMWEB_URL is not set: no study can be fetched',
    );
  else
    await check('archive', async () => {
      await theArchive(config, logger).probe(soon());
      return `${config.WETREAD_DICOMWEB_URL} answers`;
    });
  if (circuit !== undefined) checks.push({ name: 'archive circuit', state: 'fault', ...circuit });
  if (
    config.WETREAD_UPS_STATION === undefined &&
    config.WETREAD_UPS_STATION_CLASS === undefined &&
    config.WETREAD_UPS_WORKITEM_CODE === undefined
  )
    off('worklist', 'WETREAD_UPS_STATION is not set: no workitems are claimed');
  else if (worklistParts !== undefined) {
    const { claimed, ...parts } = worklistParts;
    await check('worklist', async () => {
      const scheduled = await theWorklist(config, logger, parts)?.probe(soon());
      return `answers; ${scheduled} scheduled, ${claimed} claimed`;
    });
  }
  if (config.WETREAD_FHIR_URL === undefined) off('chart', 'WETREAD_FHIR_URL is not set: no report can be written');
  else
    await check('chart', async () => {
      await theChart(config, logger, await theKeys(config, logger)).chart.probe(soon());
      return `${config.WETREAD_FHIR_URL} answers`;
    });
  if (config.WETREAD_SUBSCRIPTION_TOPIC.length === 0)
    off('subscription', 'WETREAD_SUBSCRIPTION_TOPIC is not set: new studies are heard of by polling only');
  else
    checks.push({
      name: 'subscription',
      state: 'ok',
      says: `made at the start for ${config.WETREAD_SUBSCRIPTION_TOPIC.map(({ url }) => url).join(', ')}`,
    });
  if (receives(config)) await check('inbox', () => inboxInWords(config));
  else off('inbox', 'neither WETREAD_STOW_SECRET nor WETREAD_DIMSE_PORT is set: nothing can be sent here');
  if (config.WETREAD_HL7_PORT === undefined) off('hl7', 'WETREAD_HL7_PORT is not set: no HL7 messages are heard');
  else
    await check('hl7', async () => {
      await theHl7(config, { exams: { hear: async () => 'new' }, onHeard: () => {}, logger });
      const over = config.WETREAD_HL7_TLS_CERT_FILE === undefined ? '' : ' over TLS';
      return `heard on ${config.WETREAD_HL7_HOST}:${config.WETREAD_HL7_PORT}${over}`;
    });
  if (config.WETREAD_CDS_OPEN)
    checks.push({
      name: 'cds clients',
      state: 'fault',
      says: 'everybody is answered',
      next: 'Set WETREAD_CDS_CLIENTS and unset WETREAD_CDS_OPEN before patients are involved.',
    });
  else if (config.WETREAD_CDS_CLIENTS.length === 0)
    off('cds clients', 'WETREAD_CDS_CLIENTS is empty: every call is refused');
  else
    checks.push({
      name: 'cds clients',
      state: 'ok',
      says: config.WETREAD_CDS_CLIENTS.map(({ issuer }) => issuer).join(', '),
    });
  if (config.WETREAD_SMART_ISSUERS.length === 0)
    off('smart launch', 'WETREAD_SMART_ISSUERS is empty: no EHR can open the app');
  else
    checks.push({
      name: 'smart launch',
      state: 'ok',
      says: config.WETREAD_SMART_ISSUERS.map(({ iss }) => iss).join(', '),
    });
  return checks;
}

/** What the running service last wrote of its circuit, unless that is closed. */
function openCircuit(stored: string | undefined): { says: string; next: string } | undefined {
  const { kind, failures, code, retryAt } = JSON.parse(stored ?? '{}') as Partial<CircuitState>;
  // A process that ended in the meantime did not take back what it wrote.
  if (kind === undefined || kind === 'closed' || Date.parse(retryAt ?? '') < Date.now() - 300_000) return undefined;
  return {
    says: `the service has stopped asking after ${failures} failures in a row (${code})`,
    next: `It tries again by itself after ${retryAt}.`,
  };
}
