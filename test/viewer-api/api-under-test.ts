/** The viewer API and the proxy on a real database, with two patients, so that crossing from one to the other can be tried. */
import express from 'express';
import type { Reading } from '../../src/domain/finding.ts';
import { findingIdOf, readingIdOf } from '../../src/domain/identity.ts';
import { patientId, studyUid, type PatientId, type StudyUid } from '../../src/domain/ids.ts';
import { silentLogger } from '../../src/domain/log.ts';
import type { AuditEntry, PackSummary } from '../../src/domain/ports.ts';
import { errorHandler, notFound } from '../../src/http/errors.ts';
import { listen } from '../../src/http/server.ts';
import { appSessions } from '../../src/http/sessions.ts';
import { openStore } from '../../src/store/open-store.ts';
import { strangerRefusals } from '../../src/store/stranger-refusals.ts';
import { dicomwebProxy, type DicomwebProxyOptions } from '../../src/viewer-api/dicomweb-proxy.ts';
import { viewerRouter } from '../../src/viewer-api/routes.ts';
import { testDatabase } from '../support/postgres.ts';

export const ada = patientId('ada');
export const ben = patientId('ben');
export const adasStudy = studyUid('1.2.3.10');
export const bensStudy = studyUid('1.2.3.20');
export const lin = { reference: 'Practitioner/lin', display: 'Dr Lin Wei' };

const pack: PackSummary = {
  name: 'lumbar-landmarks',
  version: '1.0.0',
  title: 'Lumbar landmarks',
  sha256: 'b'.repeat(64),
  modalities: ['DX'],
  regions: ['lumbar-spine'],
  views: ['lateral'],
  intendedUse: 'Draws attention to vertebral slip.',
  trainedOn: 'Computer-generated films.',
  limitations: ['Never trained on films of patients.'],
  licence: { weights: 'CC-BY-NC-SA-4.0', data: 'Not for commercial use' },
  demonstration: true,
};

export function reading(study: StudyUid, patient: PatientId, { suspicion }: { suspicion: boolean }): Reading {
  const id = readingIdOf(study, pack, `hash of ${study}`);
  const site = { kind: 'segment', level: 'L4/L5' } as const;
  return {
    id,
    studyUid: study,
    patientId: patient,
    pack,
    contentHash: `hash of ${study}`,
    readAt: '2026-11-21T09:31:00.000Z',
    executionProvider: 'cpu',
    findings: [
      {
        id: findingIdOf(id, 'spondylolisthesis', site),
        concept: 'spondylolisthesis',
        site,
        result: suspicion
          ? { kind: 'detected', direction: 'anterior', grades: [{ scale: 'Meyerding', value: 'I' }] }
          : { kind: 'not-detected' },
        measurements: [{ quantity: 'slip-percent', value: suspicion ? 18 : -4, unit: '%', interval: [14, 22] }],
        summary: suspicion ? 'Suspected L4/L5 anterolisthesis, grade I (18 %)' : 'No slip suspected at L4/L5',
        verdict: { kind: 'unreviewed' },
      },
    ],
    review: { kind: 'open' },
  };
}

export async function apiUnderTest(
  forward: DicomwebProxyOptions['forward'] = () => Promise.reject(new Error('no archive')),
) {
  const store = await openStore({ databaseUrl: await testDatabase(), dataDir: '.', outputs: [], logger: silentLogger });
  const audited: AuditEntry[] = [];
  const audit = { record: async (entry: AuditEntry) => void audited.push(entry) };
  const strangers = strangerRefusals({ audit, logger: silentLogger });
  const sessions = appSessions({ store: store.sessions });
  const app = express();
  app.use(
    '/app/api',
    viewerRouter({
      readings: store.readings,
      studies: store.register,
      packs: [pack],
      sessions,
      audit,
      strangers,
      logger: silentLogger,
    }),
  );
  app.use(
    '/dicom-web',
    dicomwebProxy({ forward, studies: store.register, sessions, audit, strangers, logger: silentLogger }),
  );
  app.use(notFound, errorHandler(silentLogger));
  const server = await listen(app, { host: '127.0.0.1', port: 0 });
  const url = `http://127.0.0.1:${server.port}`;

  async function keep(study: StudyUid, patient: PatientId, suspicion: boolean): Promise<Reading> {
    await store.register.announce({
      source: 'rest',
      studyUid: study,
      reason: 'study-arrived',
      priority: 'routine',
      patientId: patient,
    });
    const saved = await store.readings.save(reading(study, patient, { suspicion }));
    await store.register.settle(study, { kind: 'analysed', readings: [saved.id], selection: [], packFailures: [] });
    return saved;
  }

  async function login(patient: PatientId, reviewer = lin): Promise<string> {
    const code = await sessions.offer({ patientId: patient, reviewer, banner: { display: 'Somebody' } });
    const opened = await sessions.redeem(code);
    return opened!.token;
  }

  const ask = (path: string, init: RequestInit & { token?: string; json?: unknown } = {}) =>
    fetch(`${url}${path}`, {
      ...init,
      headers: {
        ...init.headers,
        ...(init.token === undefined ? {} : { authorization: `Bearer ${init.token}` }),
        ...(init.json === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(init.json === undefined ? {} : { body: JSON.stringify(init.json) }),
    });

  return {
    url,
    port: server.port,
    store,
    sessions,
    audited,
    keep,
    login,
    ask,
    async close() {
      await server.close();
      await store.close();
    },
  };
}

export type ApiUnderTest = Awaited<ReturnType<typeof apiUnderTest>>;
