/** One film on a Cornerstone viewport: shows a DICOM file, moves the view, and says where an image point lies on the page. */
import {
  cache,
  Enums,
  init as startCornerstone,
  RenderingEngine,
  imageLoader,
  type StackViewport,
  type Types,
} from '@cornerstonejs/core';
import { init as startLoader, wadouri } from '@cornerstonejs/dicom-image-loader';
import { demandWholePicture } from './whole-picture.ts';

export type Box = { readonly left: number; readonly top: number; readonly right: number; readonly bottom: number };
/** Image coordinates as in DICOM: the centre of the first pixel is (0.5, 0.5). */
type ImagePoint = readonly [x: number, y: number];
export type PagePoint = readonly [x: number, y: number];

export type Film = {
  /** `frame` counts from 0. Throws when the picture cannot be decoded; does nothing when another was asked for meanwhile. */
  show(file: Uint8Array<ArrayBuffer>, frame: number): Promise<void>;
  clear(): void;
  readonly size: { readonly columns: number; readonly rows: number } | undefined;
  zoomTo(box: Box): void;
  zoomToWhole(): void;
  zoomBy(factor: number, around?: PagePoint): void;
  panBy(x: number, y: number): void;
  /** Brightness and contrast as shares of the picture's own range. */
  windowBy(brightness: number, contrast: number): void;
  resetWindow(): void;
  toPage(point: ImagePoint): PagePoint;
  resize(): void;
};

const viewportId = 'film';

export function makeFilm(surface: HTMLDivElement, onMove: () => void): Film {
  startCornerstone();
  // One film is decoded at a time; the second worker is there when the first is lost in a damaged one.
  startLoader({ maxWebWorkers: 2 });
  const engine = new RenderingEngine('wetread');
  engine.enableElement({
    viewportId,
    type: Enums.ViewportType.STACK,
    element: surface,
    defaultOptions: { background: [0, 0, 0] },
  });
  const viewport = engine.getViewport(viewportId) as StackViewport;
  surface.addEventListener(Enums.Events.IMAGE_RENDERED, onMove);
  surface.addEventListener(Enums.Events.CAMERA_MODIFIED, onMove);

  let asked = 0;
  let held: { readonly imageId: string; readonly file: number } | undefined;
  let shown: { readonly columns: number; readonly rows: number } | undefined;

  const toWorld = ([x, y]: ImagePoint): Types.Point3 => {
    const { imageData } = viewport.getImageData() as { imageData: { indexToWorld(index: Types.Point3): Types.Point3 } };
    // Cornerstone counts from the centre of the first pixel, DICOM's image coordinates from its corner.
    return imageData.indexToWorld([x - 0.5, y - 0.5, 0]);
  };

  const forget = () => {
    asked += 1;
    shown = undefined;
    if (held === undefined) return;
    cache.removeImageLoadObject(held.imageId, { force: true });
    wadouri.dataSetCacheManager.purge();
    // Not purged: numbers would begin again at 0, and under an id it knows the viewport draws the film it had before.
    wadouri.fileManager.remove(held.file);
    held = undefined;
  };

  return {
    async show(file, frame) {
      forget();
      const own = asked;
      const imageId = `${wadouri.fileManager.add(new Blob([file]))}${frame > 0 ? `?frame=${frame + 1}` : ''}`;
      // Parsed, then decoded, each on its own: the loader and setStack never settle when either fails on the way.
      const { url } = wadouri.parseImageId(imageId);
      held = { imageId, file: Number(url) };
      demandWholePicture(await withinTime(wadouri.dataSetCacheManager.load(url, wadouri.loadFileRequest, imageId)));
      await withinTime(imageLoader.loadAndCacheImage(imageId));
      // A film that took longer to unpack than the one asked for after it must not take its place under that one's overlay.
      if (own !== asked) return;
      await viewport.setStack([imageId]);
      if (own !== asked) return;
      const { dimensions } = viewport.getImageData();
      shown = { columns: dimensions[0], rows: dimensions[1] };
      viewport.render();
    },

    clear() {
      forget();
    },

    get size() {
      return shown;
    },

    zoomTo({ left, top, right, bottom }) {
      const from = toWorld([left, top]);
      const to = toWorld([right, bottom]);
      const across = distance(from, toWorld([right, top]));
      const down = distance(from, toWorld([left, bottom]));
      const centre: Types.Point3 = [(from[0] + to[0]) / 2, (from[1] + to[1]) / 2, (from[2] + to[2]) / 2];
      const aspect = surface.clientWidth / Math.max(1, surface.clientHeight);
      lookAt(viewport, centre, Math.max(down, across / aspect) / 2);
    },

    zoomToWhole() {
      viewport.resetCamera();
      viewport.render();
    },

    zoomBy(factor, around) {
      const { focalPoint, parallelScale } = viewport.getCamera();
      if (focalPoint === undefined || parallelScale === undefined) return;
      const scale = parallelScale / factor;
      if (around === undefined) return lookAt(viewport, focalPoint, scale);
      // The point under the pointer stays where it is.
      const fixed = viewport.canvasToWorld([...around]);
      const moved = focalPoint.map((value, axis) => fixed[axis]! + (value - fixed[axis]!) / factor) as Types.Point3;
      lookAt(viewport, moved, scale);
    },

    panBy(x, y) {
      const { focalPoint, parallelScale } = viewport.getCamera();
      if (focalPoint === undefined || parallelScale === undefined) return;
      const from = viewport.canvasToWorld([0, 0]);
      const to = viewport.canvasToWorld([x, y]);
      lookAt(
        viewport,
        focalPoint.map((value, axis) => value - (to[axis]! - from[axis]!)) as Types.Point3,
        parallelScale,
      );
    },

    windowBy(brightness, contrast) {
      const { voiRange, invert } = viewport.getProperties();
      if (voiRange === undefined) return;
      const width = voiRange.upper - voiRange.lower;
      const centre = (voiRange.upper + voiRange.lower) / 2 - brightness * width * (invert ? -1 : 1);
      const half = Math.max(1, width * Math.exp(-contrast)) / 2;
      viewport.setProperties({ voiRange: { lower: centre - half, upper: centre + half } });
      viewport.render();
    },

    resetWindow() {
      viewport.resetProperties();
      viewport.render();
    },

    toPage: (point) => {
      const [x, y] = viewport.worldToCanvas(toWorld(point));
      return [x, y];
    },

    resize: () => engine.resize(true, true),
  };
}

function lookAt(viewport: StackViewport, target: Types.Point3, parallelScale: number): void {
  const { focalPoint, position } = viewport.getCamera();
  if (focalPoint === undefined || position === undefined) return;
  const moved = position.map((value, axis) => value + target[axis]! - focalPoint[axis]!) as Types.Point3;
  viewport.setCamera({ focalPoint: target, position: moved, parallelScale });
  viewport.render();
}

/** A decoder that met damaged data may never answer. */
const longestDecodingMs = 20_000;

function withinTime<Result>(work: Promise<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the decoder does not answer')), longestDecodingMs);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

const distance = (one: Types.Point3, other: Types.Point3): number =>
  Math.hypot(one[0] - other[0], one[1] - other[1], one[2] - other[2]);
