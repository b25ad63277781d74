/** Which frames of a series cannot be one stack: another patient frame, direction, size, echo, time or diffusion weighting. */
import type { Vector } from '../../domain/slice.ts';
import type { FrameHeader } from './frame-header.ts';
import { lieOf } from './plane.ts';
import { dot, length, minus } from './vector.ts';

export type Drop = (frames: readonly FrameHeader[], why: string) => void;
export type Group = { readonly frames: readonly FrameHeader[]; readonly apartBy: readonly string[] };

type Difference = {
  readonly name: string;
  /** Frames with the same text belong together; undefined when the header does not say. */
  readonly of: (frame: FrameHeader) => string | undefined;
};

const rounded = (value: number, decimals: number): string => String(Number(value.toFixed(decimals)));
const within = (unit: string, decimals: number, value: number | undefined): string | undefined =>
  value === undefined ? undefined : `${rounded(value, decimals)}${unit}`;

const differences: readonly Difference[] = [
  { name: 'frame of reference', of: ({ object }) => object.frameOfReferenceUid },
  { name: 'image type', of: ({ imageType }) => (imageType.length === 0 ? undefined : imageType.join(' ')) },
  {
    name: 'size',
    of: ({ object: { rows, columns } }) =>
      rows === undefined || columns === undefined ? undefined : `${columns} × ${rows}`,
  },
  { name: 'pixel size', of: ({ pixelSpacing }) => pixelSpacing?.map((mm) => rounded(mm, 3)).join(' × ') },
  {
    name: 'echo',
    of: ({ echoTimeMs, echoNumber }) => within(' ms', 1, echoTimeMs) ?? within('', 0, echoNumber),
  },
  { name: 'inversion time', of: ({ inversionTimeMs }) => within(' ms', 0, inversionTimeMs) },
  { name: 'time', of: ({ temporalPosition }) => within('', 0, temporalPosition) },
  { name: 'b-value', of: ({ diffusionBValue }) => within('', 0, diffusionBValue) },
];

/** Splits by everything that differs, and by direction; what is not said joins the only value there is. */
export function splitByHeader(frames: readonly FrameHeader[], drop: Drop): Group[] {
  let groups: Group[] = [{ frames, apartBy: [] }];
  for (const difference of differences) groups = groups.flatMap((group) => splitBy(group, difference));
  return groups.flatMap((group) => splitByDirection(group, drop));
}

function splitBy({ frames, apartBy }: Group, { name, of }: Difference): Group[] {
  const known = new Set(frames.map(of).filter((text) => text !== undefined));
  if (known.size < 2) return [{ frames, apartBy }];
  const parts = Map.groupBy(frames, (frame) => of(frame) ?? 'unknown');
  return [...parts].map(([text, own]) => ({ frames: own, apartBy: [...apartBy, `${name} ${text}`] }));
}

/** Within a degree: one stack's are written alike but for rounding; slices that follow the discs differ by several. */
const sameDirection = Math.cos(Math.PI / 180);

/** A header may claim a direction for each of its hundred thousand frames; comparing all with all would take minutes. */
const mostParts = 64;

function splitByDirection({ frames, apartBy }: Group, drop: Drop): Group[] {
  const parts: { direction: readonly [Vector, Vector] | undefined; frames: FrameHeader[] }[] = [];
  const rest: FrameHeader[] = [];
  for (const frame of frames) {
    const { orientation } = frame;
    const own = parts.find(({ direction }) =>
      direction === undefined || orientation === undefined
        ? direction === orientation
        : dot(direction[0], orientation[0]) > sameDirection && dot(direction[1], orientation[1]) > sameDirection,
    );
    if (own !== undefined) own.frames.push(frame);
    else if (parts.length < mostParts) parts.push({ direction: orientation, frames: [frame] });
    else rest.push(frame);
  }
  // Frames that do not say how they lie go with the first that do, where they are left out with that reason.
  const nowhere = parts.findIndex(({ direction }) => direction === undefined);
  if (nowhere >= 0 && parts.length > 1) {
    const [taken] = parts.splice(nowhere, 1);
    parts[0]!.frames = [...parts[0]!.frames, ...taken!.frames];
  }
  drop(rest, `the series has more than ${mostParts} directions`);
  if (parts.length === 1) return [{ frames: parts[0]!.frames, apartBy }];
  return parts.map(({ direction, frames: own }) => {
    const lie = direction && lieOf(direction);
    const says = lie === undefined ? 'unknown' : `${lie.plane}, ${rounded(lie.obliqueDegrees, 1)}° off`;
    return { frames: own, apartBy: [...apartBy, `direction ${says}`] };
  });
}

/** Nearer than this, two slices lie at one place: scanners write positions to a hundredth of a millimetre and better. */
export const samePlaceMm = 0.05;
/** Corners of one stack line up; the next station of a whole spine begins centimetres away. */
const sameCornerMm = 5;

/** Stations of a spine, or a left and a right block, may have the same places along the normal and lie beside each other. */
export function splitSideBySide({ frames, apartBy }: Group, normal: Vector): Group[] {
  const placed = frames.toSorted((a, b) => dot(a.position!, normal) - dot(b.position!, normal));
  const beside = placed.some((frame, at) => {
    const next = placed[at + 1];
    if (next === undefined) return false;
    const step = minus(next.position!, frame.position!);
    const along = Math.abs(dot(step, normal));
    return along < samePlaceMm && length(step) > sameCornerMm;
  });
  if (!beside) return [{ frames, apartBy }];
  const blocks: { corner: Vector; frames: FrameHeader[] }[] = [];
  for (const frame of frames) {
    const own = blocks.find(({ corner }) => {
      const step = minus(frame.position!, corner);
      return Math.sqrt(Math.max(0, length(step) ** 2 - dot(step, normal) ** 2)) <= sameCornerMm;
    });
    if (own !== undefined) own.frames.push(frame);
    else if (blocks.length < mostParts) blocks.push({ corner: frame.position!, frames: [frame] });
    else blocks.at(-1)!.frames.push(frame);
  }
  return blocks.map(({ corner, frames: own }) => ({
    frames: own,
    apartBy: [...apartBy, `block at ${corner.map((mm) => rounded(mm, 0)).join(', ')} mm`],
  }));
}

/**
 * The same places several times over: a series of passes (perfusion, cine, diffusion directions) when most places are
 * taken equally often, and copies otherwise, of which the first is kept.
 */
export function splitRepeats(
  { frames, apartBy }: Group,
  placeOf: (frame: FrameHeader) => number,
): { passes: Group[]; copies: FrameHeader[] } {
  const places: FrameHeader[][] = [];
  let last = Number.NEGATIVE_INFINITY;
  for (const frame of frames.toSorted((a, b) => placeOf(a) - placeOf(b))) {
    if (placeOf(frame) - last < samePlaceMm) places.at(-1)!.push(frame);
    else places.push([frame]);
    last = placeOf(frame);
  }
  for (const place of places) place.sort(inTime);
  const counts = places.map(({ length: count }) => count).toSorted((a, b) => a - b);
  const usual = counts[counts.length >> 1] ?? 1;
  if (usual === 1) {
    return {
      passes: [{ frames: places.map(([first]) => first!), apartBy }],
      copies: places.flatMap((place) => place.slice(1)),
    };
  }
  return {
    passes: Array.from({ length: usual }, (_, pass) => ({
      frames: places.flatMap((place) => place[pass] ?? []),
      apartBy: [...apartBy, `pass ${pass + 1} of ${usual}`],
    })),
    copies: places.flatMap((place) => place.slice(usual)),
  };
}

export function inTime(a: FrameHeader, b: FrameHeader): number {
  const number = (value: number | undefined) => value ?? 0;
  return (
    number(a.object.acquisitionNumber) - number(b.object.acquisitionNumber) ||
    number(a.triggerTimeMs) - number(b.triggerTimeMs) ||
    number(a.object.instanceNumber) - number(b.object.instanceNumber) ||
    a.sopUid.localeCompare(b.sopUid) ||
    a.frame - b.frame
  );
}
