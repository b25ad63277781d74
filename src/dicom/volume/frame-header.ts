/** One frame of a series without its pixels: single-frame objects and the frames of enhanced ones look alike from here. */
import type { SopUid } from '../../domain/ids.ts';
import type { Vector } from '../../domain/slice.ts';
import type { InstanceMetadata } from '../../domain/study.ts';
import { straightened } from './plane.ts';

export type FrameHeader = {
  readonly sopUid: SopUid;
  /** From 0. */
  readonly frame: number;
  readonly object: InstanceMetadata;
  /** Values 3 and further of Image Type: LOCALIZER, MPR, PHASE MAP … (PS3.3 C.7.6.1.1.2). */
  readonly imageType: readonly string[];
  /** Centre of the first pixel. */
  readonly position?: Vector;
  readonly orientation?: readonly [alongRow: Vector, alongColumn: Vector];
  readonly pixelSpacing?: readonly [rowMm: number, columnMm: number];
  readonly sliceLocationMm?: number;
  readonly echoTimeMs?: number;
  readonly echoNumber?: number;
  readonly inversionTimeMs?: number;
  readonly temporalPosition?: number;
  readonly triggerTimeMs?: number;
  readonly diffusionBValue?: number;
};

export function frameHeadersOf(object: InstanceMetadata): FrameHeader[] {
  const planes = new Map(object.planes.map((plane) => [plane.frame, plane]));
  const { mr } = object;
  return Array.from({ length: object.frames }, (_, frame) => {
    const plane = planes.get(frame);
    const orientation = plane && straightened(plane.orientation);
    const { rowSpacingMm, columnSpacingMm } = plane ?? {};
    return defined({
      sopUid: object.sopUid,
      frame,
      object,
      imageType: (plane?.imageType ?? object.imageType).slice(2).map((value) => value.toUpperCase()),
      position: plane?.position.every(Number.isFinite) === true ? plane.position : undefined,
      orientation,
      pixelSpacing:
        rowSpacingMm === undefined || columnSpacingMm === undefined ? undefined : [rowSpacingMm, columnSpacingMm],
      sliceLocationMm: object.sliceLocationMm,
      echoTimeMs: plane?.echoTimeMs ?? mr?.echoTimeMs,
      echoNumber: mr?.echoNumber,
      inversionTimeMs: mr?.inversionTimeMs,
      temporalPosition: plane?.temporalPosition ?? object.temporalPosition,
      triggerTimeMs: object.triggerTimeMs,
      diffusionBValue: plane?.diffusionBValue ?? mr?.diffusionBValue,
    }) as FrameHeader;
  });
}

const defined = <Fields extends object>(fields: Fields): Partial<Fields> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<Fields>;
