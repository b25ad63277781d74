/** A decoding thread gone wrong, for the tests of the pool: hangs, exits, dies or eats memory if the first byte of the "file" says so. */
import { parentPort } from 'node:worker_threads';
import type { DecodeAnswer, DecodeOrder } from '../../src/dicom/decoder-worker.ts';
import { decodeInstance } from '../../src/dicom/instance.ts';

parentPort?.on('message', async (order: DecodeOrder) => {
  if (order.task === 'help') return;
  const { file } = order;
  const [what] = file;
  if (what === 1) for (;;);
  if (what === 2) process.exit(3);
  if (what === 3) throw new Error('out of memory');
  if (what === 4) for (const eaten: object[][] = []; ;) eaten.push(Array.from({ length: 100_000 }, () => ({})));
  const answer: DecodeAnswer = { kind: 'decoded', parts: await decodeInstance(file, 1e8) };
  parentPort?.postMessage(answer, []);
});
