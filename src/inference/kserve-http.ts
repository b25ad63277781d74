/** The KServe v2 protocol over HTTP, tensors by its binary data extension: as JSON a film would be ten megabytes of digits. */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { z } from 'zod';
import { WetreadError } from '../domain/errors.ts';
import { bytesOf, declaredTensor, kserveType, largestAnswer, tensorOf } from './kserve-tensors.ts';
import {
  connectionFault,
  type KserveTransport,
  type ModelName,
  type ServedModel,
  type ServerChoice,
} from './kserve-transport.ts';
import type { DeclaredTensor, Tensor, Tensors } from './network.ts';

const tensorMetadata = z.object({ name: z.string(), datatype: z.string(), shape: z.array(z.coerce.number().int()) });
const modelMetadata = z.object({
  versions: z.array(z.string()).default([]),
  inputs: z.array(tensorMetadata),
  outputs: z.array(tensorMetadata),
});
const serverMetadata = z.object({ name: z.string(), version: z.string() });
/** Triton writes Protocol Buffers' JSON: numbers may be text. */
const modelConfiguration = z.object({
  max_batch_size: z.coerce.number().int().default(0),
  parameters: z.record(z.string(), z.object({ string_value: z.string().default('') })).default({}),
});
const inferAnswer = z.object({
  outputs: z.array(
    z.object({
      name: z.string(),
      datatype: z.string(),
      shape: z.array(z.number().int()),
      parameters: z.object({ binary_data_size: z.number().int().nonnegative().optional() }).optional(),
      data: z.array(z.union([z.number(), z.boolean()])).optional(),
    }),
  ),
});

type Answer = { readonly status: number; readonly headers: IncomingMessage['headers']; readonly body: Buffer };
type Sent = { readonly headers: Readonly<Record<string, string>>; readonly pieces: readonly Uint8Array[] };

export function httpTransport({ url, authorization, requestsAtOnce }: ServerChoice): KserveTransport {
  const secure = url.startsWith('https:');
  // So many connections and no more: the next request waits here instead of in the server's queue.
  const agent = new (secure ? HttpsAgent : HttpAgent)({ keepAlive: true, maxSockets: requestsAtOnce });
  const base = url.replace(/\/+$/, '');

  function ask(path: string, signal: AbortSignal, sent?: Sent): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const length = sent?.pieces.reduce((sum, piece) => sum + piece.length, 0);
    const request = (secure ? httpsRequest : httpRequest)(`${base}${path}`, {
      agent,
      signal,
      method: sent === undefined ? 'GET' : 'POST',
      headers: {
        accept: '*/*',
        ...(authorization !== undefined && { authorization }),
        ...sent?.headers,
        ...(length !== undefined && { 'content-length': length }),
      },
    });
    request.on('error', (error) => reject(connectionFault(url, error)));
    request.on('response', (response) => {
      const pieces: Buffer[] = [];
      let received = 0;
      response.on('data', (piece: Buffer) => {
        received += piece.length;
        if (received > largestAnswer) request.destroy(new Error(`the answer is larger than ${largestAnswer} bytes`));
        else pieces.push(piece);
      });
      response.on('error', (error) => reject(connectionFault(url, error)));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(pieces, received) }),
      );
    });
    for (const piece of sent?.pieces ?? []) request.write(piece);
    request.end();
    return promise;
  }

  async function askJson<Schema extends z.ZodType>(
    path: string,
    schema: Schema,
    signal: AbortSignal,
  ): Promise<z.output<Schema>> {
    const answer = await ask(path, signal);
    mustBeOk(answer, path);
    const result = schema.safeParse(jsonOf(answer.body));
    if (result.success) return result.data;
    throw new WetreadError('model.server-mismatch', `${url}${path} does not answer as the protocol says`);
  }

  function mustBeOk({ status, body }: Answer, path: string): void {
    if (status === 200) return;
    const words = `${path}: HTTP ${status} ${errorText(body)}`;
    if (status === 401 || status === 403) throw new WetreadError('model.server-refused', `${url}${words}`);
    // Too busy, restarting, or a proxy before a server that is.
    if (status === 429 || status === 502 || status === 503 || status === 504)
      throw new WetreadError('model.server-unreachable', `${url}${words}`);
    throw new WetreadError('model.run-failed', `${url}${words}`);
  }

  async function isReady(path: string, signal: AbortSignal): Promise<boolean> {
    const answer = await ask(path, signal);
    if (answer.status === 401 || answer.status === 403) mustBeOk(answer, path);
    return answer.status === 200;
  }

  return {
    serverLive: (signal) => isReady('/v2/health/live', signal),
    serverReady: (signal) => isReady('/v2/health/ready', signal),
    serverMetadata: (signal) => askJson('/v2', serverMetadata, signal),
    modelReady: (model, signal) => isReady(`${pathOf(model)}/ready`, signal),
    async modelMetadata(model, signal): Promise<ServedModel> {
      const { versions, inputs, outputs } = await askJson(pathOf(model), modelMetadata, signal);
      return { versions, inputs: declared(inputs), outputs: declared(outputs) };
    },
    async modelConfiguration(model, signal) {
      const answer = await ask(`${pathOf(model)}/config`, signal);
      // Not every server has this extension; those that have not say so in several ways.
      if (answer.status !== 200) return undefined;
      const result = modelConfiguration.safeParse(jsonOf(answer.body));
      if (!result.success) return undefined;
      const { max_batch_size: maxBatchSize, parameters } = result.data;
      return {
        maxBatchSize,
        parameters: Object.fromEntries(
          Object.entries(parameters).map(([name, { string_value: value }]) => [name, value]),
        ),
      };
    },
    async infer(model, feeds, outputs, signal) {
      const path = `${pathOf(model)}/infer`;
      const answer = await ask(path, signal, inferRequest(feeds, outputs));
      mustBeOk(answer, path);
      return outputsOf(answer);
    },
  };
}

const pathOf = ({ name, version }: ModelName): string =>
  `/v2/models/${encodeURIComponent(name)}${version === undefined ? '' : `/versions/${version}`}`;

function inferRequest(feeds: Tensors, outputs: readonly string[]): Sent {
  const tensors = Object.entries(feeds);
  const header = Buffer.from(
    JSON.stringify({
      inputs: tensors.map(([name, tensor]) => ({
        name,
        datatype: kserveType(tensor.type),
        shape: tensor.dims,
        parameters: { binary_data_size: tensor.data.byteLength },
      })),
      outputs: outputs.map((name) => ({ name, parameters: { binary_data: true } })),
    }),
  );
  return {
    headers: {
      'content-type': 'application/octet-stream',
      'inference-header-content-length': String(header.length),
    },
    pieces: [header, ...tensors.map(([, tensor]) => bytesOf(tensor))],
  };
}

function outputsOf({ headers, body }: Answer): Tensors {
  const headerLength = Number(headers['inference-header-content-length'] ?? body.length);
  const parsed = inferAnswer.safeParse(jsonOf(body.subarray(0, headerLength)));
  if (!parsed.success)
    throw new WetreadError('model.server-mismatch', 'the answer to infer is not as the protocol says');
  let at = headerLength;
  return Object.fromEntries(
    parsed.data.outputs.map(({ name, datatype, shape, parameters, data }): [string, Tensor] => {
      const bytes = parameters?.binary_data_size;
      // A server without the extension answers with numbers.
      if (bytes === undefined) return [name, fromNumbers(name, datatype, shape, data ?? [])];
      if (at + bytes > body.length)
        throw new WetreadError('model.server-unreachable', `the answer ends inside ${name}`);
      at += bytes;
      return [name, tensorOf(name, datatype, shape, body.subarray(at - bytes, at))];
    }),
  );
}

function fromNumbers(name: string, type: string, dims: number[], data: readonly (number | boolean)[]): Tensor {
  const numbers = data.map(Number);
  const arrays = { FP32: Float32Array, INT32: Int32Array, UINT8: Uint8Array, BOOL: Uint8Array } as const;
  const array =
    type === 'INT64'
      ? BigInt64Array.from(numbers, BigInt)
      : type in arrays
        ? arrays[type as keyof typeof arrays].from(numbers)
        : new Uint8Array(0);
  return tensorOf(name, type, dims, new Uint8Array(array.buffer));
}

const declared = (tensors: readonly z.output<typeof tensorMetadata>[]): Record<string, DeclaredTensor> =>
  Object.fromEntries(tensors.map(({ name, datatype, shape }) => [name, declaredTensor(datatype, shape)]));

function jsonOf(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}

/** The protocol's `{"error": …}`, or the beginning of whatever a proxy says. */
function errorText(body: Buffer): string {
  const said = z.object({ error: z.string() }).safeParse(jsonOf(body));
  return (said.success ? said.data.error : body.toString('utf8')).split('\n', 1)[0]!.slice(0, 300);
}
