/** The port the pipeline runs models through: prepares the picture here, runs the net in a model process. */
import { asWetreadError, WetreadError, type ErrorCode } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';
import type { ModelRunner } from '../domain/ports.ts';
import type { LoadedPack } from './load-packs.ts';
import { join } from 'node:path';
import { prepare } from './preprocess.ts';
import { processPool, type PoolOptions, type PoolStatus } from './process-pool.ts';
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
  /** Settles when every process has opened and tried every pack; rejects with `model.*`. */
  ready(): Promise<void>;
  status(): PoolStatus;
  close(): Promise<void>;
};

export function modelRunner({ packs, metrics, ...pooled }: ModelRunnerOptions): ManagedModelRunner {
  const pool = processPool({ ...pooled, packs: packs.map(served) });
  const byName = new Map(packs.map((pack) => [pack.identity.name, pack]));
  const executionProvider = pooled.provider;

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
        verifyPicture(image, pack);
        const { canvas, placement, mean, standardDeviation, bothFacings } = await prepare(
          image,
          pack.manifest.input.preprocess,
        );
        const { spacing, tags, sopUid, frame } = image;
        const job = {
          pack: name,
          canvas,
          bothFacings,
          placement,
          mean,
          standardDeviation,
          ...(spacing && { spacing }),
          tags,
          sopUid,
          frame,
        };
        const { findings, netMs } = await pool.run(job, signal);
        observe('ok', netMs);
        return { findings, executionProvider, runMs: performance.now() - started };
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

const served = ({ manifest, folder, weightsFile, postprocessFile }: LoadedPack): ServedPack => ({
  manifest,
  manifestFile: join(folder, 'manifest.json'),
  weightsFile,
  postprocessFile,
});

/** What no net should be asked: the sizes do not fit, or the pack cannot measure without a pixel size. */
function verifyPicture(image: Parameters<ModelRunner['run']>[1], { manifest }: LoadedPack): void {
  const { rows, columns, intensities, spacing } = image;
  if (rows < 1 || columns < 1 || intensities.length !== rows * columns) {
    throw new WetreadError('model.run-failed', `${intensities.length} values for ${rows} x ${columns} pixels`);
  }
  if (manifest.selection.spacing === 'required' && spacing === undefined) {
    throw new WetreadError('model.run-failed', 'the picture has no pixel size, and this model needs one');
  }
}
