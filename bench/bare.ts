/** ONNX Runtime and nothing else on a pack's prepared picture: the limit that benches of the models compare with. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { LoadedPack } from '../src/inference/load-packs.ts';
import type { PackJob } from '../src/inference/pack-job.ts';

/** In a process of its own, as the pool's is: a runtime that has been idle in a busy process is slower. */
export async function bareRuntime({ weightsFiles }: LoadedPack, { inputs }: PackJob, threads: number) {
  const child: ChildProcess = fork(fileURLToPath(new URL('./bare-runtime.ts', import.meta.url)), {
    serialization: 'advanced',
  });
  const [[network, tensors]] = Object.entries(inputs) as [[string, (typeof inputs)[string]]];
  const [[tensor, prepared]] = Object.entries(tensors) as [[string, (typeof tensors)[string]]];
  const answer = async (order: unknown): Promise<number> => {
    child.send(order as object);
    const [seconds] = (await once(child, 'message')) as [number];
    return seconds;
  };
  await answer({
    weightsFile: weightsFiles[network],
    threads,
    tensor,
    shape: [prepared.bothFacings ? 2 : 1, 1, prepared.rows, prepared.columns],
    canvas: prepared.data,
  });
  return { seconds: (count: number) => answer({ count }), close: () => void child.kill('SIGKILL') };
}
