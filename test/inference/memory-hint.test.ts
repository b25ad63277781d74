/** What a pack says that it needs of memory is held against what its process may have. */
import { totalmem } from 'node:os';
import { expect, test } from 'vitest';
import { theModels } from '../../src/adapters.ts';
import { readConfig } from '../../src/config.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { loadPacks } from '../../src/inference/load-packs.ts';
import { memoryShortage } from '../../src/inference/memory-hint.ts';
import { packsFolder } from './fixture-pack.ts';

const wanting = (name: string, memoryMb?: number) => ({
  name,
  onnx: 'same' as const,
  outputs: { same: { type: 'float32' as const, shape: ['n', 1, 8, 8] } },
  ...(memoryMb !== undefined && { manifest: { hardware: { memoryMb } } }),
});

test('the smaller of the configured limit and of what the machine has counts', async () => {
  await using packs = await packsFolder(wanting('silent'), wanting('wanting', 3000));
  const [silent, wants] = (await loadPacks(packs.folder, silentLogger)).map(({ manifest }) => manifest);
  expect(memoryShortage(silent!, 1)).toBeUndefined();
  expect(memoryShortage(wants!, 2999)).toEqual({
    wantsMb: 3000,
    hasMb: Math.min(2999, Math.floor(totalmem() / 2 ** 20)),
  });
  await using vast = await packsFolder(wanting('vast', 1e9));
  const [most] = await loadPacks(vast.folder, silentLogger);
  expect(memoryShortage(most!.manifest, Infinity)!.hasMb).toBeLessThanOrEqual(totalmem() / 2 ** 20);
});

test.each([
  [{}, ['large']],
  // The processes are another machine's.
  [{ WETREAD_INFERENCE_SERVER: 'http://127.0.0.1:1' }, []],
])('the log warns of it before a process is killed for it: %j', async (env, expected) => {
  await using packs = await packsFolder(wanting('large', 5000), wanting('small', 100));
  const loaded = await loadPacks(packs.folder, silentLogger);
  const warned: unknown[] = [];
  const logger = {
    ...silentLogger,
    warn: (_: string, fields?: object) => void warned.push(fields),
    with: () => logger,
  };
  const runner = theModels(readConfig({ WETREAD_MODEL_MEMORY_MB: '2000', ...env }), logger, loaded);
  await runner.close();
  expect(warned).toMatchObject(expected.map((pack) => ({ pack, wantsMb: 5000 })));
});
