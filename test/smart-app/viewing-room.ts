/** The app with everything behind it that it speaks to: built page, viewer API, proxy, real database, and an archive of films. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import express from 'express';
import { appFolder, buildApp } from '../../smart-app/build.ts';
import type { Reading } from '../../src/domain/finding.ts';
import { patientId, sopUid, studyUid, type SopUid, type StudyUid } from '../../src/domain/ids.ts';
import { silentLogger } from '../../src/domain/log.ts';
import type { AuditEntry } from '../../src/domain/ports.ts';
import { appAssets } from '../../src/http/app-assets.ts';
import { errorHandler, notFound } from '../../src/http/errors.ts';
import { listen } from '../../src/http/server.ts';
import { appSessions, type Grant } from '../../src/http/sessions.ts';
import { openStore, type Store } from '../../src/store/open-store.ts';
import { dicomwebProxy } from '../../src/viewer-api/dicomweb-proxy.ts';
import { viewerRouter } from '../../src/viewer-api/routes.ts';
import { archiveOfFiles, type ArchiveOfFiles } from './archive-of-files.ts';
import { pack } from './demo-reading.ts';

export const ada = patientId('ada');
export const reader = { reference: 'Practitioner/lin', display: 'Dr Lin Wei' };

export type ViewingRoom = {
  readonly url: string;
  readonly store: Store;
  readonly archive: ArchiveOfFiles;
  readonly audited: AuditEntry[];
  /** A study that has arrived and been read, one film each. */
  keep(
    film: number,
    described: { description: string; startedAt: string },
    read?: (about: { study: StudyUid; sop: SopUid }) => Reading,
  ): Promise<Reading | undefined>;
  /** The page's address as the end of a launch leaves it. */
  address(grant?: Partial<Grant>): Promise<string>;
  close(): Promise<void>;
};

export async function viewingRoom(films: readonly Uint8Array[]): Promise<ViewingRoom> {
  await buildApp();
  const dataDir = mkdtempSync(join(tmpdir(), 'wetread-room-'));
  const store = await openStore({ dataDir, outputs: [], logger: silentLogger });
  const archive = await archiveOfFiles(films);
  const audited: AuditEntry[] = [];
  const audit = {
    record: async (entry: AuditEntry) => {
      audited.push(entry);
      await store.audit.record(entry);
    },
  };
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
      strangers: store.strangers,
      logger: silentLogger,
    }),
  );
  app.use(
    '/dicom-web',
    dicomwebProxy({
      forward: (path, { accept, signal }) => fetch(`${archive.url}/${path}`, { headers: { accept }, signal }),
      studies: store.register,
      sessions,
      audit,
      strangers: store.strangers,
      logger: silentLogger,
    }),
  );
  app.use('/app', appAssets({ folder: appFolder, issuers: [] }));
  app.use(notFound, errorHandler(silentLogger));
  const server = await listen(app, { host: '127.0.0.1', port: 0 });
  const url = `http://127.0.0.1:${server.port}`;

  return {
    url,
    store,
    archive,
    audited,
    async keep(film, { description, startedAt }, read) {
      const { study: uid, sop, modality } = archive.kept[film]!;
      const study = studyUid(uid);
      await store.register.announce({
        source: 'rest',
        studyUid: study,
        reason: 'study-arrived',
        priority: 'routine',
        patientId: ada,
      });
      await store.register.describe(
        { studyUid: study, description, startedAt, modalities: [modality] },
        { patientId: ada },
      );
      if (read === undefined) return undefined;
      const reading = await store.readings.save(read({ study, sop: sopUid(sop) }));
      await store.register.settle(study, { kind: 'analysed', readings: [reading.id], selection: [], packFailures: [] });
      return reading;
    },
    async address(grant = {}) {
      const code = await sessions.offer({
        patientId: ada,
        reviewer: reader,
        banner: { display: 'Ada Marsh', birthDate: '1958-03-12', sex: 'female' },
        ...grant,
      });
      return `${url}/app/#code=${code}`;
    },
    async close() {
      await server.close();
      await archive.close();
      await store.close();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}
