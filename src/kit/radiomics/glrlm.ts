/** Grey level run lengths (IBSI 3.7): stretches of one level along a direction. */
import {
  averaged,
  distances,
  isVolume,
  partsOf,
  stepsInSlice,
  stepsInVolume,
  type Aggregation,
  type Features,
  type Levels,
} from './region.ts';
import { SizeMatrix, sizeFeatures } from './size-features.ts';

const words = { small: 'shortRuns', large: 'longRuns', size: 'runLength', plural: 'run' };

export function glrlm(levels: Levels, aggregation: Aggregation): Features {
  const steps = isVolume(aggregation) ? stepsInVolume : stepsInSlice;
  const perPart = partsOf(levels, aggregation).map((part) => {
    const voxels = part.inside.length;
    const matrices = Array.from(distances(part, steps), (distance) => runs(part, distance));
    return aggregation.endsWith('average')
      ? averaged(matrices.map((matrix) => sizeFeatures(matrix, voxels, words)))
      : // Every voxel is counted once a direction.
        sizeFeatures(
          matrices.reduce((sum, matrix) => sum.merge(matrix), new SizeMatrix()),
          voxels * steps.length,
          words,
        );
  });
  return averaged(perPart);
}

function runs({ framed, inside }: Levels, distance: number): SizeMatrix {
  const matrix = new SizeMatrix();
  for (const place of inside) {
    const level = framed[place]!;
    if (framed[place - distance] === level) continue;
    let length = 1;
    while (framed[place + length * distance] === level) length += 1;
    matrix.add(level, length);
  }
  return matrix;
}
