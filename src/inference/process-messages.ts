/** What the service and a model process say to each other. */
import type { ErrorCode } from '../domain/errors.ts';
import type { FindingDraft, Landmark } from '../domain/finding.ts';
import type { PackManifest } from '../kit/pack-manifest.ts';
import type { PackJob } from './pack-job.ts';

export const executionProviders = ['cpu', 'cuda', 'tensorrt', 'webgpu', 'coreml', 'dml'] as const;
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
  readonly runtime: RuntimeChoice;
  /** Jobs that are worked on side by side: more than one where they can share a run, or wait for a server. */
  readonly atOnce: number;
  /** The process ends itself above this, also in the middle of a run. */
  readonly maxRssBytes: number;
};

/** Where the networks are computed. */
export type RuntimeChoice =
  | {
      readonly kind: 'onnx-runtime';
      readonly provider: ExecutionProvider;
      readonly threads: number;
      readonly batch: BatchRule;
    }
  | {
      readonly kind: 'kserve';
      /** `http:`, `https:`, `grpc:` or `grpcs:`. */
      readonly url: string;
      readonly authorization?: string;
      readonly requestsAtOnce: number;
    };

/** Waiting pictures may share a run: so many at most, and the first waits so long for others. */
export type BatchRule = { readonly most: number; readonly waitMs: number };

/** What is known of an opened network, for whoever operates the service. */
export type NetworkFacts = {
  readonly pack: string;
  readonly network: string;
  /** First run, on an empty picture; of a server, with the way there and back. */
  readonly probeMs: number;
  /** How far the provider's answer to a picture was from the processor's, as part of the largest value. */
  readonly differenceFromCpu?: number;
  /** Nodes of the graph by where they ran, when not all ran on the provider. */
  readonly nodesOnCpu?: { readonly count: number; readonly of: number };
  /** The remote server, and what proves that it serves these weights. */
  readonly server?: { readonly name: string; readonly version: string; readonly provenBy: 'sha256' | 'version' };
};

/** Pictures, prepared, for one pack. */
export type RunOrder = PackJob & { readonly kind: 'run'; readonly id: number };

export type Order = StartOrder | RunOrder;

export type Fault = { readonly code: ErrorCode; readonly detail: string };

export type Report =
  | { readonly kind: 'ready'; readonly networks: readonly NetworkFacts[] }
  | { readonly kind: 'not-ready'; readonly fault: Fault }
  /** The net has answered; from here on the time is the pack's own code. */
  | { readonly kind: 'postprocessing'; readonly id: number }
  /** Its next network is asked. */
  | { readonly kind: 'computing'; readonly id: number }
  | {
      readonly kind: 'answer';
      readonly id: number;
      readonly findings: readonly FindingDraft[];
      readonly landmarks?: readonly Landmark[];
      readonly scores?: Readonly<Record<string, number>>;
      /** The networks alone. */
      readonly netMs: number;
      readonly rssBytes: number;
    }
  | { readonly kind: 'too-large'; readonly rssBytes: number; readonly limitBytes: number }
  | { readonly kind: 'fault'; readonly id: number; readonly fault: Fault };
