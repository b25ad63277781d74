/** A decoding thread that stops when it is lent to another, for the tests of the pool. */
import { parentPort } from 'node:worker_threads';
import type { DecodeOrder } from '../../src/dicom/decoder-worker.ts';

parentPort?.on('message', (order: DecodeOrder) => {
  if (order.task === 'help') process.exit(3);
});
await import('../../src/dicom/decoder-worker.ts');
