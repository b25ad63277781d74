/** Received objects as files: whole and durable, or not there at all. Several machines may share the folder. */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { access, mkdir, open, rename, rm, rmdir, statfs, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { asWetreadError, WetreadError } from '../domain/errors.ts';
import { seriesUid, sopUid, studyUid, type StudyUid } from '../domain/ids.ts';
import type {
  AnnouncedObject,
  IncomingObject,
  Inbox,
  Kept,
  ObjectName,
  ReceivedObject,
  ReceivedObjects,
  Sender,
} from '../domain/inbox.ts';
import type { Logger } from '../domain/log.ts';
import { headerJson } from './header-json.ts';
import { limiter, type Limiter } from './limiter.ts';
import { datasetStart, fileMeta } from './part10.ts';
import { readHead } from './read-head.ts';
import { sameObject } from './same-object.ts';

export type InboxOptions = {
  readonly folder: string;
  readonly objects: ReceivedObjects;
  readonly maxInstanceBytes: number;
  readonly maxStudyBytes: number;
  /** Left free on the disk, so that a flood of objects never stops the database beside it. */
  readonly keepFreeBytes: number;
  readonly logger: Logger;
};

/** What QIDO-RS is asked for (PS3.18 table 10.6.3-3 to -5), without the patient's name. */
const indexed: ReadonlySet<string> = new Set(
  (
    '00080005 00080008 00080016 00080018 00080020 00080030 00080050 00080060 00080070 00080090 00081030 0008103E ' +
    '00100020 00100021 00100040 00101010 00180015 00185101 0020000D 0020000E 00200010 00200011 00200013 00200060 ' +
    '00200062 00280008 00280010 00280011 00280100'
  ).split(' '),
);

export const incomingFolder = 'incoming';
export const objectsFolder = 'objects';
/** Patients' pictures: nobody but the service's user looks at them, not even at the names of the folders. */
export const ownFolder = 0o700;
const ownFile = 0o600;
/** A header may claim the whole of a large file; so many of them are in memory together, however many send. */
const headersAtOnce = 2;
/** How much may be written between two looks at the disk. */
const lookAtDiskEvery = 64 * 1024 * 1024;

export function inbox(options: InboxOptions): Inbox {
  const reading = limiter(headersAtOnce);
  return {
    async receive(sender, about = {}) {
      await demandRoom(options);
      await mkdir(join(options.folder, incomingFolder), { recursive: true, mode: ownFolder });
      const path = join(options.folder, incomingFolder, `${randomUUID()}.part`);
      const file = await open(path, 'wx+', ownFile);
      return incoming(options, { sender, file, path, reading, ...about });
    },
    async stillComing(studies) {
      const all = [...studies];
      if (all.length > 0) await options.objects.stillComing(all);
    },
  };
}

async function demandRoom({ folder, keepFreeBytes }: InboxOptions): Promise<void> {
  await mkdir(folder, { recursive: true, mode: ownFolder });
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize < keepFreeBytes) throw new WetreadError('inbox.full');
}

function incoming(
  options: InboxOptions,
  begun: {
    readonly sender: Sender;
    readonly file: FileHandle;
    readonly path: string;
    readonly reading: Limiter;
    readonly dataset?: AnnouncedObject;
    readonly expectedStudy?: StudyUid;
  },
): IncomingObject {
  const { sender, file, path, reading, dataset, expectedStudy } = begun;
  const hash = datasetHash();
  let size = 0;
  let looked = 0;
  let started = false;
  let ended = false;
  let fault: WetreadError | undefined;
  let name: ObjectName | undefined = dataset;

  async function append(piece: Uint8Array): Promise<void> {
    if (size + piece.length > options.maxInstanceBytes)
      throw new WetreadError('dicom.too-large', `more than ${options.maxInstanceBytes} bytes`);
    if (size - looked > lookAtDiskEvery) {
      looked = size;
      await demandRoom(options);
    }
    await file.appendFile(piece);
    hash.update(piece);
    size += piece.length;
  }

  async function write(piece: Uint8Array): Promise<void> {
    // Receivers learn of a fault when the object ends: until then the sender goes on sending anyhow.
    if (fault !== undefined || ended) return;
    try {
      if (!started && dataset !== undefined) await append(fileMeta(dataset, sender.name));
      started = true;
      await append(piece);
    } catch (thrown) {
      fault = diskFault(thrown);
      await file.truncate(0).catch(() => {});
    }
  }

  async function discard(): Promise<void> {
    if (ended) return;
    ended = true;
    await file.close();
    await rm(path, { force: true });
  }

  return {
    write,
    discard,
    name: () => name && { sopClassUid: name.sopClassUid, sopUid: name.sopUid },
    async keep() {
      try {
        if (fault !== undefined) throw fault;
        const leave = await reading.enter();
        const read = await understood(file, size, options).finally(leave);
        name = read;
        demandAnnounced(read, dataset, expectedStudy);
        await file.sync();
        await file.close();
        ended = true;
        return await filed(options, path, sender, { ...read, bytes: size, sha256: hash.digest() });
      } catch (thrown) {
        throw diskFault(thrown);
      } finally {
        await discard();
        // Moved away when all went well.
        await rm(path, { force: true });
      }
    },
  };
}

type Understood = Omit<ReceivedObject, 'bytes' | 'sha256' | 'file' | 'sender'>;

async function understood(file: FileHandle, size: number, { maxInstanceBytes }: InboxOptions): Promise<Understood> {
  const { head, dataset } = await readHead(file, size, maxInstanceBytes);
  if (datasetStart(head) === false || datasetStart(head) === undefined)
    throw new WetreadError('dicom.not-a-dicom-file', 'no file meta information');
  const { pixelData, transferSyntaxUid } = dataset;
  const deflated = dataset.bytes !== head && dataset.bytes.length !== head.length;
  if (!deflated && pixelData?.length !== undefined && pixelData.offset + pixelData.length > size)
    throw new WetreadError('dicom.truncated', 'in the pixel data');
  const uid = <Uid>(make: (text: string) => Uid, keyword: Parameters<typeof dataset.text>[0]): Uid => {
    try {
      return make(dataset.text(keyword) ?? '');
    } catch (cause) {
      throw new WetreadError('dicom.not-a-dicom-file', `${keyword} is missing or malformed`, { cause });
    }
  };
  return {
    studyUid: uid(studyUid, 'StudyInstanceUID'),
    seriesUid: uid(seriesUid, 'SeriesInstanceUID'),
    sopUid: uid(sopUid, 'SOPInstanceUID'),
    sopClassUid: uid(sopUid, 'SOPClassUID'),
    transferSyntaxUid,
    header: await headerJson(head, { only: indexed, maxBytes: maxInstanceBytes }),
  };
}

function demandAnnounced(read: Understood, dataset: AnnouncedObject | undefined, study: StudyUid | undefined): void {
  if (dataset !== undefined && (dataset.sopUid !== read.sopUid || dataset.sopClassUid !== read.sopClassUid))
    throw new WetreadError('inbox.other-object', 'its SOP class or instance is another than the command says');
  if (study !== undefined && study !== read.studyUid)
    throw new WetreadError('inbox.other-object', 'it belongs to another study');
}

async function filed(
  { folder, objects, maxStudyBytes, maxInstanceBytes, logger }: InboxOptions,
  path: string,
  sender: Sender,
  read: Omit<ReceivedObject, 'file' | 'sender'>,
): Promise<Kept> {
  // A name of its own for each reception: two of the same object at once cannot write over each other.
  const file = `${objectsFolder}/${read.studyUid}/${read.sopUid}.${randomBytes(4).toString('hex')}.dcm`;
  const home = join(folder, file);
  await moveDurably(path, home);
  const object = { ...read, file };
  try {
    const before = await objects.add({ ...object, sender }, { maxStudyBytes });
    if (before === undefined) return { object, state: 'new' };
    const same =
      before.transferSyntaxUid === read.transferSyntaxUid &&
      (before.sha256 === read.sha256 || (await isSame(home, join(folder, before.file), maxInstanceBytes)));
    if (!same) {
      logger.warn('another object under a known UID was refused', {
        code: 'inbox.conflict',
        studyUid: before.studyUid,
        sender: sender.name,
      });
      throw new WetreadError('inbox.conflict');
    }
    // A file that went missing comes back this way.
    if (await isThere(join(folder, before.file))) await rm(home, { force: true });
    else await moveDurably(home, join(folder, before.file));
    return { object: before, state: 'again' };
  } catch (thrown) {
    await rm(home, { force: true });
    await rmdir(dirname(home)).catch(() => {});
    throw thrown;
  }
}

/** A rename is durable when the folder is (fsync of both); Windows has no such thing and needs none. */
async function moveDurably(from: string, to: string): Promise<void> {
  const folder = dirname(to);
  // Another reception of the same study may take the empty folder away in between.
  for (let attempt = 1; ; attempt += 1) {
    const made = await mkdir(folder, { recursive: true, mode: ownFolder });
    try {
      await rename(from, to);
    } catch (error) {
      if (attempt < 5 && (error as NodeJS.ErrnoException).code === 'ENOENT') continue;
      throw error;
    }
    await syncFolder(folder);
    if (made !== undefined) await syncFolder(dirname(folder));
    return;
  }
}

async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A file that cannot be compared any more proves nothing. */
const isSame = (one: string, other: string, maxBytes: number): Promise<boolean> =>
  sameObject(one, other, maxBytes).catch(() => false);

const isThere = (path: string): Promise<boolean> =>
  access(path, constants.R_OK).then(
    () => true,
    () => false,
  );

function diskFault(thrown: unknown): WetreadError {
  const { code } = (thrown ?? {}) as NodeJS.ErrnoException;
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'EMFILE')
    return new WetreadError('inbox.full', code, { cause: thrown });
  return asWetreadError(thrown);
}

/** SHA-256 of what follows the file meta information. */
function datasetHash() {
  const hash = createHash('sha256');
  let head: Buffer | undefined = Buffer.alloc(0);
  let skip = 0;
  return {
    update(piece: Uint8Array): void {
      if (head !== undefined) {
        head = Buffer.concat([head, piece]);
        const start = datasetStart(head);
        if (start === undefined) return;
        // No DICOM file: it will be refused, and its hash means nothing.
        skip = start === false ? 0 : start;
        piece = head;
        head = undefined;
      }
      if (skip >= piece.length) {
        skip -= piece.length;
        return;
      }
      hash.update(piece.subarray(skip));
      skip = 0;
    },
    digest: () => hash.digest('hex'),
  };
}
