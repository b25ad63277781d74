/** A model process never outlives the service, however the service ends. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { packsFolder } from './fixture-pack.ts';

test('a model process ends when the service is killed, even in the middle of a run', async () => {
  await using packs = await packsFolder({
    name: 'endless',
    onnx: 'endless',
    outputs: { same: { type: 'float32', shape: ['n', 1, 8, 8] } },
    deadlineMs: 600_000,
  });
  const service = spawn(process.execPath, [join(import.meta.dirname, 'service-that-dies.ts'), packs.folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [pid] = (await once(service.stdout, 'data')) as [Buffer];
  const model = Number(pid.toString());
  expect(process.kill(model, 0)).toBe(true);
  service.kill('SIGKILL');
  await once(service, 'exit');
  const gone = (): boolean => {
    try {
      return !process.kill(model, 0);
    } catch {
      return true;
    }
  };
  while (!gone()) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(gone()).toBe(true);
});
