/**
 * A model process: passes orders to the thread that runs the models, and ends when the service is gone.
 *
 * The models run in a thread of this process, not here: a run blocks the loop it is called on, and this loop must
 * notice the service's end in the middle of a run, take in the next picture meanwhile, and pass on that the net has
 * answered when the pack's own code never does.
 */
import { setPriority } from 'node:os';
import { Worker } from 'node:worker_threads';
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
  if (order.kind === 'start') watchMemory(order.maxRssBytes);
  // Pictures lie in the shared file; one that found no room there is copied once more.
  thread.postMessage(order, []);
});
thread.on('message', (report: Report) => process.send?.(report));

/** A net that asks for more than there is would have the system end a process of its choice. */
function watchMemory(limitBytes: number): void {
  setInterval(() => {
    const rssBytes = process.memoryUsage.rss();
    if (rssBytes <= limitBytes) return;
    process.send?.({ kind: 'too-large', rssBytes, limitBytes } satisfies Report, end);
  }, 100);
}
thread.on('error', (error) => {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`, end);
});
thread.on('exit', end);
