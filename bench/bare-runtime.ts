/** ONNX Runtime and nothing else, timed in its own process: the limit that bench/pool.ts compares with. */
import { setPriority } from 'node:os';
import { InferenceSession, Tensor } from 'onnxruntime-node';

// As model processes do: on a busy machine the other would win by its rank alone.
setPriority(10);

type Setup = {
  readonly weightsFile: string;
  readonly threads: number;
  readonly tensor: string;
  readonly shape: readonly number[];
  readonly canvas: Float32Array;
};

let session: InferenceSession | undefined;
let feeds: Record<string, Tensor> = {};

process.on('message', (order: Setup | { readonly count: number }) => void answer(order));

async function answer(order: Setup | { readonly count: number }): Promise<void> {
  if ('count' in order) {
    const started = performance.now();
    for (let index = 0; index < order.count; index += 1) await session?.run(feeds);
    process.send?.((performance.now() - started) / 1000);
    return;
  }
  const { weightsFile, threads, tensor, shape, canvas } = order;
  session = await InferenceSession.create(weightsFile, {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
  });
  const data = new Float32Array(canvas.length * shape[0]!);
  for (let image = 0; image < shape[0]!; image += 1) data.set(canvas, image * canvas.length);
  feeds = { [tensor]: new Tensor('float32', data, shape) };
  await session.run(feeds);
  process.send?.(0);
}
