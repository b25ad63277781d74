/** `wetread demo`: the demo hospital and the service beside it, fresh at every start. */
import { fork, type ChildProcess } from 'node:child_process';
import { createServer } from 'node:net';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { buildApp } from '../../smart-app/build.ts';
import { WetreadError } from '../domain/errors.ts';
import { keptSecret } from '../fhir/kept-file.ts';
import { runService } from '../main.ts';
import { readArgs, type Command, type Io } from './command.ts';

const sandboxMain = join(import.meta.dirname, '../../sandbox/main.ts');

export const command: Command = {
  name: 'demo',
  summary: 'show everything: a small hospital with charts, films and the service (npm start)',
  usage: `
Usage: wetread demo

Starts a demo hospital on WETREAD_SANDBOX_PORT (8090) and the service on WETREAD_PORT (8080).
Everything is on this machine and fictional; the demo's data (WETREAD_DATA_DIR/demo) is new at every start.

  --json       one line of JSON when ready
  --verbose    the service's log on standard error (otherwise warnings only)

Examples:
  npm start
  WETREAD_PORT=8081 WETREAD_SANDBOX_PORT=8091 npm run wetread -- demo --verbose`,
  async run(args, io) {
    const { values } = readArgs(args, { json: { type: 'boolean' }, verbose: { type: 'boolean' } });
    const started = performance.now();
    endWithParent();
    const env = demoEnvironment(io.env, values.verbose ?? false);
    await rm(env.WETREAD_DATA_DIR, { recursive: true, force: true });
    const service = { ...env, ...(await receiversOf(env)) };
    const [hospital] = await Promise.all([startHospital(env), buildApp()]);
    try {
      await runService(service, { web: true, work: true }, (url) => {
        announce(io, values.json ?? false, url, env, performance.now() - started);
        hospital.send('films on record');
      });
    } finally {
      await stopHospital(hospital);
    }
    return 0;
  },
};

/**
 * npm passes a signal to its shell only. `npm start` therefore replaces the shell (`exec`; where there is no such word,
 * as on Windows, the command after it runs), and whoever starts the demo otherwise and dies is not survived either.
 */
function endWithParent(): void {
  const parent = process.ppid;
  const watch = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(watch);
    process.kill(process.pid, 'SIGTERM');
  }, 250);
  watch.unref();
}

/** Points the service at the demo hospital, as docs/deployment.md points it at a real one. */
function demoEnvironment(given: NodeJS.ProcessEnv, verbose: boolean) {
  const host = given['WETREAD_HOST'] || '127.0.0.1';
  const port = given['WETREAD_PORT'] || '8080';
  const hospital = `http://${host}:${given['WETREAD_SANDBOX_PORT'] || '8090'}`;
  return {
    ...given,
    WETREAD_HOST: host,
    WETREAD_PORT: port,
    WETREAD_PUBLIC_URL: given['WETREAD_PUBLIC_URL'] || `http://${host}:${port}`,
    WETREAD_DATA_DIR: join(given['WETREAD_DATA_DIR'] || './.wetread', 'demo'),
    WETREAD_SANDBOX_URL: hospital,
    WETREAD_FHIR_URL: `${hospital}/fhir`,
    WETREAD_FHIR_CLIENT_ID: 'wetread',
    WETREAD_DICOMWEB_URL: `${hospital}/dicom-web`,
    WETREAD_PATIENT_IDENTIFIER_SYSTEM: 'http://hospital.example/mrn',
    WETREAD_ACCESSION_IDENTIFIER_SYSTEM: 'http://hospital.example/accession',
    WETREAD_SUBSCRIPTION_TOPIC: [
      'http://hospital.example/topics/imaging-study',
      'ServiceRequest=http://hospital.example/topics/imaging-order',
      'DiagnosticReport=http://hospital.example/topics/diagnostic-report',
    ].join(','),
    // The hospital sends HL7 messages as well when somebody listens.
    ...(given['WETREAD_HL7_PORT'] && { WETREAD_SANDBOX_HL7: `127.0.0.1:${given['WETREAD_HL7_PORT']}` }),
    WETREAD_CDS_CLIENTS: JSON.stringify([
      { issuer: hospital, jwksUrl: `${hospital}/auth/jwks`, fhirServers: [`${hospital}/fhir`] },
    ]),
    WETREAD_SMART_ISSUERS: JSON.stringify([{ iss: `${hospital}/fhir`, clientId: 'wetread-app' }]),
    WETREAD_POLL_SECONDS: given['WETREAD_POLL_SECONDS'] || '10',
    WETREAD_LOG_LEVEL: given['WETREAD_LOG_LEVEL'] || (verbose ? 'info' : 'warn'),
  };
}

/** Objects may be sent to the demo as well: `wetread send` finds the secret where it lies. */
async function receiversOf(env: NodeJS.ProcessEnv & { WETREAD_DATA_DIR: string }) {
  const port = Number(env['WETREAD_DIMSE_PORT'] || Number(env['WETREAD_PORT']) + 3032);
  return {
    WETREAD_STOW_SECRET:
      env['WETREAD_STOW_SECRET'] || (await keptSecret(join(env.WETREAD_DATA_DIR, 'secrets', 'stow'))),
    WETREAD_QUIET_SECONDS: env['WETREAD_QUIET_SECONDS'] || '3',
    // A demo need not end because another one, or dcmtk, has this port.
    ...((env['WETREAD_DIMSE_PORT'] || (await isFree(port))) && {
      WETREAD_DIMSE_PORT: String(port),
      WETREAD_DIMSE_CALLERS: env['WETREAD_DIMSE_CALLERS'] || '*@127.0.0.1',
    }),
  };
}

function isFree(port: number): Promise<boolean> {
  if (!(port > 0 && port < 65_536)) return Promise.resolve(false);
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}

function startHospital(env: NodeJS.ProcessEnv): Promise<ChildProcess> {
  return new Promise((resolve, reject) => {
    // A process of its own, as a hospital is: it cannot slow the service's event loop down.
    const child = fork(sandboxMain, { env, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    child.once('error', reject);
    child.once('exit', () =>
      reject(
        new WetreadError(
          'config.invalid',
          `the demo hospital did not start; WETREAD_SANDBOX_PORT: is ${env['WETREAD_SANDBOX_URL']} free?`,
        ),
      ),
    );
    child.once('message', () => resolve(child));
  });
}

function stopHospital(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill('SIGTERM');
    setTimeout(() => child.kill('SIGKILL'), 3_000).unref();
  });
}

function announce(
  io: Io,
  json: boolean,
  service: string,
  env: { WETREAD_SANDBOX_URL: string },
  milliseconds: number,
): void {
  const hospital = env.WETREAD_SANDBOX_URL;
  if (json) {
    io.stdout.write(`${JSON.stringify({ ready: true, hospital, service, milliseconds: Math.round(milliseconds) })}\n`);
    return;
  }
  io.stdout.write(`
Wetread is ready (${(milliseconds / 1000).toFixed(1)} s)

  Demo hospital   ${hospital}/
  Service         ${service}/cds-services

Open the demo hospital. Maria Lindqvist has an earlier film and one of today, Hannelore Brandt fell: their films
are being read. Of anybody else: sign an order for a lumbar film, and let the film arrive.
Films can be sent here as well: npm run wetread -- send --help
Ctrl+C stops everything.
`);
}
