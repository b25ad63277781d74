/** From (column, row, slice) to the patient: PS3.3 C.7.6.2.1.1, with the slices' own step as the third direction. */
import type { Stack } from '../../domain/slice.ts';
import type { FrameHeader } from './frame-header.ts';
import { minus, times } from './vector.ts';

/** The step is that from the first to the last slice, so that a tilted gantry shears the volume as it should. */
export function affineOf(frames: readonly FrameHeader[]): Pick<Stack, 'affine'> {
  const [first, last] = [frames[0], frames.at(-1)];
  const { position, orientation, pixelSpacing } = first ?? {};
  if (position === undefined || orientation === undefined || pixelSpacing === undefined) return {};
  if (last?.position === undefined || frames.length < 2) return {};
  const [rowMm, columnMm] = pixelSpacing;
  const [alongRow, alongColumn] = orientation;
  // Pixel Spacing is the distance of rows, then of columns; columns are counted along a row.
  const column = times(alongRow, columnMm);
  const row = times(alongColumn, rowMm);
  const slice = times(minus(last.position, position), 1 / (frames.length - 1));
  return {
    affine: ([0, 1, 2] as const).map((axis) => [column[axis], row[axis], slice[axis], position[axis]] as const),
  };
}
