/** `wetread models`: which packs there are, whether they work here, and the beginnings of a new one. */
import { join } from 'node:path';
import { modelsFolder, theModels } from '../adapters.ts';
import { readConfig, type Config } from '../config.ts';
import { asWetreadError } from '../domain/errors.ts';
import { silentLogger } from '../domain/log.ts';
import { loadPack, packFolders, type LoadedPack } from '../inference/load-packs.ts';
import { memoryShortage } from '../inference/memory-hint.ts';
import { readArgs, UsageError, type Command } from './command.ts';
import { exportModels } from './models-export.ts';
import { sealPack, writeNewPack } from './new-pack.ts';

export const command: Command = {
  name: 'models',
  summary: 'list, verify, add and explain model packs, and begin a new one',
  usage: `
Usage: wetread models list
       wetread models verify [<name>…]
       wetread models add <folder or https address of a .tar.gz> [--sha256 <hash>]
       wetread models new <name> [--onnx <file>]
       wetread models seal <name>
       wetread models card <name> [--evaluation <report.json>] [--write]
       wetread models explain <name> <picture> [--out <folder>] [--modality, --view, --spacing as for infer]
       wetread models export --triton <folder> [<name>…]

  list     packs with version, what they read, and their weights' hash
  verify   load each pack, open its model on the configured execution provider and run it once
  add      copy a pack to the others, fetch the weights it names by address and check their hashes; its code will run here
  new      a folder that compiles and explains itself; --onnx copies the weights and reads tensors and sizes from them
  seal     write size and sha256 of the pack's weights into its manifest, after the weights have changed
  card     the facts of a model card, from the manifest and an evaluation; --write puts them into MODEL_CARD.md
  explain  what the pack does with one picture: selection, each step as a picture, tensors, findings
  export   write the packs' networks as a model repository for Triton, with dynamic batching:
           --backend onnxruntime (default) or python, --threads of each instance, --queue-delay-ms (2)
  --json   the same as JSON

Packs are looked for in WETREAD_MODELS_DIR, or in the models that come with Wetread.
Exits 1 when a pack is broken.

Examples:
  npm run wetread -- models list
  npm run wetread -- models verify lumbar-landmarks
  npm run wetread -- models explain lumbar-landmarks sandbox/films/normal.dcm --out explained`,
  async run(args, io) {
    if (args[0] === 'export') return exportModels(args.slice(1), io);
    const { values, positionals } = readArgs(
      args,
      {
        json: { type: 'boolean' },
        onnx: { type: 'string' },
        sha256: { type: 'string' },
        evaluation: { type: 'string' },
        write: { type: 'boolean' },
        out: { type: 'string' },
        modality: { type: 'string' },
        view: { type: 'string' },
        region: { type: 'string' },
        spacing: { type: 'string' },
      },
      true,
    );
    const config = readConfig(io.env);
    const folder = modelsFolder(config);
    const [action, ...names] = positionals;
    const print = (result: unknown, text: string): void =>
      void io.stdout.write(`${values.json ? JSON.stringify(result) : text}\n`);
    for (const [option, of] of Object.entries(optionsOf))
      if (values[option as keyof typeof values] !== undefined && action !== of)
        throw new UsageError(`--${option} goes with "${of}"`);
    switch (action) {
      case 'list':
        if (names.length > 0) throw new UsageError('"list" takes no names');
        return list(folder, config, print);
      case 'verify':
        return verify(folder, names, config, print);
      case 'new': {
        const made = await writeNewPack(folder, onlyName(names), values.onnx);
        print(made, `${made.folder}\n${made.files.map((file) => `  ${file}`).join('\n')}\n\nNext: ${made.next}`);
        return 0;
      }
      case 'seal': {
        const sealed = await sealPack(folder, onlyName(names));
        print(sealed, sealed.map(({ file, bytes, sha256 }) => `${file}: ${bytes} bytes, sha256 ${sha256}`).join('\n'));
        return 0;
      }
      case 'add': {
        const [source] = names;
        if (source === undefined || names.length > 1) throw new UsageError('name one folder or address');
        const tell = (line: string): void => void io.stderr.write(`${line}\n`);
        const { addPack } = await import('./models/add.ts');
        const { identity, folder: added } = await addPack(folder, source, {
          tell,
          ...(values.sha256 !== undefined && { sha256: values.sha256 }),
        });
        const next = `Next: wetread models verify ${identity.name}. Its code will run in the model processes.`;
        print({ ...identity, folder: added }, `${identity.name} ${identity.version} is in ${added}\n${next}`);
        return 0;
      }
      case 'card': {
        const pack = await loadPack(join(folder, onlyName(names)), onlyName(names));
        const { cardFacts, writeCard } = await import('./models/card.ts');
        const facts = await cardFacts(pack, values.evaluation);
        if (values.write !== true) print({ facts }, facts);
        else print({ file: await writeCard(pack, facts) }, `${join(pack.folder, 'MODEL_CARD.md')}: facts written`);
        return 0;
      }
      case 'explain': {
        const [name, file] = names;
        if (name === undefined || file === undefined || names.length > 2)
          throw new UsageError('name a pack and one picture');
        const { explainFile } = await import('./models/explain-file.ts');
        return explainFile({ folder, name: onlyName([name]), file, said: values, config, io });
      }
      default:
        throw new UsageError('say "list", "verify", "add", "new", "seal", "card", "explain" or "export"');
    }
  },
};

/** Options that mean something to one action only. */
const optionsOf = {
  onnx: 'new',
  sha256: 'add',
  evaluation: 'card',
  write: 'card',
  out: 'explain',
  modality: 'explain',
  view: 'explain',
  region: 'explain',
  spacing: 'explain',
};

type Print = (result: unknown, text: string) => void;

function onlyName(names: readonly string[]): string {
  const [name] = names;
  if (name === undefined || names.length > 1) throw new UsageError('name one pack');
  if (!/^[a-z][a-z0-9-]{1,62}$/.test(name))
    throw new UsageError(`"${name}": a pack's name is lower case letters, digits and hyphens`);
  return name;
}

async function list(folder: string, { WETREAD_MODEL_MEMORY_MB: memoryMb }: Config, print: Print): Promise<number> {
  const results = await Promise.all((await packFolders(folder)).map((name) => loaded(folder, name)));
  print(
    results.map(({ name, pack, fault }) => (pack === undefined ? { name, fault } : pack.summary)),
    results.map((one) => listed(one, memoryMb)).join('\n') || `no packs in ${folder}`,
  );
  return results.every(({ fault }) => fault === undefined) ? 0 : 1;
}

type Loaded = { readonly name: string; readonly pack?: LoadedPack; readonly fault?: string };

async function loaded(folder: string, name: string): Promise<Loaded> {
  try {
    return { name, pack: await loadPack(join(folder, name), name) };
  } catch (thrown) {
    return { name, fault: asWetreadError(thrown).message };
  }
}

function listed({ name, pack, fault }: Loaded, memoryMb: number): string {
  if (pack === undefined) return `${name}  BROKEN: ${fault}`;
  const { summary, manifest } = pack;
  const reads = `${summary.modalities.join('/')} · ${summary.regions.join(', ')} · ${summary.views.join(', ')}`;
  const notice = summary.demonstration ? '  demonstration model\n' : '';
  const networks = Object.entries(manifest.networks).map(([network, { weights }]) =>
    weights.pack === undefined
      ? `${network} ${(weights.bytes / 1e6).toFixed(1)} MB`
      : `${network} from ${weights.pack} (${weights.sha256.slice(0, 12)})`,
  );
  const shortage = memoryShortage(manifest, memoryMb);
  const memory =
    shortage === undefined
      ? ''
      : `  NEEDS ${shortage.wantsMb} MB of memory in its model process, which may have ${shortage.hasMb} MB here\n`;
  const chain = networks.length > 1 ? `  networks ${networks.join(', ')}\n` : '';
  return `${name} ${summary.version}  ${summary.title}\n  reads ${reads}\n  ${manifest.trainedOn}\n${notice}${memory}${chain}  sha256 ${summary.sha256}`;
}

type Verified = { readonly name: string; readonly ok: boolean; readonly says: string };

async function verify(folder: string, names: readonly string[], config: Config, print: Print): Promise<number> {
  const there = await packFolders(folder);
  const unknown = names.filter((name) => !there.includes(name));
  if (unknown.length > 0) throw new UsageError(`there is no pack ${unknown.join(', ')} in ${folder}`);
  const results: Verified[] = [];
  // One after the other: two models trying their first run at once would slow each other down.
  for (const name of names.length > 0 ? names : there) results.push(await verifyOne(folder, name, config));
  print(
    results,
    results.map(({ name, ok, says }) => `${ok ? 'ok    ' : 'FAULT '} ${name}  ${says}`).join('\n') ||
      `no packs in ${folder}`,
  );
  return results.every(({ ok }) => ok) ? 0 : 1;
}

async function verifyOne(folder: string, name: string, config: Config): Promise<Verified> {
  const { pack, fault } = await loaded(folder, name);
  if (pack === undefined) return { name, ok: false, says: fault ?? '' };
  const runner = theModels({ ...config, WETREAD_INFERENCE_PROCESSES: 1 }, silentLogger, [pack]);
  try {
    await runner.ready();
    const { probeMs, provider } = runner.status();
    const ms = probeMs[name] ?? 0;
    return { name, ok: true, says: `${pack.identity.version}, first run ${ms.toFixed(0)} ms on ${provider}` };
  } catch (thrown) {
    return { name, ok: false, says: asWetreadError(thrown).message };
  } finally {
    await runner.close();
  }
}
