/** From what a network says to a probability that means what it says: the manifest's calibration, label by label. */
import type { OutputTensor } from '../kit/model-pack.ts';
import type { Calibration, NetworkOutput } from '../kit/network-manifest.ts';

/** Labels lie along the second axis where there is one. */
export function calibrated(tensor: OutputTensor, calibration: NonNullable<NetworkOutput['calibration']>): Float32Array {
  const { data, dims } = tensor;
  const labels = dims[1] ?? 1;
  const inner = dims.slice(2).reduce((product, size) => product * size, 1);
  switch (calibration.method) {
    case 'temperature':
      return activated(
        data.map((value) => value / calibration.temperature),
        calibration.activation,
        labels,
        inner,
      );
    case 'platt':
      return data.map((value, at) => {
        const label = Math.floor(at / inner) % labels;
        return sigmoid(nth(calibration.slope, label) * value + nth(calibration.intercept, label));
      });
    case 'isotonic':
      return activated(data, calibration.activation, labels, inner).map((value) => between(value, calibration));
  }
}

const sigmoid = (value: number): number => 1 / (1 + Math.exp(-value));
const nth = (one: number | readonly number[], index: number): number => (typeof one === 'number' ? one : one[index]!);

function activated(
  data: Float32Array,
  activation: 'softmax' | 'sigmoid' | 'none',
  labels: number,
  inner: number,
): Float32Array {
  if (activation === 'none') return data;
  if (activation === 'sigmoid') return data.map(sigmoid);
  const result = new Float32Array(data.length);
  for (let item = 0; item < data.length; item += labels * inner)
    for (let place = 0; place < inner; place += 1) {
      const at = (label: number): number => item + label * inner + place;
      let most = -Infinity;
      for (let label = 0; label < labels; label += 1) most = Math.max(most, data[at(label)]!);
      let sum = 0;
      for (let label = 0; label < labels; label += 1) sum += Math.exp(data[at(label)]! - most);
      for (let label = 0; label < labels; label += 1) result[at(label)] = Math.exp(data[at(label)]! - most) / sum;
    }
  return result;
}

/** The straight line between the two nearest points; level beyond the ends. */
function between(value: number, { x, y }: Extract<Calibration, { method: 'isotonic' }>): number {
  const above = x.findIndex((one) => one >= value);
  if (above === 0) return y[0]!;
  if (above < 0) return y.at(-1)!;
  const share = (value - x[above - 1]!) / (x[above]! - x[above - 1]!);
  return y[above - 1]! + share * (y[above]! - y[above - 1]!);
}
