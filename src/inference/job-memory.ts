/** Before a job crosses to the thread: each of its arrays in memory of its own, which then moves without another copy. */
import type { PreparedInput } from './preprocess.ts';
import type { PackJob } from './pack-job.ts';

export function onItsOwn<Job extends PackJob>(job: Job): { job: Job; memory: ArrayBuffer[] } {
  const memory: ArrayBuffer[] = [];
  // What came through the pipe lies in the middle of one large buffer.
  const own = (values: Float32Array): Float32Array => {
    const copy = values.slice();
    memory.push(copy.buffer);
    return copy;
  };
  const inputs = Object.fromEntries(
    Object.entries(job.inputs).map(([network, tensors]) => [
      network,
      Object.fromEntries(
        Object.entries(tensors).map(([name, prepared]): [string, PreparedInput] => [
          name,
          { ...prepared, data: own(prepared.data) },
        ]),
      ),
    ]),
  );
  const native = job.native && { native: own(job.native) };
  const hounsfield = job.hounsfield && { hounsfield: own(job.hounsfield) };
  return { job: { ...job, inputs, ...native, ...hounsfield }, memory };
}
