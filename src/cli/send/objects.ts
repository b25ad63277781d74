/** DICOM files as they will be sent: who they are, and where their bytes come from. */
import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { withElements } from '../../../sandbox/dicom/part10.ts';
import { datasetStart } from '../../dicom/part10.ts';
import { readDataset } from '../../dicom/dataset.ts';
import { headerJson } from '../../dicom/header-json.ts';
import { readHead } from '../../dicom/read-head.ts';
import { WetreadError } from '../../domain/errors.ts';
import { filesOf, type NamedFile } from '../infer/inputs.ts';

export type ObjectToSend = {
  readonly shown: string;
  readonly sopClassUid: string;
  readonly sopUid: string;
  readonly transferSyntaxUid: string;
  readonly studyUid: string;
  readonly accession?: string;
  /** Patient ID (0010,0020). */
  readonly recordNumber?: string;
  /** Where the dataset begins in the file, and how long the file is. */
  readonly start: number;
  readonly bytes: number;
  whole(): Promise<Uint8Array>;
  /** From `start` on. */
  dataset(): AsyncIterable<Uint8Array>;
};

/** What a file pretends to be, so that a demo film can be anybody's. The file itself stays as it is. */
export type Disguise = {
  readonly recordNumber?: string;
  readonly accession?: string;
  /** Identifiers of its own, so that the same film can arrive again. */
  readonly fresh: boolean;
};

const maxHeaderFile = 4 * 1024 ** 3;
const [accessionTag, patientIdTag] = ['00080050', '00100020'] as const;
const named: ReadonlySet<string> = new Set([accessionTag, patientIdTag]);

/** Throws `dicom.*` for a file that is none. */
export async function objectToSend({ file, shown }: NamedFile, disguised: Disguiser): Promise<ObjectToSend> {
  const bytes = await disguised(file);
  if (bytes !== undefined) return { ...(await identified(bytes, bytes.length)), shown, ...fromMemory(bytes) };
  const handle = await open(file);
  try {
    const { size } = await handle.stat();
    const { head } = await readHead(handle, size, maxHeaderFile);
    const object = await identified(head, size);
    return {
      ...object,
      shown,
      whole: async () => new Uint8Array(await readFile(file)),
      dataset: () => createReadStream(file, { start: object.start, highWaterMark: 1024 * 1024 }),
    };
  } finally {
    await handle.close();
  }
}

export const filesToSend = filesOf;

function fromMemory(bytes: Uint8Array): Pick<ObjectToSend, 'whole' | 'dataset'> {
  return {
    whole: async () => bytes,
    async *dataset() {
      yield bytes.subarray(datasetStart(bytes) || 0);
    },
  };
}

type Identity = Omit<ObjectToSend, 'shown' | 'whole' | 'dataset'>;

async function identified(head: Uint8Array, size: number): Promise<Identity> {
  const start = datasetStart(head);
  if (start === undefined || start === false)
    throw new WetreadError('dicom.not-a-dicom-file', 'no file meta information');
  const dataset = readDataset(head, { maxBytes: maxHeaderFile });
  const [sopClassUid, sopUid, studyUid] = (['SOPClassUID', 'SOPInstanceUID', 'StudyInstanceUID'] as const).map(
    (keyword) => dataset.text(keyword),
  );
  if (sopClassUid === undefined || sopUid === undefined || studyUid === undefined)
    throw new WetreadError('dicom.not-a-dicom-file', 'it does not say which object it is');
  const header = await headerJson(head, { only: named, maxBytes: maxHeaderFile });
  const [accession, recordNumber] = [accessionTag, patientIdTag].map((tag) => header[tag]?.Value?.[0] as string | null);
  return {
    sopClassUid,
    sopUid,
    studyUid,
    transferSyntaxUid: dataset.transferSyntaxUid,
    ...(accession ? { accession } : {}),
    ...(recordNumber ? { recordNumber } : {}),
    start,
    bytes: size,
  };
}

/** The changed file, or undefined where it is sent as it lies on the disk. */
export type Disguiser = (file: string) => Promise<Uint8Array | undefined>;

export function disguiser({ recordNumber, accession, fresh }: Disguise): Disguiser {
  if (recordNumber === undefined && accession === undefined && !fresh) return async () => undefined;
  // Files of one study stay one study.
  const others = new Map<string, string>();
  const other = (uid: string): string => {
    const known = others.get(uid) ?? `2.25.${BigInt(`0x${randomUUID().replaceAll('-', '')}`)}`;
    others.set(uid, known);
    return known;
  };
  return async (file) => {
    const bytes = new Uint8Array(await readFile(file));
    const dataset = readDataset(bytes);
    const uid = (tag: string, keyword: Parameters<typeof dataset.text>[0]) =>
      [tag, 'UI', other(dataset.text(keyword) ?? '')] as const;
    return withElements(bytes, [
      uid('00080018', 'SOPInstanceUID'),
      uid('0020000D', 'StudyInstanceUID'),
      uid('0020000E', 'SeriesInstanceUID'),
      // Another patient's number under this patient's name would be two patients in one.
      ...(recordNumber === undefined
        ? []
        : [['00100020', 'LO', recordNumber] as const, ['00100010', 'PN', 'SENT^AS'] as const]),
      ...(accession === undefined ? [] : [['00080050', 'SH', accession] as const]),
    ]);
  };
}
