/** One network for several packs: one session, one run for one picture, and nothing kept for long. */
import { setTimeout as after } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { lentOnce, remembering } from '../../src/inference/lent-networks.ts';
import type { NetworkSpec, Tensors } from '../../src/inference/network.ts';

const feeds = (...values: number[]): Tensors => ({
  image: { type: 'float32', dims: [1, values.length], data: Float32Array.from(values) },
});

/** Gives back the double of what it is asked, and counts how often. */
function doubling() {
  const asked: number[][] = [];
  return {
    asked,
    async run({ image }: Tensors): Promise<Tensors> {
      const data = image!.data as Float32Array;
      asked.push([...data]);
      if (Number.isNaN(data[0])) throw new Error('no picture');
      return { out: { type: 'float32', dims: image!.dims, data: data.map((value) => 2 * value) } };
    },
  };
}

test('the same picture is computed once, also while it is being computed', async () => {
  const inner = doubling();
  const network = remembering(inner);
  const answers = await Promise.all([network.run(feeds(1, 2)), network.run(feeds(1, 2))]);
  answers.push(await network.run(feeds(1, 2)));
  expect(answers.map(({ out }) => [...(out!.data as Float32Array)])).toEqual([
    [2, 4],
    [2, 4],
    [2, 4],
  ]);
  expect(inner.asked).toEqual([[1, 2]]);
});

test('another picture, another shape, and zero for minus zero are computed anew', async () => {
  const inner = doubling();
  const network = remembering(inner);
  for (const one of [feeds(0, 2), feeds(-0, 2), feeds(0, 3), feeds(0, 3, 0)]) await network.run(one);
  expect(inner.asked).toHaveLength(4);
});

test('what a pack writes into its answer, no other pack reads', async () => {
  const network = remembering(doubling());
  const [first, second] = [await network.run(feeds(1)), await network.run(feeds(1))];
  (first['out']!.data as Float32Array)[0] = 7;
  expect([...(second['out']!.data as Float32Array)]).toEqual([2]);
  expect([...((await network.run(feeds(1)))['out']!.data as Float32Array)]).toEqual([2]);
});

test('a run that failed is tried again', async () => {
  const inner = doubling();
  const network = remembering(inner);
  await expect(network.run(feeds(NaN))).rejects.toThrow('no picture');
  await expect(network.run(feeds(NaN))).rejects.toThrow('no picture');
  expect(inner.asked).toHaveLength(2);
});

test('an answer is forgotten after its time', async () => {
  const inner = doubling();
  const network = remembering(inner, 10);
  await network.run(feeds(1));
  await after(50);
  await network.run(feeds(1));
  expect(inner.asked).toHaveLength(2);
});

test('packs that run one file share its session, and each is told of it by its own name', async () => {
  const spec = (pack: string, weightsFile: string) =>
    ({ pack, network: 'main', weightsFile, sha256: 'a' }) as NetworkSpec;
  const specs = [spec('lender', 'one.onnx'), spec('borrower', 'one.onnx'), spec('other', 'two.onnx')];
  const opened: string[] = [];
  const runtime = lentOnce(
    {
      async open({ pack, network }) {
        opened.push(pack);
        return { network: doubling(), facts: { pack, network, probeMs: 1 } };
      },
    },
    specs,
  );
  const facts = [];
  for (const one of specs) facts.push((await runtime.open(one)).facts.pack);
  expect(opened).toEqual(['lender', 'other']);
  expect(facts).toEqual(['lender', 'borrower', 'other']);
});
