/** The server of the card bench, in a process of its own: the CDS service over a real database, or a bare Express handler with the same bytes. */
import express from 'express';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { trustedClients } from '../src/cds/client-trust.ts';
import { loadHooks } from '../src/cds/load-hooks.ts';
import { cdsRouter } from '../src/cds/router.ts';
import type { FindingDraft, PackIdentity } from '../src/domain/finding.ts';
import { contentHashOf, findingIdOf, readingIdOf } from '../src/domain/identity.ts';
import { patientId, sopUid, studyUid } from '../src/domain/ids.ts';
import { silentLogger } from '../src/domain/log.ts';
import { errorHandler } from '../src/http/errors.ts';
import { listen } from '../src/http/server.ts';
import { openStore, type Store } from '../src/store/open-store.ts';

/** What the bench says first; the answer is the port. Disconnecting ends the process. */
export type Start =
  | { readonly serve: 'bare'; readonly bytes: string }
  | { readonly serve: 'cards'; readonly issuer: string; readonly publicUrl: string; readonly patients: number };

const pack: PackIdentity = {
  name: 'lumbar-landmarks',
  version: '1.0.0',
  title: 'Lumbar landmarks',
  sha256: '0'.repeat(64),
};
const levels = ['L1/L2', 'L2/L3', 'L3/L4', 'L4/L5', 'L5/S1'] as const;

/** What the pack says of one film: every level measured, one of them suspected. */
const film: readonly FindingDraft[] = levels.map((level) => {
  const percent = level === 'L4/L5' ? 18 : 2;
  return {
    concept: 'spondylolisthesis',
    site: { kind: 'segment', level },
    result:
      percent > 10
        ? { kind: 'detected', grades: [{ scale: 'Meyerding', value: 'I' }], direction: 'anterior' }
        : { kind: 'not-detected' },
    measurements: [
      { quantity: 'slip', value: percent / 3, unit: 'mm', interval: [percent / 3 - 1, percent / 3 + 1] },
      { quantity: 'slip-percent', value: percent, unit: '%', interval: [percent - 4, percent + 4] },
    ],
    summary: `${percent > 10 ? 'Suspected' : 'No'} ${level} anterolisthesis (${percent} %)`,
  };
});

async function fill(store: Store, patients: number): Promise<void> {
  for (let number = 0; number < patients; number += 1) {
    const patient = patientId(`patient-${number}`);
    const study = studyUid(`1.2.826.0.1.3680043.8.498.${number + 1}`);
    await store.register.announce({
      source: 'rest',
      studyUid: study,
      reason: 'study-arrived',
      priority: 'routine',
      patientId: patient,
    });
    await store.register.describe(
      { studyUid: study, startedAt: '2026-11-20T09:30:00', description: 'XR lumbar spine lateral', modalities: ['DX'] },
      { patientId: patient },
    );
    const contentHash = contentHashOf([sopUid(`${study}.1`)]);
    const id = readingIdOf(study, pack, contentHash);
    await store.readings.save({
      id,
      studyUid: study,
      patientId: patient,
      pack,
      contentHash,
      readAt: '2026-11-20T09:31:00Z',
      executionProvider: 'cpu',
      findings: film.map((draft) => ({
        ...draft,
        id: findingIdOf(id, draft.concept, draft.site),
        verdict: { kind: 'unreviewed' },
      })),
      review: { kind: 'open' },
    });
    await store.register.settle(study, { kind: 'analysed', readings: [id], selection: [], packFailures: [] });
  }
}

async function cards({ issuer, publicUrl, patients }: Extract<Start, { serve: 'cards' }>) {
  const dataDir = await mkdtemp(join(tmpdir(), 'wetread-bench-'));
  const store = await openStore({ dataDir, outputs: [], logger: silentLogger });
  await fill(store, patients);
  const router = cdsRouter({
    hooks: await loadHooks(resolve(import.meta.dirname, '../hooks')),
    ports: {
      readings: store.readings,
      studies: store.register,
      orders: store.orders,
      feedback: store.feedback,
      audit: store.audit,
    },
    packs: [],
    clients: trustedClients({ clients: [{ issuer, jwksUrl: `${issuer}/jwks`, fhirServers: [] }] }),
    publicUrl,
    logger: silentLogger,
  });
  return {
    app: express().disable('x-powered-by').disable('etag').use(router).use(errorHandler(silentLogger)),
    async close() {
      await router.drain();
      await store.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** Nothing but Express: the body is not even parsed. */
const bare = (bytes: string) => ({
  app: express()
    .disable('x-powered-by')
    .disable('etag')
    .post('/cds-services/:id', (_request, response) => void response.type('json').send(bytes)),
  close: async () => undefined,
});

process.once('message', async (start: Start) => {
  const served = start.serve === 'bare' ? bare(start.bytes) : await cards(start);
  const server = await listen(served.app, { host: '127.0.0.1', port: 0 });
  process.once('disconnect', async () => {
    await server.close();
    await served.close();
    process.exit();
  });
  process.send!(server.port);
});
