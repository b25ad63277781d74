/** Radiomics of single vertebrae, cut out by the corners that were found: all families, as the slowest one in twenty takes. */
import type { Landmark } from '../src/domain/finding.ts';
import type { GreyImage } from '../src/domain/image.ts';
import { radiomicsOf } from '../src/kit/radiomics/radiomics.ts';
import { cropSide, inCrop, polygonMask, uprightCrop, uprightFrame, type BodyCorners } from '../src/kit/upright-crop.ts';
import type { BenchRow } from './row.ts';

const levels = ['T12', 'L1', 'L2', 'L3', 'L4', 'L5'];
const places = ['posteriorInferior', 'anteriorInferior', 'anteriorSuperior', 'posteriorSuperior'];
const rounds = 8;

/** By processor time, the collector's included: a film's vertebrae come one after the other. */
export function radiomicsRow(
  films: readonly { readonly image: GreyImage; readonly corners: readonly Landmark[] }[],
): BenchRow {
  const cuts = films.flatMap(({ image, corners }) =>
    levels.flatMap((level) => {
      const found = places.map((place) => corners.find(({ name }) => name === `${level}.${place}`)?.at);
      return found.every((at) => at !== undefined) ? [cutOf(image, found as unknown as BodyCorners)] : [];
    }),
  );
  const times: number[] = [];
  const limits: number[] = [];
  // The first round warms the compiler.
  for (let round = 0; round <= rounds; round += 1)
    for (const cut of cuts) {
      const took = processorMilliseconds(() => radiomicsOf(cut));
      const limit = processorMilliseconds(() => eightNeighbours(cut));
      if (round === 0) continue;
      times.push(took);
      limits.push(limit);
    }
  const [value, middle] = [quantile(times, 0.95), quantile(times, 0.5)];
  return {
    name: `radiomics of a vertebra, 95th percentile of ${cuts.length} (median ${middle.toFixed(1)} ms)`,
    value,
    unit: 'ms',
    limit: quantile(limits, 0.5),
    limitName: 'one look at eight neighbours',
    ratio: middle / quantile(limits, 0.5),
    target: '≤ 20 ms of processor time',
    pass: value <= 20,
  };
}

function cutOf({ rows, columns, intensities }: GreyImage, corners: BodyCorners) {
  const frame = uprightFrame(corners);
  return {
    columns: cropSide,
    rows: cropSide,
    slices: 1,
    values: uprightCrop({ rows, columns, values: intensities }, frame),
    mask: polygonMask(corners.map((corner) => inCrop(corner, frame))),
  };
}

/** What no texture can do without: each pixel compared with those around it. */
function eightNeighbours({ values, mask, columns }: ReturnType<typeof cutOf>): number {
  const around = [-columns - 1, -columns, -columns + 1, -1, 1, columns - 1, columns, columns + 1];
  let apart = 0;
  for (let place = 0; place < mask.length; place += 1)
    if (mask[place] === 1) for (const step of around) apart += Math.abs(values[place]! - (values[place + step] ?? 0));
  return apart;
}

function processorMilliseconds(work: () => unknown): number {
  const started = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(started);
  return (user + system) / 1000;
}

const quantile = (values: readonly number[], share: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(share * values.length))]!;
