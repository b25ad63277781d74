/** The port the pipeline runs models through: prepares the picture here, runs the net in a model process. */
import { asWetreadError, WetreadError, type ErrorCode } from '../domain/errors.ts';
import type { PackIdentity } from '../domain/finding.ts';
import type { GreyImage } from '../domain/image.ts';
import type { Logger } from '../domain/log.ts';
import type { ModelRunner } from '../domain/ports.ts';
import type { LoadedPack } from './load-packs.ts';
import { join } from 'node:path';
import { packJob } from './pack-job.ts';
import { processPool, providerName, type PoolOptions, type PoolStatus } from './process-pool.ts';
import type { ServedPack } from './process-messages.ts';

export type ModelRunnerOptions = Omit<PoolOptions, 'packs' | 'logger'> & {
  readonly packs: readonly LoadedPack[];
  readonly logger: Logger;
  readonly metrics?: RunMetrics;
};

export interface RunMetrics {
  modelRun(run: {
    readonly pack: string;
    readonly executionProvider: string;
    readonly outcome: 'ok' | ErrorCode;
    readonly totalMs: number;
    readonly netMs?: number;
  }): void;
}

export type ManagedModelRunner = ModelRunner & {
  /** Several pictures for a pack that reads a series as a whole. */
  run(
    pack: PackIdentity,
    image: GreyImage | readonly GreyImage[],
    signal?: AbortSignal,
  ): ReturnType<ModelRunner['run']>;
  /** Settles when every process has opened and tried every pack; rejects with `model.*`. */
  ready(): Promise<void>;
  status(): PoolStatus;
  close(): Promise<void>;
};

export function modelRunner({ packs, metrics, ...pooled }: ModelRunnerOptions): ManagedModelRunner {
  const pool = processPool({ ...pooled, packs: packs.map(served) });
  const byName = new Map(packs.map((pack) => [pack.identity.name, pack]));
  const executionProvider = providerName(pooled);

  return {
    packs: packs.map(({ summary }) => summary),
    async run({ name, version }, image, signal) {
      const started = performance.now();
      const observe = (outcome: 'ok' | ErrorCode, netMs?: number): void =>
        metrics?.modelRun({
          pack: name,
          executionProvider,
          outcome,
          totalMs: performance.now() - started,
          ...(netMs !== undefined && { netMs }),
        });
      try {
        const pack = byName.get(name);
        if (pack?.identity.version !== version)
          throw new WetreadError('model.run-failed', `there is no pack ${name} ${version}`);
        signal?.throwIfAborted();
        const job = await packJob(pack.manifest, Array.isArray(image) ? image : [image as GreyImage]);
        const { netMs, ...answer } = await pool.run(job, signal);
        observe('ok', netMs);
        return { ...answer, executionProvider, runMs: performance.now() - started };
      } catch (thrown) {
        // An abort is the caller's own word, not a fault of the model.
        if (signal?.aborted !== true) observe(asWetreadError(thrown).code);
        throw thrown;
      }
    },
    ready: () => pool.ready(),
    status: () => pool.status(),
    close: () => pool.close(),
  };
}

export const served = ({ manifest, folder, weightsFiles, postprocessFile }: LoadedPack): ServedPack => ({
  manifest,
  manifestFile: join(folder, 'manifest.json'),
  weightsFiles,
  postprocessFile,
});
