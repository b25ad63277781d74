/** A small KServe v2 server that gives back what it gets, by HTTP or gRPC, and can be told to misbehave as servers and proxies do. */
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttp2Server, createSecureServer, type ServerHttp2Stream } from 'node:http2';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { protoFields, ProtoWriter, type ProtoField } from '../../src/inference/protobuf.ts';

export type KserveServerOptions = {
  readonly versions?: readonly string[];
  readonly tls?: { readonly cert: string; readonly key: string };
  /** Asked for with each request. */
  readonly authorization?: string;
  /** Alive, but still loading its models, for so many questions whether it is ready. */
  readonly loading?: number;
  /** Answers with numbers in JSON, as servers without the binary extension do. */
  readonly withoutBinary?: boolean;
};

/** An HTTP status or, over gRPC, the gRPC status that means it; a cut connection; an answer that ends too early; silence. */
export type Misbehaviour = number | 'cut' | 'short' | 'silent' | 'slow';

export type KserveServer = {
  readonly url: string;
  /** Requests to infer. */
  readonly asked: number;
  /** The most of them that were open at one time. */
  readonly mostAtOnce: number;
  /** Taken one by one by the next requests to infer; then all goes well. */
  misbehave(...faults: readonly Misbehaviour[]): void;
  close(): Promise<void>;
};

const shape = [-1, 1, 8, 8];
const grpcStatusOf: Readonly<Record<number, number>> = { 400: 3, 401: 16, 403: 7, 429: 8, 500: 13, 503: 14 };

export async function httpKserveServer(options: KserveServerOptions = {}): Promise<KserveServer> {
  const faults: Misbehaviour[] = [];
  let loading = options.loading ?? 0;
  let asked = 0;
  let openNow = 0;
  let mostAtOnce = 0;
  const listener = (request: IncomingMessage, response: ServerResponse): void => void serve(request, response);
  const server = options.tls === undefined ? createHttpServer(listener) : createHttpsServer(options.tls, listener);

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await bodyOf(request);
    const json = (status: number, answer: unknown): void =>
      void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
    const path = request.url ?? '';
    if (options.authorization !== undefined && request.headers.authorization !== options.authorization)
      return json(401, { error: 'who are you?' });
    if (path === '/v2') return json(200, { name: 'small', version: '1', extensions: [] });
    if (path === '/v2/health/ready' && loading-- > 0) return void response.writeHead(503).end();
    if (path.endsWith('/ready') || path.endsWith('/live')) return void response.writeHead(200).end();
    if (path.endsWith('/config')) return json(404, { error: 'no such extension' });
    if (!path.endsWith('/infer')) {
      const tensors = (name: string) => [{ name, datatype: 'FP32', shape }];
      return json(200, {
        versions: options.versions ?? ['1000000'],
        inputs: tensors('image'),
        outputs: tensors('same'),
      });
    }
    asked += 1;
    openNow += 1;
    mostAtOnce = Math.max(mostAtOnce, openNow);
    const fault = faults.shift();
    if (fault === 'slow') await pause(30);
    openNow -= 1;
    if (typeof fault === 'number') return json(fault, { error: `told to say ${fault}` });
    if (fault === 'cut') return void request.socket.destroy();
    if (fault === 'silent') return undefined;
    const headerLength = Number(request.headers['inference-header-content-length']);
    const header = JSON.parse(body.subarray(0, headerLength).toString()) as { inputs: [{ shape: number[] }] };
    const data = body.subarray(headerLength);
    const output = { name: 'same', datatype: 'FP32', shape: header.inputs[0].shape };
    if (options.withoutBinary) {
      const numbers = [...new Float32Array(Uint8Array.from(data).buffer)];
      return json(200, { outputs: [{ ...output, data: numbers }] });
    }
    const said = Buffer.from(
      JSON.stringify({ outputs: [{ ...output, parameters: { binary_data_size: data.length } }] }),
    );
    response.writeHead(200, { 'inference-header-content-length': said.length });
    response.end(Buffer.concat([said, fault === 'short' ? data.subarray(0, -4) : data]));
    return undefined;
  }

  const port = await listening(server);
  return {
    url: `http${options.tls === undefined ? '' : 's'}://127.0.0.1:${port}`,
    get asked() {
      return asked;
    },
    get mostAtOnce() {
      return mostAtOnce;
    },
    misbehave: (...more) => void faults.push(...more),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export async function grpcKserveServer(options: KserveServerOptions = {}): Promise<KserveServer> {
  const faults: Misbehaviour[] = [];
  let loading = options.loading ?? 0;
  const sessions = new Set<{ destroy(): void }>();
  let asked = 0;
  let openNow = 0;
  let mostAtOnce = 0;
  const server = options.tls === undefined ? createHttp2Server() : createSecureServer(options.tls);
  server.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
    session.on('error', () => undefined);
  });
  server.on('stream', (stream, headers) => {
    stream.on('error', () => undefined);
    void serve(stream, String(headers[':path']), headers.authorization);
  });

  async function serve(stream: ServerHttp2Stream, path: string, authorization: string | undefined): Promise<void> {
    const body = await bodyOf(stream);
    const method = path.slice(path.lastIndexOf('/') + 1);
    const refuse = (status: number): void =>
      stream.respond(
        {
          ':status': 200,
          'content-type': 'application/grpc',
          'grpc-status': String(status),
          'grpc-message': 'told%20to',
        },
        { endStream: true },
      );
    const answer = (message: ProtoWriter, short = false): void => {
      const pieces = Buffer.concat(message.done());
      const prefix = Buffer.alloc(5);
      prefix.writeUInt32BE(pieces.length, 1);
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
      stream.end(Buffer.concat([prefix, short ? pieces.subarray(0, -4) : pieces]));
    };
    if (options.authorization !== undefined && authorization !== options.authorization) return refuse(16);
    if (method === 'ServerReady' && loading-- > 0) return answer(new ProtoWriter());
    if (/^(ServerLive|ServerReady|ModelReady)$/.test(method)) return answer(new ProtoWriter().integer(1, 1));
    if (method === 'ServerMetadata') return answer(new ProtoWriter().text(1, 'small').text(2, '1'));
    if (method === 'ModelConfig') return refuse(12);
    if (method === 'ModelMetadata') {
      const metadata = new ProtoWriter().text(1, 'same');
      for (const version of options.versions ?? ['1000000']) metadata.text(2, version);
      for (const [field, name] of [
        [4, 'image'],
        [5, 'same'],
      ] as const)
        metadata.message(field, (tensor) => tensor.text(1, name).text(2, 'FP32').packedIntegers(3, shape));
      return answer(metadata);
    }
    asked += 1;
    openNow += 1;
    mostAtOnce = Math.max(mostAtOnce, openNow);
    const fault = faults.shift();
    if (fault === 'slow') await pause(30);
    openNow -= 1;
    if (typeof fault === 'number') return refuse(grpcStatusOf[fault] ?? 2);
    if (fault === 'cut') return stream.session?.destroy();
    if (fault === 'silent') return undefined;
    const request = [...protoFields(body.subarray(5))];
    const input = [...protoFields(bytes(request, 5))];
    const output = new ProtoWriter().message(5, (tensor) =>
      tensor.text(1, 'same').text(2, 'FP32').bytes(3, bytes(input, 3)),
    );
    return answer(output.bytes(6, bytes(request, 7)), fault === 'short');
  }

  const port = await listening(server);
  return {
    url: `grpc${options.tls === undefined ? '' : 's'}://127.0.0.1:${port}`,
    get asked() {
      return asked;
    },
    get mostAtOnce() {
      return mostAtOnce;
    },
    misbehave: (...more) => void faults.push(...more),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const session of sessions) session.destroy();
      }),
  };
}

const bytes = (fields: readonly ProtoField[], field: number): Uint8Array => {
  const found = fields.find((one) => one.field === field);
  return found?.kind === 'bytes' ? found.value : new Uint8Array(0);
};

async function bodyOf(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

async function listening(server: {
  listen(port: number, host: string, done: () => void): unknown;
  address(): unknown;
}): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}
