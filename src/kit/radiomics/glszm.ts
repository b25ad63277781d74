/** Grey level size zones (IBSI 3.8): connected patches of one level. */
import {
  averaged,
  bothWays,
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

const words = { small: 'smallZones', large: 'largeZones', size: 'zoneSize', plural: 'zone' };

export function glszm(levels: Levels, aggregation: Aggregation): Features {
  const around = bothWays(isVolume(aggregation) ? stepsInVolume : stepsInSlice);
  return averaged(
    partsOf(levels, aggregation).map((part) =>
      sizeFeatures(zones(part, distances(part, around)), part.inside.length, words),
    ),
  );
}

function zones({ framed, inside }: Levels, around: Int32Array): SizeMatrix {
  const matrix = new SizeMatrix();
  const seen = new Uint8Array(framed.length);
  const stack = new Int32Array(inside.length);
  for (const start of inside) {
    if (seen[start] === 1) continue;
    const level = framed[start]!;
    seen[start] = 1;
    stack[0] = start;
    let [waiting, size] = [1, 0];
    while (waiting > 0) {
      waiting -= 1;
      const place = stack[waiting]!;
      size += 1;
      for (const distance of around) {
        const next = place + distance;
        if (seen[next] === 1 || framed[next] !== level) continue;
        seen[next] = 1;
        stack[waiting] = next;
        waiting += 1;
      }
    }
    matrix.add(level, size);
  }
  return matrix;
}
