/** ONNX Runtime and nothing else on a pack's prepared picture: the limit that benches of the models compare with. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { LoadedPack } from '../src/inference/load-packs.ts';
import type { PackJob } from '../src/inference/pack-job.ts';

/** In a process of its own, as the pool's is: a runtime that has been idle in a busy process is slower. */
export async function bareNetwork(network: {
  readonly weightsFile: string;
  readonly tensor: string;
  readonly shape: readonly number[];
  /** One row of the tensor, repeated. */
  readonly canvas: Float32Array;
  readonly threads: number;
}) {
  const child: ChildProcess = fork(fileURLToPath(new URL('./bare-runtime.ts', import.meta.url)), {
    serialization: 'advanced',
  });
  const answer = async (order: unknown): Promise<number> => {
    child.send(order as object);
    const [seconds] = (await once(child, 'message')) as [number];
    return seconds;
  };
  await answer(network);
  return {
    seconds: (count: number) => answer({ count }),
    processorSeconds: () => processorSeconds(child.pid),
    close: () => void child.kill('SIGKILL'),
  };
}

/** The pack's first network on a prepared picture. */
export function bareRuntime({ weightsFiles }: LoadedPack, { inputs }: PackJob, threads: number) {
  const [[network, tensors]] = Object.entries(inputs) as [[string, (typeof inputs)[string]]];
  const [[tensor, prepared]] = Object.entries(tensors) as [[string, (typeof tensors)[string]]];
  return bareNetwork({
    weightsFile: weightsFiles[network]!,
    threads,
    tensor,
    shape: [prepared.bothFacings ? 2 : 1, 1, prepared.rows, prepared.columns],
    canvas: prepared.data,
  });
}

/** What a process has worked, its threads included: proc_pid_stat(5), fields 14 and 15, in ticks of which Linux counts 100 a second. */
export function processorSeconds(pid: number | undefined): number {
  if (pid === undefined) return 0;
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name in field 2 may hold spaces; the fields after it are counted from its closing bracket.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
