/** A decoding thread gone wrong, for the tests of the pool: hangs, exits, dies or eats memory if the first byte of the "file" says so. */
import { parentPort } from 'node:worker_threads';
import type { DecodeAnswer, DecodeOrder } from '../../src/dicom/decoder-worker.ts';
import { decodeInstance } from '../../src/dicom/instance.ts';

parentPort?.on('message', async ({ file }: DecodeOrder) => {
  const [order] = file;
  if (order === 1) for (;;);
  if (order === 2) process.exit(3);
  if (order === 3) throw new Error('out of memory');
  if (order === 4) for (const eaten: object[][] = []; ;) eaten.push(Array.from({ length: 100_000 }, () => ({})));
  const answer: DecodeAnswer = { kind: 'decoded', parts: await decodeInstance(file, 1e8) };
  parentPort?.postMessage(answer, []);
});
