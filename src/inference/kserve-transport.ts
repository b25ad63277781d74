/** What the two ways of speaking the KServe v2 protocol have in common. */
import { WetreadError } from '../domain/errors.ts';
import type { DeclaredTensor, Tensors } from './network.ts';
import type { RuntimeChoice } from './process-messages.ts';

export type ServerChoice = Extract<RuntimeChoice, { kind: 'kserve' }>;

export type ServedModel = {
  readonly versions: readonly string[];
  readonly inputs: Readonly<Record<string, DeclaredTensor>>;
  readonly outputs: Readonly<Record<string, DeclaredTensor>>;
};

/** Of Triton's model configuration, a documented extension of the protocol. */
export type ModelConfiguration = {
  readonly maxBatchSize: number;
  readonly parameters: Readonly<Record<string, string>>;
};

/** One way of speaking the protocol; every method throws `model.server-*` or `model.run-failed`. */
export interface KserveTransport {
  serverLive(signal: AbortSignal): Promise<boolean>;
  serverReady(signal: AbortSignal): Promise<boolean>;
  serverMetadata(signal: AbortSignal): Promise<{ readonly name: string; readonly version: string }>;
  modelReady(model: ModelName, signal: AbortSignal): Promise<boolean>;
  modelMetadata(model: ModelName, signal: AbortSignal): Promise<ServedModel>;
  /** Undefined where the server has no such extension. */
  modelConfiguration(model: ModelName, signal: AbortSignal): Promise<ModelConfiguration | undefined>;
  infer(model: ModelName, feeds: Tensors, outputs: readonly string[], signal: AbortSignal): Promise<Tensors>;
}

export type ModelName = { readonly name: string; readonly version?: string };

/** A certificate that is not trusted stays so: trying again cannot help. */
const certificateFault = /^(ERR_TLS_|ERR_SSL_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_(GET_ISSUER|VERIFY_LEAF))/;

export function connectionFault(url: string, thrown: unknown): WetreadError {
  // A stream of a connection that never stood tells its own end first, and why as the cause.
  const codes = [thrown, thrown instanceof Error ? thrown.cause : undefined].map((one) => codeOf(one) ?? '');
  const ours = codes.some((code) => certificateFault.test(code)) ? 'model.server-refused' : 'model.server-unreachable';
  return new WetreadError(ours, `${url}: ${wordsOf(thrown)}`, { cause: thrown });
}

/** Node's network errors sometimes have a code and no message. */
function wordsOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const { code } = thrown as NodeJS.ErrnoException;
  return (thrown.message || code || thrown.name).split('\n', 1)[0]!.slice(0, 300);
}

const codeOf = (thrown: unknown): string | undefined =>
  thrown instanceof Error ? (thrown as NodeJS.ErrnoException).code : undefined;
