/**
 * The KServe v2 protocol over gRPC: messages by field number, as `grpc_predict_v2.proto` numbers them.
 *
 * Why no gRPC package is used: docs/decisions tells. Six calls are needed, none streams.
 */
import { WetreadError } from '../domain/errors.ts';
import { grpcChannel } from './grpc-channel.ts';
import { bytesOf, declaredTensor, kserveType, tensorOf } from './kserve-tensors.ts';
import type { KserveTransport, ModelName, ServerChoice } from './kserve-transport.ts';
import type { DeclaredTensor, Tensor, Tensors } from './network.ts';
import { integersOf, protoFields, ProtoWriter, textOf, type ProtoField } from './protobuf.ts';

export function grpcTransport(choice: ServerChoice): KserveTransport {
  const call = grpcChannel(choice);
  const ask = async (method: string, message: ProtoWriter, signal: AbortSignal): Promise<readonly ProtoField[]> => {
    const answer = await call(`/inference.GRPCInferenceService/${method}`, message, signal);
    if (answer.status !== 'ok') throw answer.fault;
    return fieldsOf(answer.message);
  };
  const isTrue = (fields: readonly ProtoField[]): boolean =>
    fields.some((one) => one.field === 1 && one.kind === 'varint' && one.value !== 0n);

  return {
    serverLive: async (signal) => isTrue(await ask('ServerLive', new ProtoWriter(), signal)),
    serverReady: async (signal) => isTrue(await ask('ServerReady', new ProtoWriter(), signal)),
    async serverMetadata(signal) {
      const fields = await ask('ServerMetadata', new ProtoWriter(), signal);
      return { name: text(fields, 1), version: text(fields, 2) };
    },
    async modelReady(model, signal) {
      const answer = await call('/inference.GRPCInferenceService/ModelReady', named(model), signal);
      if (answer.status === 'not-found') return false;
      if (answer.status !== 'ok') throw answer.fault;
      return isTrue(fieldsOf(answer.message));
    },
    async modelMetadata(model, signal) {
      const fields = await ask('ModelMetadata', named(model), signal);
      return { versions: texts(fields, 2), inputs: declared(fields, 4), outputs: declared(fields, 5) };
    },
    async modelConfiguration(model, signal) {
      const answer = await call('/inference.GRPCInferenceService/ModelConfig', named(model), signal);
      // An extension of Triton's.
      if (answer.status !== 'ok') return undefined;
      const [config] = messages(fieldsOf(answer.message), 1);
      if (config === undefined) return undefined;
      const [maxBatchSize = 0] = integersOf(config, 4);
      const parameters = messages(config, 14).map((entry) => [text(entry, 1), text(messages(entry, 2)[0] ?? [], 1)]);
      return { maxBatchSize, parameters: Object.fromEntries(parameters) as Record<string, string> };
    },
    async infer(model, feeds, outputs, signal) {
      const fields = await ask('ModelInfer', inferRequest(model, feeds, outputs), signal);
      return outputsOf(fields);
    },
  };
}

function named({ name, version }: ModelName): ProtoWriter {
  const message = new ProtoWriter().text(1, name);
  return version === undefined ? message : message.text(2, version);
}

function inferRequest(model: ModelName, feeds: Tensors, outputs: readonly string[]): ProtoWriter {
  const message = named(model);
  for (const [name, { type, dims }] of Object.entries(feeds))
    message.message(5, (input) => input.text(1, name).text(2, kserveType(type)).packedIntegers(3, dims));
  for (const name of outputs) message.message(6, (output) => output.text(1, name));
  for (const tensor of Object.values(feeds)) message.bytes(7, bytesOf(tensor));
  return message;
}

function outputsOf(fields: readonly ProtoField[]): Tensors {
  const raw = fields.flatMap((one) => (one.field === 6 && one.kind === 'bytes' ? [one.value] : []));
  return Object.fromEntries(
    messages(fields, 5).map((output, place): [string, Tensor] => {
      const name = text(output, 1);
      const bytes = raw[place] ?? contentsOf(output);
      return [name, tensorOf(name, text(output, 2), integersOf(output, 3), bytes)];
    }),
  );
}

/** Numbers in the message itself, from servers that do not answer with raw bytes; packed floats are their bytes. */
function contentsOf(output: readonly ProtoField[]): Uint8Array {
  const floats = messages(output, 5)[0]?.find((one) => one.field === 6 && one.kind === 'bytes');
  return floats?.kind === 'bytes' ? floats.value : new Uint8Array(0);
}

const declared = (fields: readonly ProtoField[], field: number): Record<string, DeclaredTensor> =>
  Object.fromEntries(
    messages(fields, field).map((one) => [text(one, 1), declaredTensor(text(one, 2), integersOf(one, 3))]),
  );

function fieldsOf(message: Uint8Array): readonly ProtoField[] {
  try {
    return [...protoFields(message)];
  } catch (cause) {
    const words = cause instanceof Error ? cause.message : String(cause);
    throw new WetreadError('model.server-mismatch', `the answer is not as the protocol says: ${words}`, { cause });
  }
}

const messages = (fields: readonly ProtoField[], field: number): (readonly ProtoField[])[] =>
  fields.flatMap((one) => (one.field === field && one.kind === 'bytes' ? [fieldsOf(one.value)] : []));

const texts = (fields: readonly ProtoField[], field: number): string[] =>
  fields.flatMap((one) => (one.field === field && one.kind === 'bytes' ? [textOf(one.value)] : []));

const text = (fields: readonly ProtoField[], field: number): string => texts(fields, field)[0] ?? '';
