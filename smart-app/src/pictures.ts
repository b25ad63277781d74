/** Finds a study's pictures in the archive and fetches one as a DICOM file, through the service's proxy. */
import { onlyPart } from './multipart.ts';
import { ServiceError, type Service } from './service.ts';

export type Picture = { readonly studyUid: string; readonly seriesUid: string; readonly sopUid: string };

/** DICOM JSON (PS3.18 F.2): tags as keys. */
type DicomJson = Readonly<Record<string, { readonly Value?: readonly unknown[] } | undefined>>;

const tags = {
  modality: '00080060',
  sopClass: '00080016',
  sopUid: '00080018',
  seriesUid: '0020000E',
  number: '00200013',
};
/** Objects that hold no picture of the patient: reports, segmentations, presentation states, key notes, documents, overlays. */
const notPictures: ReadonlySet<string> = new Set([
  'SR',
  'SEG',
  'PR',
  'KO',
  'DOC',
  'REG',
  'RTSTRUCT',
  'AU',
  'FID',
  'SMR',
]);

const first = (object: DicomJson, tag: string): string => String(object[tag]?.Value?.[0] ?? '');

export function pictureFinder(service: Service) {
  const known = new Map<string, Promise<readonly Picture[]>>();

  async function search(studyUid: string): Promise<readonly Picture[]> {
    const rows = async (path: string) => (await (await service.dicomweb(path)).json()) as readonly DicomJson[];
    const series = (await rows(`/studies/${studyUid}/series`)).filter(
      (row) => !notPictures.has(first(row, tags.modality)),
    );
    const perSeries = await Promise.all(
      series.map(async (row) => {
        const seriesUid = first(row, tags.seriesUid);
        const instances = await rows(`/studies/${studyUid}/series/${seriesUid}/instances`);
        return instances
          .toSorted((one, other) => Number(first(one, tags.number)) - Number(first(other, tags.number)))
          .map((instance): Picture => ({ studyUid, seriesUid, sopUid: first(instance, tags.sopUid) }));
      }),
    );
    return perSeries.flat();
  }

  return {
    of(studyUid: string): Promise<readonly Picture[]> {
      const found = known.get(studyUid) ?? search(studyUid);
      known.set(studyUid, found);
      // A failure is not remembered: the next look asks again.
      found.catch(() => known.delete(studyUid));
      return found;
    },
  };
}

/** The whole DICOM Part 10 file, byte by byte as the archive keeps it: the codec runs here, no copy is made on the way. */
export async function fetchPicture(
  service: Service,
  { studyUid, seriesUid, sopUid }: Picture,
  options: { readonly signal: AbortSignal; readonly onProgress: (bytes: number, of: number | undefined) => void },
): Promise<Uint8Array<ArrayBuffer>> {
  const path = `/studies/${studyUid}/series/${seriesUid}/instances/${sopUid}`;
  const response = await service.dicomweb(path, options.signal);
  const length = Number(response.headers.get('content-length') ?? 0) || undefined;
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    const reader = response.body!.getReader();
    for (let step = await reader.read(); !step.done; step = await reader.read()) {
      chunks.push(step.value);
      size += step.value.byteLength;
      options.onProgress(size, length);
    }
  } catch (error) {
    if (options.signal.aborted) throw error;
    throw cutOff();
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  const file = onlyPart(bytes, response.headers.get('content-type') ?? '');
  if (file === undefined) throw cutOff();
  return file;
}

const cutOff = (): ServiceError =>
  new ServiceError({
    code: 'archive.incomplete',
    message: 'The image did not arrive whole.',
    next: 'Try again; nothing is shown of a cut-off image.',
  });
