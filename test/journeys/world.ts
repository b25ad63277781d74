/** A world for journeys: the demo hospital and, as a process of its own, the real service; both on free ports of this machine. */
import { spawn, type ChildProcess } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Bundle, DiagnosticReport, FhirResource, Provenance } from 'fhir/r4.d.ts';
import { startHospital } from '../../sandbox/hospital.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { freePort } from '../support/free-port.ts';

const root = join(import.meta.dirname, '../..');

export type WireCard = {
  readonly uuid: string;
  readonly summary: string;
  readonly indicator: string;
  readonly detail?: string;
  readonly links?: readonly {
    readonly type: string;
    readonly label: string;
    readonly url: string;
    readonly appContext?: string;
  }[];
};
export type Film = { readonly studyUid: string; readonly imagingStudy: string; readonly accession: string };
export type Faults = {
  readonly archive?: 'down' | 'truncate' | 'slow' | null;
  readonly fhir?: 'down' | 'refuse' | 'reject' | null;
};

export type World = {
  readonly hospitalUrl: string;
  readonly serviceUrl: string;
  readonly dataDir: string;
  startService(): Promise<void>;
  /** Ends the service by a signal and waits until it is gone. Returns its exit code. */
  endService(signal: NodeJS.Signals): Promise<number | null>;
  readonly servicePid: number;
  /** What the service wrote on standard error. */
  log(): string;
  arrive(patient: string, film: string, order?: string, takenDaysAgo?: number): Promise<Film>;
  cards(patient: string): Promise<WireCard[]>;
  ehr<Answer>(path: string, body?: unknown): Promise<Answer>;
  faults(faults: Faults): Promise<void>;
  /** A resource or a whole search, every page of it. */
  search<Resource extends FhirResource>(query: string): Promise<Resource[]>;
  reportsOf(film: Film): Promise<DiagnosticReport[]>;
  provenancesOf(resource: FhirResource): Promise<Provenance[]>;
  close(): Promise<void>;
};

export async function openWorld(environment: NodeJS.ProcessEnv = {}): Promise<World> {
  const port = await freePort();
  const serviceUrl = `http://127.0.0.1:${port}`;
  const dataDir = mkdtempSync(join(tmpdir(), 'wetread-journey-'));
  const filmsDir = filmsWithOneUnreadable(dataDir);
  const hospital = await startHospital({
    filmsDir,
    port: 0,
    wetreadUrl: serviceUrl,
    faults: true,
    notificationRetryMs: [300, 1000, 2000],
    logger: silentLogger,
  });
  const { url } = hospital;
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    WETREAD_PORT: String(port),
    WETREAD_DATA_DIR: dataDir,
    WETREAD_FHIR_URL: `${url}/fhir`,
    WETREAD_FHIR_CLIENT_ID: 'wetread',
    WETREAD_DICOMWEB_URL: `${url}/dicom-web`,
    WETREAD_PATIENT_IDENTIFIER_SYSTEM: 'http://hospital.example/mrn',
    WETREAD_ACCESSION_IDENTIFIER_SYSTEM: 'http://hospital.example/accession',
    WETREAD_SUBSCRIPTION_TOPIC: 'http://hospital.example/topics/imaging-study',
    WETREAD_CDS_CLIENTS: JSON.stringify([{ issuer: url, jwksUrl: `${url}/auth/jwks`, fhirServers: [`${url}/fhir`] }]),
    WETREAD_SMART_ISSUERS: JSON.stringify([{ iss: `${url}/fhir`, clientId: 'wetread-app' }]),
    WETREAD_POLL_SECONDS: '1',
    WETREAD_RETRY_SECONDS: '1',
    ...environment,
  };
  let service: ChildProcess | undefined;
  let log = '';
  const cookie = (await fetch(`${url}/`)).headers
    .getSetCookie()
    .map((line) => line.split(';')[0]!)
    .join('; ');

  const world: World = {
    hospitalUrl: url,
    serviceUrl,
    dataDir,
    get servicePid() {
      return service!.pid!;
    },
    log: () => log,
    async startService() {
      const child = spawn(process.execPath, [join(root, 'src/cli/wetread.ts'), 'serve', '--json'], {
        env,
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      service = child;
      child.stderr.on('data', (chunk) => (log += String(chunk)));
      await new Promise<void>((resolve, reject) => {
        child.stdout.once('data', (line) => {
          const said = JSON.parse(String(line)) as { ready?: boolean };
          if (said.ready === true) resolve();
          else reject(new Error(`the service did not start: ${String(line)}`));
        });
        child.once('exit', (code, signal) =>
          reject(new Error(`the service ended while starting (${code ?? signal}):\n${log.slice(-3000)}`)),
        );
      });
    },
    async endService(signal) {
      const child = service!;
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
      const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
      child.kill(signal);
      return ended;
    },
    arrive: (patient, film, order, takenDaysAgo = 0) =>
      world.ehr<Film>('films', { patient, film, takenDaysAgo, ...(order && { order }) }),
    async cards(patient) {
      const { services } = await world.ehr<{ services: { cards: WireCard[]; error?: unknown }[] }>(
        `patients/${patient}/hooks/patient-view`,
        {},
      );
      return services.flatMap(({ cards }) => cards);
    },
    async ehr(path, body) {
      const response = await fetch(`${url}/ehr/api/${path}`, {
        headers: { cookie, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
      });
      if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
      return response.json();
    },
    faults: (faults) => world.ehr('faults', faults),
    async search<Resource extends FhirResource>(query: string) {
      const found: Resource[] = [];
      for (let next: string | undefined = `${url}/fhir/${query}`; next !== undefined;) {
        const response: Response = await fetch(next, { headers: { cookie } });
        if (!response.ok) throw new Error(`${query}: ${response.status} ${await response.text()}`);
        const answer = (await response.json()) as FhirResource;
        if (answer.resourceType !== 'Bundle') return [answer as Resource];
        const bundle = answer as Bundle;
        found.push(...(bundle.entry ?? []).map(({ resource }) => resource as Resource));
        next = bundle.link?.find(({ relation }) => relation === 'next')?.url;
      }
      return found;
    },
    reportsOf: async ({ imagingStudy }) =>
      (await world.search<DiagnosticReport>('DiagnosticReport?_count=200')).filter(({ imagingStudy: studies }) =>
        studies?.some(({ reference }) => reference === imagingStudy),
      ),
    provenancesOf: (resource) => world.search<Provenance>(`Provenance?target=${resource.resourceType}/${resource.id}`),
    async close() {
      if (service !== undefined) await world.endService('SIGTERM');
      await hospital.close();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
  return world;
}

/** The demo films, and one whose file names a compression that nobody knows. */
function filmsWithOneUnreadable(dataDir: string): string {
  const folder = join(dataDir, 'films');
  cpSync(join(root, 'sandbox/films'), folder, { recursive: true });
  const file = readFileSync(join(folder, 'normal.dcm'), 'latin1');
  // JPEG-LS lossless, and a UID of the same length that DICOM has not given to anything.
  const renamed = file.replace('1.2.840.10008.1.2.4.80', '1.2.840.10008.1.2.4.99');
  if (renamed === file) throw new Error('normal.dcm is not JPEG-LS any more');
  writeFileSync(join(folder, 'unknown-syntax.dcm'), renamed, 'latin1');
  return folder;
}

/** The answer of a look, as soon as there is one; the last failure otherwise. */
export async function eventually<Found>(
  look: () => Promise<Found | undefined | false>,
  { withinMs = 120_000, everyMs = 150 } = {},
): Promise<Found> {
  const until = Date.now() + withinMs;
  let last: unknown = new Error('nothing came');
  while (Date.now() < until) {
    try {
      const found = await look();
      if (found !== undefined && found !== false) return found;
    } catch (error) {
      last = error;
    }
    await wait(everyMs);
  }
  throw last;
}
