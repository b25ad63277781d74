/** Corners found against corners a reader set: distances in pixels. */

/** Pixels of the picture, by name such as `L4.posteriorSuperior`. */
export type Landmarks = Readonly<Record<string, readonly [x: number, y: number]>>;

export type LandmarkCase = { readonly truth: Landmarks; readonly found: Landmarks };

/** Distances in pixels of the landmarks that both have. */
export function distances({ truth, found }: LandmarkCase): { readonly name: string; readonly pixels: number }[] {
  return Object.entries(truth).flatMap(([name, [x, y]]) => {
    const other = found[name];
    return other === undefined ? [] : [{ name, pixels: Math.hypot(other[0] - x, other[1] - y) }];
  });
}
