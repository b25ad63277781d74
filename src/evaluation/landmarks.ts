/** Corners found against corners a reader set: distances in pixels. */

/** Pixels of the picture, by name such as `L4.posteriorSuperior`. */
export type Landmarks = Readonly<Record<string, readonly [x: number, y: number]>>;

export type LandmarkCase = { readonly truth: Landmarks; readonly found: Landmarks };

const partOf = (name: string): string => name.split('.')[0]!;

/** The middle of each part: `L4.anteriorSuperior` is a landmark of L4. */
export function centresOf(landmarks: Landmarks): Map<string, readonly [x: number, y: number]> {
  const middle = (places: readonly (readonly [number, number])[], axis: 0 | 1): number =>
    places.reduce((sum, place) => sum + place[axis], 0) / places.length;
  const parts = Map.groupBy(Object.entries(landmarks), ([name]) => partOf(name));
  return new Map(
    [...parts].map(([part, members]) => {
      const places = members.map(([, at]) => at);
      return [part, [middle(places, 0), middle(places, 1)]];
    }),
  );
}

/** For every true part the found one that lies there, whatever it was called: none farther from it than `within` pixels. */
export function whateverCalled(
  { truth, found }: LandmarkCase,
  within: number,
): LandmarkCase & { readonly names: readonly { readonly part: string; readonly called: string }[] } {
  const places = [...centresOf(found)];
  const named = [...centresOf(truth)].flatMap(([part, [x, y]]) => {
    const away = ([, [px, py]]: (typeof places)[number]): number => Math.hypot(px - x, py - y);
    const [nearest] = places.toSorted((a, b) => away(a) - away(b));
    return nearest !== undefined && away(nearest) <= within ? [{ part, called: nearest[0] }] : [];
  });
  const landmarks = named.flatMap(({ part, called }) =>
    Object.entries(found).flatMap(([name, at]) => {
      const [own, ...rest] = name.split('.');
      return own === called ? [[[part, ...rest].join('.'), at] as const] : [];
    }),
  );
  return { truth, found: Object.fromEntries(landmarks), names: named };
}

/** Distances in pixels of the landmarks that both have. */
export function distances({ truth, found }: LandmarkCase): { readonly name: string; readonly pixels: number }[] {
  return Object.entries(truth).flatMap(([name, [x, y]]) => {
    const other = found[name];
    return other === undefined ? [] : [{ name, pixels: Math.hypot(other[0] - x, other[1] - y) }];
  });
}
