/** A real Orthanc with its DICOMweb plugin, on loopback, in a temporary folder. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from './free-port.ts';

const program = ['/usr/sbin/Orthanc', '/usr/bin/Orthanc'].find((path) => existsSync(path));
const plugin = ['/usr/share/orthanc/plugins/libOrthancDicomWeb.so', '/usr/lib/orthanc/libOrthancDicomWeb.so'].find(
  (path) => existsSync(path),
);

export const orthancInstalled = program !== undefined && plugin !== undefined;

export async function startOrthanc(
  files: readonly Uint8Array[],
  options: {
    /** Whoever asks must know this name and password. */
    readonly user?: { readonly name: string; readonly password: string };
  } = {},
): Promise<{ readonly baseUrl: string; stop(): Promise<void> }> {
  if (program === undefined || plugin === undefined)
    throw new Error('Orthanc is not installed: apt-get install orthanc orthanc-dicomweb');
  const folder = await mkdtemp(join(tmpdir(), 'wetread-orthanc-'));
  const port = await freePort();
  const configuration = join(folder, 'orthanc.json');
  await writeFile(
    configuration,
    JSON.stringify({
      StorageDirectory: folder,
      IndexDirectory: folder,
      Plugins: [plugin],
      HttpPort: port,
      // It listens on all addresses whatever this says; the temporary folder holds phantoms only.
      RemoteAccessAllowed: false,
      AuthenticationEnabled: options.user !== undefined,
      ...(options.user !== undefined && { RegisteredUsers: { [options.user.name]: options.user.password } }),
      DicomServerEnabled: false,
      DicomWeb: { Enable: true, Root: '/dicom-web/' },
    }),
  );
  const child = spawn(program, [configuration], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (text: Buffer) => (said = (said + text.toString()).slice(-4000)));
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const stop = async () => {
    child.kill('SIGTERM');
    await Promise.race([ended, pause(5000).then(() => child.kill('SIGKILL'))]);
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  const origin = `http://127.0.0.1:${port}`;
  const { user } = options;
  const headers: Record<string, string> =
    user === undefined
      ? {}
      : { authorization: `Basic ${Buffer.from(`${user.name}:${user.password}`).toString('base64')}` };
  try {
    await answers(`${origin}/system`, headers, () => child.exitCode !== null);
    for (const file of files) {
      const stored = await fetch(`${origin}/instances`, { method: 'POST', headers, body: file.slice() });
      if (!stored.ok) throw new Error(`Orthanc refused a fixture: ${stored.status} ${await stored.text()}`);
    }
  } catch (error) {
    await stop();
    throw new Error(`Orthanc did not start: ${said}`, { cause: error });
  }
  return { baseUrl: `${origin}/dicom-web`, stop };
}

async function answers(url: string, headers: Record<string, string>, gone: () => boolean): Promise<void> {
  for (let attempt = 0; attempt < 600 && !gone(); attempt++) {
    const ok = await fetch(url, { headers }).then(
      (response) => response.ok,
      () => false,
    );
    if (ok) return;
    await pause(100);
  }
  throw new Error('no answer');
}
