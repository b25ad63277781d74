/** `wetread models export --triton <folder>`: the packs' networks as a model repository for an inference server. */
import { fileURLToPath } from 'node:url';
import { join, resolve } from 'node:path';
import { readConfig } from '../config.ts';
import { exportToTriton, tritonBackends, type ExportedModel, type TritonBackend } from '../inference/export-triton.ts';
import { loadPack, packFolders } from '../inference/load-packs.ts';
import { served } from '../inference/model-runner.ts';
import { networksOf } from '../inference/served-networks.ts';
import { readArgs, UsageError, type ExitCode, type Io } from './command.ts';

export async function exportModels(args: string[], io: Io): Promise<ExitCode> {
  const { values, positionals } = readArgs(
    args,
    {
      triton: { type: 'string' },
      backend: { type: 'string' },
      threads: { type: 'string' },
      'queue-delay-ms': { type: 'string' },
      json: { type: 'boolean' },
    },
    true,
  );
  if (values.triton === undefined || values.triton === '') throw new UsageError('say where: --triton <folder>');
  const repository = resolve(values.triton);
  const threads = positive('--threads', values.threads);
  const options = {
    backend: backendOf(values.backend),
    queueDelayMs: positive('--queue-delay-ms', values['queue-delay-ms']) ?? 2,
    ...(threads !== undefined && { threads }),
  };
  const folder = readConfig(io.env).WETREAD_MODELS_DIR ?? fileURLToPath(new URL('../../models', import.meta.url));
  const there = await packFolders(folder);
  const unknown = positionals.filter((name) => !there.includes(name));
  if (unknown.length > 0) throw new UsageError(`there is no pack ${unknown.join(', ')} in ${folder}`);
  const exported: ExportedModel[] = [];
  for (const name of positionals.length > 0 ? positionals : there) {
    const pack = await loadPack(join(folder, name), name);
    for (const spec of networksOf(served(pack))) exported.push(await exportToTriton(spec, repository, options));
  }
  io.stdout.write(
    values.json ? `${JSON.stringify({ repository, models: exported })}\n` : `${said(repository, exported)}\n`,
  );
  return 0;
}

function said(repository: string, exported: readonly ExportedModel[]): string {
  const models = exported.map(
    ({ name, version, files }) => `${name} (version ${version})\n${files.map((file) => `  ${file}`).join('\n')}`,
  );
  return `${repository}\n\n${models.join('\n')}\n\nNext: tritonserver --model-repository=${repository}, and WETREAD_INFERENCE_SERVER=grpc://HOST:8001 or http://HOST:8000`;
}

function backendOf(text: string | undefined): TritonBackend {
  const backend = tritonBackends.find((one) => one === (text ?? 'onnxruntime'));
  if (backend === undefined) throw new UsageError(`--backend is ${tritonBackends.join(' or ')}`);
  return backend;
}

function positive(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1) throw new UsageError(`${option} is a whole number from 1`);
  return number;
}
