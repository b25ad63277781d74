/** From the headers of a series to stacks in the patient's order; whatever is left out or set apart is said. */
import type { SeriesUid } from '../../domain/ids.ts';
import type { Arrangement, DroppedFrame, Stack, Vector } from '../../domain/slice.ts';
import type { InstanceMetadata } from '../../domain/study.ts';
import { affineOf } from './affine.ts';
import { frameHeadersOf, type FrameHeader } from './frame-header.ts';
import { largest, measureCorners, measurePlaces, smallest } from './measure.ts';
import { lieOf, type Lie } from './plane.ts';
import { scoutBy } from './scout.ts';
import { sequenceOf } from './sequence.ts';
import { inTime, splitByHeader, splitRepeats, splitSideBySide, type Drop, type Group } from './split.ts';
import { dot } from './vector.ts';

export function arrangeSeries(series: SeriesUid, objects: readonly InstanceMetadata[]): Arrangement {
  const dropped: DroppedFrame[] = [];
  const remarks: string[] = [];
  const drop: Drop = (frames, why) => {
    for (const { sopUid, frame } of frames) dropped.push({ sopUid, frame, why });
  };

  const once = [...new Map(objects.map((object) => [object.sopUid, object])).values()];
  if (once.length < objects.length) remarks.push(`${objects.length - once.length} objects are listed twice`);
  const left = leaveOut(once.flatMap(frameHeadersOf), drop);

  const groups = splitByHeader(left, drop).flatMap((group) => placed(group, drop, remarks));
  const scout = scoutBy(
    groups.map(({ group, lie }) => ({ count: group.frames.length, normal: lie?.normal })),
    left,
  );
  if (scout?.sure === true) {
    // What was left out before has its reason.
    for (const { group } of groups) drop(group.frames, scout.why);
    return { stacks: [], dropped, remarks };
  }
  if (scout !== undefined) remarks.push(scout.why);

  const stacks = groups
    .map((one) => stackOf(series, one, remarks))
    .toSorted((a, b) => b.slices.length - a.slices.length);
  if (stacks.length > 1) {
    const told = stacks.slice(0, 6).map(({ slices, apartBy }) => `${slices.length} with ${apartBy}`);
    remarks.unshift(
      `${stacks.length} stacks in one series: ${told.join('; ')}${stacks.length > told.length ? '; …' : ''}`,
    );
  }
  return { stacks, dropped, remarks };
}

/** What no stack is made of. */
function leaveOut(frames: readonly FrameHeader[], drop: Drop): FrameHeader[] {
  const someAreGrey = frames.some(({ object }) => (object.samplesPerPixel ?? 1) === 1);
  const reasons: readonly (readonly [string, (frame: FrameHeader) => boolean])[] = [
    ['Image Type says LOCALIZER', ({ imageType }) => imageType.includes('LOCALIZER')],
    ['it is no picture', ({ object }) => object.rows === undefined && object.columns === undefined],
    // A page of the dose report, a coloured map: beside grey slices it is no slice.
    ['it is in colour', ({ object }) => someAreGrey && (object.samplesPerPixel ?? 1) > 1],
  ];
  let left = [...frames];
  for (const [why, applies] of reasons) {
    drop(left.filter(applies), why);
    left = left.filter((frame) => !applies(frame));
  }
  return left;
}

type Placed = {
  readonly group: Group;
  readonly orderedBy: Stack['orderedBy'];
  readonly lie: Lie | undefined;
  readonly placeOf: ((frame: FrameHeader) => number) | undefined;
};

/** Decides what orders a group, and takes apart what lies at the same places. */
function placed(group: Group, drop: Drop, remarks: string[]): Placed[] {
  const saysWhere = ({ position, orientation }: FrameHeader) => position !== undefined && orientation !== undefined;
  const sure = group.frames.filter(saysWhere);
  const lie = sure[0]?.orientation && lieOf(sure[0].orientation);
  if (lie === undefined) return [unplaced(group, remarks)];
  const nowhere = group.frames.filter((frame) => !saysWhere(frame));
  if (nowhere.length > 0) drop(nowhere, 'Image Position or Orientation (Patient) is missing where others have it');

  const { normal } = lie;
  const placeOf = ({ position }: FrameHeader) => dot(position!, normal);
  const locations = new Set(sure.map(({ sliceLocationMm }) => sliceLocationMm));
  if (sure.length > 1 && locations.size === sure.length && spread(sure.map(placeOf)) < 0.05) {
    remarks.push('all frames give one Image Position, and Slice Locations of their own, which are believed');
    return [{ ...unplaced({ ...group, frames: sure }, []), lie }];
  }
  return splitSideBySide({ ...group, frames: sure }, normal).flatMap((block) => {
    const { passes, copies } = splitRepeats(block, placeOf);
    drop(copies, 'another slice lies at the same place');
    return passes.map((pass): Placed => ({ group: pass, orderedBy: 'position', lie, placeOf }));
  });
}

function unplaced(group: Group, remarks: string[]): Placed {
  const located = group.frames.every(({ sliceLocationMm }) => sliceLocationMm !== undefined);
  const orderedBy = located ? 'slice-location' : 'instance-number';
  if (group.frames.length > 1) {
    remarks.push(
      `Image Position (Patient) is missing: the order is that of ${located ? 'Slice Location' : 'Instance Number'}`,
    );
  }
  return {
    group,
    orderedBy,
    lie: undefined,
    placeOf: located ? ({ sliceLocationMm }) => sliceLocationMm! : undefined,
  };
}

/** Who reads an outcome wants to know that there are many. */
const mostGapsTold = 5;

const spread = (values: readonly number[]): number => largest(values) - smallest(values);

function stackOf(series: SeriesUid, { group, orderedBy, lie, placeOf }: Placed, remarks: string[]): Stack {
  const frames = group.frames.toSorted((a, b) => (placeOf && placeOf(a) - placeOf(b)) || inTime(a, b));
  const { spacingMm, irregularityMm, gaps } = placeOf === undefined ? { gaps: [] } : measurePlaces(frames.map(placeOf));
  const { tiltDegrees, sidewaysMm } =
    orderedBy === 'position' && lie !== undefined
      ? measureCorners(
          frames.map(({ position }) => position as Vector),
          lie.normal,
        )
      : {};
  const here = group.apartBy.length === 0 ? '' : `${group.apartBy.join(', ')}: `;
  const odd = [
    ...gaps
      .slice(0, mostGapsTold)
      .map(
        ({ afterIndex, distanceMm, missing }) =>
          `${missing} slice${missing === 1 ? '' : 's'} missing after slice ${afterIndex + 1} (${distanceMm.toFixed(1)} mm)`,
      ),
    gaps.length > mostGapsTold ? `${gaps.length - mostGapsTold} more gaps` : '',
    irregularityMm !== undefined && spacingMm !== undefined && irregularityMm > Math.max(0.1 * spacingMm, 0.05)
      ? `distances differ by up to ${irregularityMm.toFixed(2)} mm from the usual ${spacingMm.toFixed(2)} mm`
      : '',
    tiltDegrees === undefined ? '' : `the slices are tilted by ${tiltDegrees.toFixed(1)}° (gantry tilt)`,
    sidewaysMm !== undefined && sidewaysMm > 1 ? `slices lie up to ${sidewaysMm.toFixed(1)} mm beside each other` : '',
  ];
  remarks.push(...odd.filter((text) => text !== '').map((text) => `${here}${text}`));
  return {
    seriesUid: series,
    slices: frames.map((frame) => ({
      sopUid: frame.sopUid,
      frame: frame.frame,
      ...(placeOf && { positionMm: placeOf(frame) }),
    })),
    orderedBy,
    ...(lie && { plane: lie.plane, normal: lie.normal, obliqueDegrees: lie.obliqueDegrees }),
    ...(spacingMm !== undefined && { spacingMm }),
    ...(irregularityMm !== undefined && { irregularityMm }),
    gaps,
    ...(tiltDegrees !== undefined && { tiltDegrees }),
    ...(orderedBy === 'position' && gaps.length === 0 && affineOf(frames)),
    sequence: sequenceOf(frames[0]!),
    apartBy: group.apartBy.join(', '),
  };
}
