/** The picture of `wetread models explain`, read from its file, with what the service would say of choosing it. */
import { basename, join } from 'node:path';
import type { Config } from '../../config.ts';
import { decoderPool } from '../../dicom/decoder-pool.ts';
import { silentLogger } from '../../domain/log.ts';
import { loadPack, packFolders } from '../../inference/load-packs.ts';
import { UsageError, type Io } from '../command.ts';
import { picturesOf, saidOf } from '../infer/inputs.ts';
import { leftBecause } from '../infer/reading.ts';

export async function explainFile({
  folder,
  name,
  file,
  said,
  config,
  io,
}: {
  readonly folder: string;
  readonly name: string;
  readonly file: string;
  readonly said: Parameters<typeof saidOf>[0] & { readonly out?: string | undefined };
  readonly config: Config;
  readonly io: Io;
}): Promise<number> {
  if (!(await packFolders(folder)).includes(name)) throw new UsageError(`there is no pack ${name} in ${folder}`);
  const pack = await loadPack(join(folder, name), name);
  const maxBytes = config.WETREAD_MAX_INSTANCE_MB * 1024 * 1024;
  const decoder = decoderPool({ threads: 1, maxInstanceBytes: maxBytes, logger: silentLogger });
  try {
    const [image] = await picturesOf(file, saidOf(said), { decoder, maxBytes });
    const left = leftBecause(pack.summary, image!, image!.sopClassUid === '');
    const { explainPack } = await import('./explain.ts');
    return await explainPack({
      pack,
      image: image!,
      verdict: left === undefined ? 'would be read' : `would not be read: ${left}`,
      folder: said.out ?? `${basename(file)}.explained`,
      threads: config.WETREAD_INFERENCE_THREADS,
      tell: (line) => void io.stdout.write(`${line}\n`),
    });
  } finally {
    await decoder.close();
  }
}
