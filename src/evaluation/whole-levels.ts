/** Whether a spine was counted wrongly: the same corners under names that are one or more vertebrae off. */
import { mean } from './intervals.ts';
import { distances, type Landmarks } from './landmarks.ts';

const counted = (letter: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${letter}${index + 1}`);
/** From the head down. */
const vertebrae = [...counted('C', 7), ...counted('T', 12), ...counted('L', 5), 'S1'];

const farthest = 3;

export type LevelShift = {
  /** 0: counted rightly. 1: every name is of the vertebra one further down, L1 called L2. */
  readonly levels: number;
  /** The landmarks under the names that fit best. */
  readonly landmarks: Landmarks;
};

/** Undefined where landmarks are not named after vertebrae. */
export function bestShift(truth: Landmarks, found: Landmarks): LevelShift | undefined {
  if (!Object.keys(found).every((name) => vertebrae.includes(partOf(name)))) return undefined;
  const unshifted = distances({ truth, found }).length;
  const candidates = Array.from({ length: 2 * farthest + 1 }, (_, index) => index - farthest).flatMap((levels) => {
    const landmarks = renamed(found, -levels);
    const apart = distances({ truth, found: landmarks });
    // A shift that leaves hardly anything to compare would always win.
    return apart.length === 0 || apart.length < unshifted / 2
      ? []
      : [{ levels, landmarks, distance: mean(apart.map(({ pixels }) => pixels)) }];
  });
  // Of equals the smallest change.
  const [best] = candidates.toSorted((a, b) => a.distance - b.distance || Math.abs(a.levels) - Math.abs(b.levels));
  return best && { levels: best.levels, landmarks: best.landmarks };
}

const partOf = (name: string): string => name.split('.')[0]!;

function renamed(found: Landmarks, by: number): Landmarks {
  return Object.fromEntries(
    Object.entries(found).flatMap(([name, at]) => {
      const [part, ...rest] = name.split('.');
      const other = vertebrae[vertebrae.indexOf(part!) + by];
      return other === undefined ? [] : [[[other, ...rest].join('.'), at]];
    }),
  );
}
