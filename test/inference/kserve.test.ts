/** The KServe v2 protocol against servers that are slow, busy, strict, or not what they seem. */
import { afterEach, describe, expect, test } from 'vitest';
import { kserveRuntime, servedNameOf, servedVersionOf } from '../../src/inference/kserve.ts';
import type { NetworkSpec, Tensors } from '../../src/inference/network.ts';
import {
  grpcKserveServer,
  httpKserveServer,
  type KserveServer,
  type KserveServerOptions,
} from '../support/kserve-server.ts';

const spec: NetworkSpec = {
  pack: 'same',
  version: '1.0.0',
  network: 'main',
  weightsFile: '',
  sha256: 'a'.repeat(64),
  manifestFile: 'manifest.json',
  batch: 1,
  deadlineMs: 20_000,
  inputs: { image: { type: 'float32', shape: ['n', 1, 8, 8], field: 'input' } },
  outputs: { same: { type: 'float32', shape: ['n', 1, 8, 8], field: 'outputs.same' } },
};
const feeds: Tensors = {
  image: { type: 'float32', dims: [1, 1, 8, 8], data: Float32Array.from({ length: 64 }, (_, at) => at / 3) },
};

const servers: KserveServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

describe.each([
  ['http', httpKserveServer],
  ['grpc', grpcKserveServer],
] as const)('a server by %s', (protocol, start) => {
  async function opened(options: KserveServerOptions = {}, change: Partial<NetworkSpec> = {}, authorization?: string) {
    const server = await start(options);
    servers.push(server);
    const runtime = kserveRuntime({
      kind: 'kserve',
      url: server.url,
      requestsAtOnce: 2,
      ...(authorization !== undefined && { authorization }),
    });
    return { server, ...(await runtime.open({ ...spec, ...change })) };
  }

  test('computes, and is held to the version when it does not tell hashes', async () => {
    const { network, facts } = await opened();
    expect(facts).toMatchObject({ server: { name: 'small', provenBy: 'version' } });
    expect(await network.run(feeds)).toEqual({ same: feeds['image'] });
  });

  test('is waited for while it loads its models, and told to be alive when it does not end', async () => {
    expect((await opened({ loading: 2 })).facts.server).toBeDefined();
    await expect(opened({ loading: 9 })).rejects.toMatchObject({
      code: 'model.server-unreachable',
      detail: expect.stringMatching(/is alive, but not ready$/) as string,
    });
  });

  test('is refused when it serves other versions', async () => {
    await expect(opened({ versions: ['1', '2000000'] })).rejects.toMatchObject({
      code: 'model.server-mismatch',
      detail: 'same: there in versions 1, 2000000, not in 1000000',
    });
  });

  test.each([[429], [503], ['cut'], ['short']] as const)(
    'is asked again after %s, as a run changes nothing there',
    async (fault) => {
      const { network, server } = await opened();
      const before = server.asked;
      server.misbehave(fault, fault);
      expect(await network.run(feeds)).toEqual({ same: feeds['image'] });
      expect(server.asked).toBe(before + 3);
    },
  );

  test('is not asked again when it says that the request is wrong', async () => {
    const { network, server } = await opened();
    const before = server.asked;
    server.misbehave(400);
    await expect(network.run(feeds)).rejects.toMatchObject({ code: 'model.run-failed' });
    expect(server.asked).toBe(before + 1);
  });

  test('that stays busy is given up with a code that is tried again later', async () => {
    const { network, server } = await opened();
    const before = server.asked;
    server.misbehave(503, 503, 503, 503, 503);
    await expect(network.run(feeds)).rejects.toMatchObject({
      code: 'model.server-unreachable',
      row: { retry: true },
    });
    expect(server.asked).toBe(before + 4);
  });

  test('gets the credentials it wants, and its refusal is told as such', async () => {
    await expect(opened({ authorization: 'Bearer right' }, {}, 'Bearer wrong')).rejects.toMatchObject({
      code: 'model.server-refused',
    });
    const { network } = await opened({ authorization: 'Bearer right' }, {}, 'Bearer right');
    expect(await network.run(feeds)).toEqual({ same: feeds['image'] });
  });

  test('that is silent is left at the deadline, and asked on a new connection', async () => {
    const { network, server } = await opened({}, { deadlineMs: 3_000 });
    server.misbehave('silent');
    await expect(network.run(feeds)).rejects.toMatchObject({ code: 'model.deadline-exceeded' });
    expect(await network.run(feeds)).toEqual({ same: feeds['image'] });
  });

  test('is asked no more at once than was set', async () => {
    const { network, server } = await opened();
    server.misbehave(...Array.from({ length: 8 }, () => 'slow' as const));
    await Promise.all(Array.from({ length: 8 }, () => network.run(feeds)));
    expect(server.mostAtOnce).toBe(2);
  });

  test('that is not there is told as unreachable', async () => {
    const server = await start();
    await server.close();
    const runtime = kserveRuntime({ kind: 'kserve', url: server.url, requestsAtOnce: 1 });
    await expect(runtime.open(spec)).rejects.toMatchObject({
      code: 'model.server-unreachable',
      detail: expect.stringContaining('ECONNREFUSED') as string,
    });
  });

  test('that speaks another protocol is not believed', async () => {
    const other = await (protocol === 'http' ? grpcKserveServer : httpKserveServer)();
    servers.push(other);
    const url = other.url.replace(/^\w+/, protocol);
    const runtime = kserveRuntime({ kind: 'kserve', url, requestsAtOnce: 1 });
    await expect(runtime.open(spec)).rejects.toMatchObject({ code: 'model.server-unreachable' });
  });
});

test('a server without the binary extension may answer with numbers', async () => {
  const server = await httpKserveServer({ withoutBinary: true });
  servers.push(server);
  const { network } = await kserveRuntime({ kind: 'kserve', url: server.url, requestsAtOnce: 1 }).open(spec);
  expect(await network.run(feeds)).toEqual({ same: feeds['image'] });
});

test('names and versions are what servers can hold', () => {
  expect(servedNameOf({ pack: 'spine', network: 'main' })).toBe('spine');
  expect(servedNameOf({ pack: 'spine', network: 'detector' })).toBe('spine_detector');
  expect(['0.1.0', '1.20.3', '2.0.0-rc.1', '0.0.0'].map((version) => servedVersionOf({ version }))).toEqual([
    '1000',
    '1020003',
    '2000000',
    '1',
  ]);
});
