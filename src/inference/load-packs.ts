/** The models folder is the registry: every pack in it is checked before the service starts. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { WetreadError } from '../domain/errors.ts';
import type { PackIdentity } from '../domain/finding.ts';
import type { Logger } from '../domain/log.ts';
import type { PackSummary } from '../domain/ports.ts';
import type { Weights } from '../kit/network-manifest.ts';
import { borrowedIn, fieldNames, isShort, parseManifest, type Lend, type PackManifest } from '../kit/pack-manifest.ts';

export type LoadedPack = {
  readonly identity: PackIdentity;
  readonly summary: PackSummary;
  readonly manifest: PackManifest;
  readonly folder: string;
  /** By the network's name. */
  readonly weightsFiles: Readonly<Record<string, string>>;
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
  const manifest = await readManifest(folder);
  if (manifest.name !== name) {
    throw new WetreadError(
      'model.pack-invalid',
      `${manifestFile}: name: is "${manifest.name}", the folder is "${name}"`,
    );
  }
  const weightsFiles: Record<string, string> = {};
  const fields = fieldNames(isShort(manifest));
  for (const [network, { weights }] of Object.entries(manifest.networks))
    weightsFiles[network] = await verifiedWeights(
      weightsFolder(folder, weights),
      weights,
      `${manifestFile}: ${fields.weights(network).join('.')}`,
    );
  for (const [file, { sha256 }] of Object.entries(manifest.files)) {
    const found = await sha256Of(join(folder, file)).catch(unreadable(join(folder, file)));
    if (found !== sha256)
      throw new WetreadError('model.pack-invalid', `${manifestFile}: files.${file}.sha256: the file has ${found}`);
  }
  const postprocessFile = join(folder, 'postprocess.ts');
  await verifyPostprocess(postprocessFile, manifest);
  const identity = {
    name: manifest.name,
    version: manifest.version,
    title: manifest.title,
    sha256: sha256OfPack(manifest),
  };
  return { identity, summary: summaryOf(identity, manifest), manifest, folder, weightsFiles, postprocessFile };
}

function summaryOf(identity: PackIdentity, manifest: PackManifest): PackSummary {
  const { spacing: _, ...rule } = manifest.selection;
  return {
    ...identity,
    ...rule,
    intendedUse: manifest.intendedUse,
    trainedOn: manifest.trainedOn,
    limitations: [...manifest.contraindications, ...manifest.limitations],
    licence: { weights: manifest.licence.weights, data: manifest.licence.data },
    demonstration: manifest.demonstration,
  };
}

const unreadable = (file: string) => (cause: unknown) => {
  throw new WetreadError('model.pack-invalid', `${file}: cannot be read`, { cause });
};
const readText = (file: string): Promise<string> => readFile(file, 'utf8').catch(unreadable(file));

/**
 * The manifest in a folder, with what it borrows from the packs beside it. `sealing`: hashes are about to be written, so
 * those that stand there are not compared.
 */
export async function readManifest(folder: string, sealing = false): Promise<PackManifest> {
  const file = join(folder, 'manifest.json');
  const text = await readText(file);
  const asked = isJson(text) ? Object.entries(borrowedIn(JSON.parse(text), file)) : [];
  const lenders = new Map<string, PackManifest>();
  for (const [name, { pack }] of asked)
    lenders.set(pack, await lenderOf(folder, pack, `${file}: networks.${name}.from`));
  const lend: Lend = ({ pack, network, sha256 }, field) => {
    const { networks, version } = lenders.get(pack)!;
    const names = Object.keys(networks);
    const name = network ?? (names.length === 1 ? names[0] : undefined);
    const lent = name === undefined ? undefined : networks[name];
    if (lent === undefined)
      throw new WetreadError('model.pack-invalid', `${field}.network: ${pack} has ${names.join(', ')}`);
    if (!sealing && lent.weights.sha256 !== sha256) {
      const next = `measure this pack with it, then "wetread models seal" writes the new hash`;
      const detail = `${field}.sha256: ${pack} ${version} has other weights, ${lent.weights.sha256}: ${next}`;
      throw new WetreadError('model.pack-invalid', detail);
    }
    return lent;
  };
  return parseManifest(text, file, lend);
}

async function lenderOf(folder: string, pack: string, field: string): Promise<PackManifest> {
  const file = join(dirname(folder), pack, 'manifest.json');
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    const detail = `${field}.pack: there is no ${pack} beside this pack; it needs that one's network`;
    throw new WetreadError('model.pack-invalid', detail, { cause });
  });
  // A lender that borrows is refused by parseManifest: chains of packs would hide whose network it is.
  return parseManifest(text, file);
}

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};

/** Where a network's file lies: with the pack, or with the one it is borrowed from. */
export const weightsFolder = (folder: string, { pack }: Pick<Weights, 'pack'>): string =>
  pack === undefined ? folder : join(dirname(folder), pack);

export async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** Of a pack with several networks, or files besides: of all their hashes, so that changing any one of them makes it another model. */
export function sha256OfPack({ networks, files }: Pick<PackManifest, 'networks' | 'files'>): string {
  const hashes = [
    ...Object.entries(networks).map(([name, { weights }]) => `${name} ${weights.sha256}`),
    ...Object.entries(files).map(([name, { sha256 }]) => `${name} ${sha256}`),
  ];
  if (hashes.length === 1) return Object.values(networks)[0]!.weights.sha256;
  return createHash('sha256').update(hashes.toSorted().join('\n')).digest('hex');
}

/** Beside the packs; fetched weights are kept there by their hash, for every pack and version that names them. */
export const fetchedWeights = (packFolder: string, sha256: string): string =>
  join(dirname(packFolder), '.weights', `${sha256}.onnx`);

async function verifiedWeights(folder: string, declared: Weights, field: string): Promise<string> {
  const own = join(folder, declared.file);
  const fetched = fetchedWeights(folder, declared.sha256);
  const file = declared.url !== undefined && !(await isThere(own)) ? fetched : own;
  const found = await stat(file).catch((cause: unknown) => {
    const says =
      declared.url === undefined
        ? `${file} cannot be read`
        : `${declared.file} is not here yet; "wetread models add ${folder}" fetches it`;
    throw new WetreadError('model.pack-invalid', `${field}.file: ${says}`, { cause });
  });
  if (found.size !== declared.bytes) {
    const detail = `${field}.bytes: says ${declared.bytes}, ${declared.file} has ${found.size}`;
    throw new WetreadError('model.pack-invalid', detail);
  }
  const sha256 = await sha256Of(file);
  if (sha256 !== declared.sha256)
    throw new WetreadError('model.pack-invalid', `${field}.sha256: ${declared.file} has ${sha256}`);
  return file;
}

const isThere = (file: string): Promise<boolean> =>
  stat(file).then(
    () => true,
    () => false,
  );

async function verifyPostprocess(file: string, { networks }: PackManifest): Promise<void> {
  let module: { readonly default?: { readonly postprocess?: unknown; readonly read?: unknown } };
  try {
    module = (await import(pathToFileURL(file).href)) as typeof module;
  } catch (cause) {
    throw new WetreadError('model.pack-invalid', `${file}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
  const isChain = typeof module.default?.read === 'function';
  if (!isChain && typeof module.default?.postprocess !== 'function') {
    throw new WetreadError(
      'model.pack-invalid',
      `${file}: default export: must be definePack(manifest, { postprocess }) or defineChain(manifest, { read })`,
    );
  }
  const count = Object.keys(networks).length;
  if (!isChain && count > 1) {
    const detail = `${file}: default export: ${count} networks need defineChain(manifest, { read }), which says what runs when`;
    throw new WetreadError('model.pack-invalid', detail);
  }
}
