/**
 * A network that several packs run: opened once, and asked once about the picture that they read one after the other.
 *
 * Only the last answer is kept, and only for a moment: packs read the same film within one, and no picture should
 * stay in memory for longer than it is of use.
 */
import type { OpenedNetwork } from './onnx-runtime.ts';
import type { Network, NetworkSpec, Tensor, Tensors } from './network.ts';
import type { Runtime } from './open-runtime.ts';

const keptForMs = 5_000;

/** The same file under the same name is one network; each pack is told its facts under its own name. */
export function lentOnce(runtime: Runtime, specs: readonly NetworkSpec[]): Runtime {
  const keyOf = ({ weightsFile, sha256 }: NetworkSpec): string => `${sha256} ${weightsFile}`;
  const users = Map.groupBy(specs, keyOf);
  const opened = new Map<string, Promise<OpenedNetwork>>();
  return {
    async open(spec) {
      const key = keyOf(spec);
      if ((users.get(key)?.length ?? 0) < 2) return runtime.open(spec);
      let once = opened.get(key);
      if (once === undefined) {
        once = runtime.open(spec).then(({ network, facts }) => ({ network: remembering(network), facts }));
        opened.set(key, once);
      }
      const { network, facts } = await once;
      return { network, facts: { ...facts, pack: spec.pack, network: spec.network } };
    },
  };
}

type Run = { readonly feeds: Tensors; readonly answer: Promise<Tensors>; readonly forget: NodeJS.Timeout };

/** Answers the very same tensors from memory; whoever gets an answer may write into it. */
export function remembering(network: Network, keepMs = keptForMs): Network {
  let last: Run | undefined;
  return {
    async run(feeds) {
      if (last === undefined || !areEqual(last.feeds, feeds)) {
        clearTimeout(last?.forget);
        const run: Run = {
          feeds,
          answer: network.run(feeds),
          forget: setTimeout(() => {
            if (last === run) last = undefined;
          }, keepMs).unref(),
        };
        last = run;
        // A run that failed is no answer: the next one tries again.
        run.answer.catch(() => {
          clearTimeout(run.forget);
          if (last === run) last = undefined;
        });
      }
      return structuredClone(await last.answer);
    },
  };
}

function areEqual(one: Tensors, other: Tensors): boolean {
  const names = Object.keys(one);
  return (
    names.length === Object.keys(other).length &&
    names.every((name) => {
      const [a, b] = [one[name]!, other[name]];
      return a.type === b?.type && a.dims.join() === b.dims.join() && bytesOf(a).equals(bytesOf(b));
    })
  );
}

/** Bit by bit, so that not a number is itself, and 0 is not −0. */
const bytesOf = ({ data }: Tensor): Buffer => Buffer.from(data.buffer, data.byteOffset, data.byteLength);
