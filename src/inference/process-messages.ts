/** What the service and a model process say to each other. */
import type { ErrorCode } from '../domain/errors.ts';
import type { FindingDraft, Landmark } from '../domain/finding.ts';
import type { PackManifest } from '../kit/pack-manifest.ts';
import type { PackJob } from './pack-job.ts';

export const executionProviders = ['cpu', 'cuda', 'webgpu', 'coreml', 'dml'] as const;
export type ExecutionProvider = (typeof executionProviders)[number];

/** What a model process must know of a pack. */
export type ServedPack = {
  readonly manifest: PackManifest;
  readonly manifestFile: string;
  /** By the network's name. */
  readonly weightsFiles: Readonly<Record<string, string>>;
  readonly postprocessFile: string;
};

export type StartOrder = {
  readonly kind: 'start';
  readonly packs: readonly ServedPack[];
  readonly threads: number;
  readonly provider: ExecutionProvider;
};

/** Pictures, prepared, for one pack. */
export type RunOrder = PackJob & { readonly kind: 'run'; readonly id: number };

export type Order = StartOrder | RunOrder;

export type Fault = { readonly code: ErrorCode; readonly detail: string };

export type Report =
  | { readonly kind: 'ready'; readonly probeMs: Readonly<Record<string, number>> }
  | { readonly kind: 'not-ready'; readonly fault: Fault }
  /** The net has answered; from here on the time is the pack's own code. */
  | { readonly kind: 'postprocessing'; readonly id: number }
  | {
      readonly kind: 'answer';
      readonly id: number;
      readonly findings: readonly FindingDraft[];
      readonly landmarks?: readonly Landmark[];
      /** The networks alone. */
      readonly netMs: number;
      readonly rssBytes: number;
    }
  | { readonly kind: 'fault'; readonly id: number; readonly fault: Fault };
