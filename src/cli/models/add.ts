/** `wetread models add`: brings a pack from a folder or an archive to the others, and the weights it names by address. */
import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { WetreadError } from '../../domain/errors.ts';
import {
  fetchedWeights,
  loadPack,
  readManifest,
  sha256Of,
  weightsFolder,
  type LoadedPack,
} from '../../inference/load-packs.ts';
import { parseManifest, type PackManifest } from '../../kit/model-pack.ts';
import { UsageError } from '../command.ts';
import { unpack } from './tar.ts';

const kit = fileURLToPath(new URL('../../kit', import.meta.url));
/** An archive of a pack; weights by address are not part of it. */
const mostArchiveBytes = 1024 ** 3;

type Weights = PackManifest['networks'][string]['weights'];
export type Adding = { readonly sha256?: string; readonly tell: (line: string) => void };

/** Throws `model.pack-invalid`; nothing is left behind then. */
export async function addPack(models: string, source: string, { sha256, tell }: Adding): Promise<LoadedPack> {
  if (/^https?:/.test(source)) {
    const unpacked = await mkdtemp(join(models, '.adding-'));
    try {
      await fetchArchive(source, unpacked, sha256, tell);
      return await addFolder(models, await packInside(unpacked), tell);
    } finally {
      await rm(unpacked, { recursive: true, force: true });
    }
  }
  if (sha256 !== undefined) throw new UsageError('--sha256 goes with an address');
  const folder = resolve(source);
  if (!(await isThere(folder))) throw new UsageError(`there is no folder ${source}`);
  // One of ours already: only its weights are missing.
  if (dirname(folder) === resolve(models)) return complete(folder, tell);
  return addFolder(models, folder, tell);
}

async function addFolder(models: string, folder: string, tell: Adding['tell']): Promise<LoadedPack> {
  const name = await nameIn(folder);
  const target = join(models, name);
  if (await isThere(target)) throw new WetreadError('model.pack-invalid', `${target}: is there already`);
  const made = await mkdtemp(join(models, '.adding-'));
  try {
    await copyPack(folder, made);
    await rename(made, target);
  } finally {
    await rm(made, { recursive: true, force: true });
  }
  try {
    return await complete(target, tell);
  } catch (thrown) {
    await rm(target, { recursive: true, force: true });
    throw thrown;
  }
}

/** Fetches the weights that are not there, then loads the pack as the service would. */
async function complete(folder: string, tell: Adding['tell']): Promise<LoadedPack> {
  const { networks } = await readManifest(folder);
  for (const { weights } of Object.values(networks)) {
    if (weights.url === undefined || (await isThere(join(weightsFolder(folder, weights), weights.file)))) continue;
    const target = fetchedWeights(folder, weights.sha256);
    if (await isThere(target)) continue;
    tell(`fetching ${weights.file}, ${(weights.bytes / 1e6).toFixed(1)} MB, from ${new URL(weights.url).host}`);
    await fetchWeights(weights, weights.url, target);
  }
  return loadPack(folder, basename(folder));
}

async function copyPack(from: string, to: string): Promise<void> {
  for (const entry of await readdir(from, { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name);
    const place = relative(from, file);
    if (place.split(/[\\/]/).some((part) => part.startsWith('.') || part === 'node_modules')) continue;
    if (entry.isSymbolicLink())
      throw new WetreadError('model.pack-invalid', `${file}: is a link; a pack holds its own files`);
    if (!entry.isFile()) continue;
    await mkdir(dirname(join(to, place)), { recursive: true });
    if (file.endsWith('.ts'))
      await writeFile(join(to, place), withKitFrom(await readFile(file, 'utf8'), dirname(join(to, place))));
    else await cp(file, join(to, place));
  }
}

/** A pack's code imports the kit by a path; here it lies elsewhere than where the pack was written. */
function withKitFrom(code: string, folder: string): string {
  const path = relative(folder, kit).replaceAll('\\', '/');
  return code.replaceAll(/(from\s+['"])(?:\.\.\/)+src\/kit\//g, `$1${path}/`);
}

/** The rest of the manifest is read where the pack will lie: what it borrows is there. */
async function nameIn(folder: string): Promise<string> {
  const file = join(folder, 'manifest.json');
  const json = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new WetreadError('model.pack-invalid', `${file}: cannot be read`, { cause });
  });
  const name = nameOf(json);
  return name !== undefined && /^[a-z][a-z0-9-]{1,62}$/.test(name) ? name : parseManifest(json, file).name;
}

function nameOf(json: string): string | undefined {
  try {
    const { name } = JSON.parse(json) as { readonly name?: unknown };
    return typeof name === 'string' ? name : undefined;
  } catch {
    return undefined;
  }
}

/** Archives hold the files themselves or one folder with them. */
async function packInside(folder: string): Promise<string> {
  if (await isThere(join(folder, 'manifest.json'))) return folder;
  const inside = (await readdir(folder, { withFileTypes: true })).filter((entry) => entry.isDirectory());
  const [only] = inside;
  if (inside.length === 1 && (await isThere(join(folder, only!.name, 'manifest.json'))))
    return join(folder, only!.name);
  throw new WetreadError('model.pack-invalid', 'the archive holds no manifest.json');
}

async function fetchArchive(
  address: string,
  into: string,
  sha256: string | undefined,
  tell: Adding['tell'],
): Promise<void> {
  if (sha256 === undefined && !address.startsWith('https:'))
    throw new UsageError('an address without TLS needs --sha256: a pack is code that will run here');
  const response = await answerOf(address, sha256 === undefined ? { onlyTls: true } : {});
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of response) {
    parts.push(part);
    size += part.length;
    if (size > mostArchiveBytes) throw new WetreadError('model.pack-invalid', `${address}: is larger than 1 GB`);
  }
  const archive = Buffer.concat(parts);
  const found = createHash('sha256').update(archive).digest('hex');
  if (sha256 !== undefined && found !== sha256.toLowerCase())
    throw new WetreadError('model.pack-invalid', `${address}: has sha256 ${found}, --sha256 says ${sha256}`);
  tell(`fetched ${(size / 1e6).toFixed(1)} MB, sha256 ${found}`);
  await unpack(archive, into, 4 * mostArchiveBytes);
}

/** Written beside its place and renamed when it is whole: an interrupted download never looks like weights. */
async function fetchWeights({ sha256, bytes, file }: Weights, url: string, target: string): Promise<void> {
  await mkdir(dirname(target), { recursive: true });
  const unfinished = `${target}.${process.pid}.part`;
  try {
    const response = await answerOf(url);
    let size = 0;
    async function* limited(): AsyncGenerator<Uint8Array> {
      for await (const part of response) {
        size += part.length;
        if (size > bytes)
          throw new WetreadError('model.pack-invalid', `${file}: more than the ${bytes} bytes the manifest names came`);
        yield part;
      }
    }
    await pipeline(Readable.from(limited()), createWriteStream(unfinished));
    if (size !== bytes) throw new WetreadError('model.pack-invalid', `${file}: ${size} of ${bytes} bytes came`);
    const found = await sha256Of(unfinished);
    if (found !== sha256)
      throw new WetreadError(
        'model.pack-invalid',
        `${file}: what came has sha256 ${found}, the manifest names ${sha256}`,
      );
    await rename(unfinished, target);
  } finally {
    await rm(unfinished, { force: true });
  }
}

/** With `onlyTls` also where it is sent on to: on the way through a place without TLS anybody could have changed the code. */
async function answerOf(address: string, { onlyTls = false } = {}): Promise<AsyncIterable<Uint8Array>> {
  let response: Response;
  try {
    response = await fetch(address, {
      signal: AbortSignal.timeout(3_600_000),
      redirect: onlyTls ? 'manual' : 'follow',
    });
    for (let moves = 1; isMove(response); moves += 1) {
      const next = new URL(response.headers.get('location')!, response.url);
      await response.body?.cancel();
      if (next.protocol !== 'https:' || moves > mostMoves)
        throw new UsageError(`${address}: sends on to ${next.origin}; without TLS all the way it needs --sha256`);
      response = await fetch(next, { signal: AbortSignal.timeout(3_600_000), redirect: 'manual' });
    }
  } catch (cause) {
    if (cause instanceof UsageError) throw cause;
    const reason = (cause as Error).cause instanceof Error ? ((cause as Error).cause as Error).message : String(cause);
    throw new WetreadError('model.pack-invalid', `${address}: cannot be fetched (${reason})`, { cause });
  }
  if (!response.ok || response.body === null)
    throw new WetreadError('model.pack-invalid', `${address}: answers ${response.status}`);
  return response.body as unknown as AsyncIterable<Uint8Array>;
}

const mostMoves = 10;
const isMove = (response: Response): boolean =>
  [301, 302, 303, 307, 308].includes(response.status) && response.headers.has('location');

const isThere = (file: string): Promise<boolean> =>
  stat(file).then(
    () => true,
    () => false,
  );
