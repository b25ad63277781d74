/**
 * A model process: passes orders to the thread that runs the models, and ends when the service is gone.
 *
 * The models run in a thread of this process, not here: a run blocks the loop it is called on, and this loop must
 * notice the service's end in the middle of a run, take in the next picture meanwhile, and pass on that the net has
 * answered when the pack's own code never does.
 */
import { setPriority } from 'node:os';
import { Worker } from 'node:worker_threads';
import { onItsOwn } from './job-memory.ts';
import type { Order, Report } from './process-messages.ts';

/** Ending the thread during a run would abort with a core dump; ending the process by force is clean. */
const end = (): void => void process.kill(process.pid, 'SIGKILL');

// A film may take a moment longer; a clinician whose chart opens may not wait for it. Before the threads start, as they inherit it.
setPriority(10);

const thread = new Worker(new URL('./model-thread.ts', import.meta.url));

process.on('disconnect', end);
// Ctrl+C and supervisors signal the whole group; the service finishes what it has and then ends its processes itself.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
process.on('message', (order: Order) => {
  // A view of its own memory crosses to the thread without another copy.
  if (order.kind !== 'run') return thread.postMessage(order, []);
  const { job, memory } = onItsOwn(order);
  return thread.postMessage(job, memory);
});
thread.on('message', (report: Report) => process.send?.(report));
thread.on('error', (error) => {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`, end);
});
thread.on('exit', end);
