/** The films the archive keeps: in memory, and in a folder when one is given. */
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isUid } from '../../src/domain/ids.ts';
import { readPart10, type JsonDataset } from '../dicom/part10.ts';

export type Instance = {
  readonly studyUid: string;
  readonly seriesUid: string;
  readonly sopUid: string;
  readonly sopClassUid: string;
  readonly transferSyntaxUid: string;
  readonly dataset: JsonDataset;
  readonly frames: readonly Uint8Array[];
  /** Exactly what was stored. */
  readonly file: Uint8Array;
};

/** Why an object is not kept: Failure Reason (0008,1197), PS3.18 table I.2-2 and PS3.4 annex B. */
export type Refusal = { readonly reason: number; readonly sopUid?: string; readonly sopClassUid?: string };
const cannotUnderstand = 0xc000;
const duplicateInstance = 0x0111;
export const otherStudy = 0xa900;

export type FilmStore = {
  /** The same object twice is kept once; other bytes under a known UID are refused. */
  add(file: Uint8Array, intoStudy?: string): { readonly kept: Instance } | { readonly refused: Refusal };
  find(where: { readonly studyUid?: string; readonly seriesUid?: string; readonly sopUid?: string }): Instance[];
};

export function openFilmStore(folder?: string): FilmStore {
  const instances = new Map<string, Instance>();

  function add(file: Uint8Array, intoStudy?: string): ReturnType<FilmStore['add']> {
    const read = understood(file);
    if (read === undefined) return { refused: { reason: cannotUnderstand } };
    const { sopUid, sopClassUid } = read;
    if (intoStudy !== undefined && read.studyUid !== intoStudy)
      return { refused: { reason: otherStudy, sopUid, sopClassUid } };
    const before = instances.get(sopUid);
    if (before !== undefined) {
      return Buffer.compare(before.file, file) === 0
        ? { kept: before }
        : { refused: { reason: duplicateInstance, sopUid, sopClassUid } };
    }
    instances.set(sopUid, read);
    return { kept: read };
  }

  if (folder !== undefined) {
    mkdirSync(folder, { recursive: true });
    for (const name of readdirSync(folder).filter((name) => name.endsWith('.dcm')))
      add(readFileSync(join(folder, name)));
  }

  return {
    add(file, intoStudy) {
      const result = add(file, intoStudy);
      if (folder !== undefined && 'kept' in result) {
        const path = join(folder, `${result.kept.sopUid}.dcm`);
        // Half a file must never look like a film after a crash.
        writeFileSync(`${path}.part`, file);
        renameSync(`${path}.part`, path);
      }
      return result;
    },
    find: ({ studyUid, seriesUid, sopUid }) =>
      [...instances.values()].filter(
        (one) =>
          (studyUid === undefined || one.studyUid === studyUid) &&
          (seriesUid === undefined || one.seriesUid === seriesUid) &&
          (sopUid === undefined || one.sopUid === sopUid),
      ),
  };
}

function understood(file: Uint8Array): Instance | undefined {
  try {
    const { transferSyntaxUid, dataset, frames } = readPart10(file);
    const uid = (tag: string) => String(dataset[tag]?.Value?.[0] ?? '');
    const [studyUid, seriesUid, sopUid, sopClassUid] = [
      uid('0020000D'),
      uid('0020000E'),
      uid('00080018'),
      uid('00080016'),
    ];
    if (![studyUid, seriesUid, sopUid, sopClassUid, transferSyntaxUid].every(isUid)) return undefined;
    return { studyUid, seriesUid, sopUid, sopClassUid, transferSyntaxUid, dataset, frames, file };
  } catch {
    return undefined;
  }
}
