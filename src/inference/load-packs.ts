/** The models folder is the registry: every pack in it is checked before the service starts. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { WetreadError } from '../domain/errors.ts';
import type { PackIdentity } from '../domain/finding.ts';
import type { Logger } from '../domain/log.ts';
import type { PackSummary } from '../domain/ports.ts';
import { parseManifest, type PackManifest } from '../kit/pack-manifest.ts';

export type LoadedPack = {
  readonly identity: PackIdentity;
  readonly summary: PackSummary;
  readonly manifest: PackManifest;
  readonly folder: string;
  readonly weightsFile: string;
  readonly postprocessFile: string;
};

/** Throws `model.pack-invalid` for the first broken pack, naming file and field: a model that is silently missing would look like a study without findings. */
export async function loadPacks(folder: string, logger: Logger): Promise<LoadedPack[]> {
  const packs: LoadedPack[] = [];
  for (const name of await packFolders(folder)) {
    const pack = await loadPack(join(folder, name), name);
    packs.push(pack);
    const { version, sha256 } = pack.identity;
    logger.info('model pack loaded', { pack: name, version, sha256: sha256.slice(0, 12) });
  }
  return packs;
}

export async function packFolders(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
    throw new WetreadError('model.pack-invalid', `${folder}: the folder of model packs cannot be read`, { cause });
  });
  return entries
    .filter((entry) => (entry.isDirectory() || entry.isSymbolicLink()) && !entry.name.startsWith('.'))
    .map(({ name }) => name)
    .sort();
}

export async function loadPack(folder: string, name: string): Promise<LoadedPack> {
  const manifestFile = join(folder, 'manifest.json');
  const manifest = parseManifest(await readText(manifestFile), manifestFile);
  if (manifest.name !== name) {
    throw new WetreadError(
      'model.pack-invalid',
      `${manifestFile}: name: is "${manifest.name}", the folder is "${name}"`,
    );
  }
  const weightsFile = join(folder, manifest.weights.file);
  await verifyWeights(weightsFile, manifest.weights, manifestFile);
  const postprocessFile = join(folder, 'postprocess.ts');
  await verifyPostprocess(postprocessFile);
  const identity = {
    name: manifest.name,
    version: manifest.version,
    title: manifest.title,
    sha256: manifest.weights.sha256,
  };
  return { identity, summary: summaryOf(identity, manifest), manifest, folder, weightsFile, postprocessFile };
}

function summaryOf(identity: PackIdentity, manifest: PackManifest): PackSummary {
  return {
    ...identity,
    modalities: manifest.selection.modalities,
    regions: manifest.selection.regions,
    views: manifest.selection.views,
    intendedUse: manifest.intendedUse,
    trainedOn: manifest.trainedOn,
    limitations: [...manifest.contraindications, ...manifest.limitations],
    demonstration: manifest.demonstration,
  };
}

async function readText(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((cause: unknown) => {
    throw new WetreadError('model.pack-invalid', `${file}: cannot be read`, { cause });
  });
}

export async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

async function verifyWeights(file: string, declared: PackManifest['weights'], manifestFile: string): Promise<void> {
  const found = await stat(file).catch((cause: unknown) => {
    throw new WetreadError('model.pack-invalid', `${manifestFile}: weights.file: ${file} cannot be read`, { cause });
  });
  if (found.size !== declared.bytes) {
    const detail = `${manifestFile}: weights.bytes: says ${declared.bytes}, ${declared.file} has ${found.size}`;
    throw new WetreadError('model.pack-invalid', detail);
  }
  const sha256 = await sha256Of(file);
  if (sha256 !== declared.sha256) {
    throw new WetreadError('model.pack-invalid', `${manifestFile}: weights.sha256: ${declared.file} has ${sha256}`);
  }
}

async function verifyPostprocess(file: string): Promise<void> {
  let module: { readonly default?: { readonly postprocess?: unknown } };
  try {
    module = (await import(pathToFileURL(file).href)) as typeof module;
  } catch (cause) {
    throw new WetreadError('model.pack-invalid', `${file}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
  if (typeof module.default?.postprocess !== 'function') {
    throw new WetreadError(
      'model.pack-invalid',
      `${file}: default export: must be definePack(manifest, { postprocess })`,
    );
  }
}
