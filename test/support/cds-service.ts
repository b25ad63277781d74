/** The CDS service as the application mounts it, on the loopback, over a real database, with one trusted client. */
import express from 'express';
import { randomUUID } from 'node:crypto';
import { resolve } from 'node:path';
import { Client } from 'pg';
import { trustedClients } from '../../src/cds/client-trust.ts';
import { loadHooks, type LoadedHook } from '../../src/cds/load-hooks.ts';
import { cdsRouter, type CdsOptions } from '../../src/cds/router.ts';
import type { CdsResponse } from '../../src/cds/wire.ts';
import { silentLogger } from '../../src/domain/log.ts';
import type { PackSummary } from '../../src/domain/ports.ts';
import { errorHandler, notFound } from '../../src/http/errors.ts';
import { priorityNumber } from '../../src/store/jobs.ts';
import { openStore, type Store } from '../../src/store/open-store.ts';
import { cdsClient, loopbackServer, type TokenChanges } from './cds-client.ts';
import { testDatabase } from './postgres.ts';
import { samplePack } from './sample-readings.ts';

export type Answered = { readonly status: number; readonly headers: Headers; readonly body: unknown };

export type CdsService = Awaited<ReturnType<typeof cdsService>>;

/** Patients with a study that was moved to the front of the queue. */
export async function hurriedPatients({ databaseUrl }: CdsService): Promise<string[]> {
  const database = new Client({ connectionString: databaseUrl });
  await database.connect();
  const { rows } = await database.query<{ patient_id: string }>(
    'select patient_id from wetread.study where priority = $1',
    [priorityNumber.waiting],
  );
  await database.end();
  return rows.map(({ patient_id }) => patient_id);
}

export const samplePackSummary: PackSummary = {
  ...samplePack,
  modalities: ['DX', 'CR'],
  regions: ['lumbar-spine'],
  views: ['lateral'],
  intendedUse: 'Measuring slips',
  trainedOn: 'synthetic phantoms of the lumbar spine',
  limitations: ['Adults only.'],
  licence: { weights: 'CC-BY-NC-SA-4.0', data: 'Not for commercial use' },
  demonstration: true,
};

export async function cdsService(
  more: Partial<CdsOptions> & { fhirServers?: readonly string[]; hooks?: readonly LoadedHook[] } = {},
  databaseUrl?: string,
) {
  const { fhirServers = [], ...options } = more;
  const url = databaseUrl ?? (await testDatabase());
  const store: Store = await openStore({
    databaseUrl: url,
    dataDir: '',
    outputs: [],
    logger: silentLogger,
  });
  const client = await cdsClient();
  const hooks = more.hooks ?? (await loadHooks(resolve('hooks')));
  let handler: express.Express | undefined;
  const server = await loopbackServer((request, response) => handler!(request, response));
  const router = cdsRouter({
    ports: {
      readings: store.readings,
      studies: store.register,
      orders: store.orders,
      feedback: store.feedback,
      audit: store.audit,
    },
    packs: [samplePackSummary],
    clients: trustedClients({ clients: [{ issuer: client.issuer, jwksUrl: client.jwksUrl, fhirServers }] }),
    publicUrl: server.url,
    logger: silentLogger,
    ...options,
    hooks,
  });
  handler = express().disable('x-powered-by').use(router).use(notFound).use(errorHandler(silentLogger));

  const send = async (
    path: string,
    init: RequestInit & { token?: string | null; changes?: TokenChanges } = {},
  ): Promise<Answered> => {
    const { token, changes, ...rest } = init;
    const headers = new Headers(rest.headers);
    const bearer = token === undefined ? await client.token(`${server.url}${path}`, changes) : token;
    if (bearer !== null) headers.set('authorization', `Bearer ${bearer}`);
    const response = await fetch(`${server.url}${path}`, { ...rest, headers });
    const text = await response.text();
    return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) };
  };
  const post = (path: string, body: unknown, init: Parameters<typeof send>[1] = {}): Promise<Answered> =>
    send(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: typeof body === 'string' ? body : JSON.stringify(body),
      ...init,
    });

  return {
    url: server.url,
    databaseUrl: url,
    store,
    client,
    hooks,
    send,
    post,
    drain: () => router.drain(),
    /** The cards of one service; anything but 200 is an error. */
    async cards(
      service: string,
      context: Readonly<Record<string, unknown>>,
      prefetch?: unknown,
    ): Promise<CdsResponse['cards']> {
      const { hook } = hooks.find(({ id }) => id === service)!.hook;
      const { status, body } = await post(`/cds-services/${service}`, {
        hook,
        hookInstance: randomUUID(),
        context: { userId: 'Practitioner/example', ...context },
        ...(prefetch === undefined ? {} : { prefetch }),
      });
      if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`);
      return (body as CdsResponse).cards;
    },
    async close() {
      await server.close();
      await router.drain();
      await client.close();
      await store.close();
    },
  };
}
