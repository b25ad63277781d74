/** The five roads by which a study can reach Wetread: two bring the objects, three bring the news of them. */
import { dicomwebArchive } from '../../dicom/dicomweb-archive.ts';
import { implementationClassUid, implementationVersionName } from '../../dicom/part10.ts';
import { call, CallError, mostProposals, type Proposal } from '../../dimse/caller.ts';
import { asWetreadError } from '../../domain/errors.ts';
import { silentLogger } from '../../domain/log.ts';
import { mllpClient } from '../../hl7/mllp-client.ts';
import { parseMessage, writeMessage } from '../../hl7/message.ts';
import type { ObjectToSend } from './objects.ts';

export type Sent = { readonly ok: boolean; readonly says: string };
/** Told as each object is done. */
export type OnSent = (object: ObjectToSend, sent: Sent) => void;

export type StowTarget = { readonly url: string; readonly authorization?: string };

export async function sendByStow(objects: readonly ObjectToSend[], target: StowTarget, onSent: OnSent): Promise<void> {
  const { authorization } = target;
  const archive = dicomwebArchive({
    baseUrl: target.url,
    ...(authorization === undefined ? {} : { authorization: { header: async () => authorization } }),
    timeoutMs: 60_000,
    logger: silentLogger,
  });
  for (const object of objects) {
    try {
      const { stored, failed } = await archive.store(async function* () {
        yield await object.whole();
      });
      if (stored.length === 1 && failed.length === 0) onSent(object, { ok: true, says: 'kept' });
      else onSent(object, { ok: false, says: `refused: ${reasonInWords(failed[0]?.reason)}` });
    } catch (thrown) {
      onSent(object, { ok: false, says: archiveFault(thrown) });
    }
  }
}

/** The archive client speaks of the archive; here it is whoever was named. */
function archiveFault(thrown: unknown): string {
  const { code, message } = asWetreadError(thrown);
  if (code === 'archive.unreachable') return 'nobody answers there (is --url right, and the service running?)';
  if (code === 'archive.refused') return 'not let in (set --secret-file, or --basic name:password)';
  if (code === 'request.not-found' || code === 'archive.not-found') return 'there is no STOW-RS at this address';
  return `${message} (${code})`;
}

export type DimseTarget = {
  readonly host: string;
  readonly port: number;
  readonly callingAe: string;
  readonly calledAe: string;
};

export async function sendByDimse(
  objects: readonly ObjectToSend[],
  target: DimseTarget,
  onSent: OnSent,
): Promise<void> {
  for (let at = 0; at < objects.length;) {
    const batch = batchOf(objects.slice(at));
    await sendBatch(batch, target, onSent);
    at += batch.length;
  }
}

/** As many as one association can propose: each class in each transfer syntax takes a context of its own. */
function batchOf(objects: readonly ObjectToSend[]): ObjectToSend[] {
  const proposed = new Set<string>();
  const batch: ObjectToSend[] = [];
  for (const object of objects) {
    proposed.add(`${object.sopClassUid} ${object.transferSyntaxUid}`);
    if (proposed.size > mostProposals) break;
    batch.push(object);
  }
  return batch;
}

async function sendBatch(batch: readonly ObjectToSend[], target: DimseTarget, onSent: OnSent): Promise<void> {
  const proposals = new Map<string, Proposal>();
  for (const { sopClassUid, transferSyntaxUid } of batch)
    proposals.set(`${sopClassUid} ${transferSyntaxUid}`, { sopClassUid, transferSyntaxUid });
  const waiting = new Set(batch);
  const done = (object: ObjectToSend, sent: Sent) => {
    waiting.delete(object);
    onSent(object, sent);
  };
  try {
    const association = await callOf(target, [...proposals.values()]);
    for (const object of batch) {
      if (!association.accepts(object)) {
        done(object, { ok: false, says: `the class or the transfer syntax ${object.transferSyntaxUid} is not taken` });
        continue;
      }
      const status = await association.store({
        ...object,
        bytes: object.bytes - object.start,
        pieces: () => object.dataset(),
      });
      done(object, { ok: status === 0 || (status & 0xf000) === 0xb000, says: statusInWords(status) });
    }
    await association.release();
  } catch (thrown) {
    if (!(thrown instanceof CallError)) throw thrown;
    for (const object of waiting) onSent(object, { ok: false, says: callFault(thrown) });
  }
}

const callOf = (target: DimseTarget, proposals: readonly Proposal[]) =>
  call({
    ...target,
    proposals,
    implementation: { classUid: implementationClassUid, versionName: implementationVersionName },
    timeoutMs: 60_000,
  });

/** Why no association came about, and which option or setting to look at. */
function callFault({ message }: CallError): string {
  if (message.includes('its AE title is another')) return `${message} (set --call to it)`;
  if (message.includes('calling AE title'))
    return `${message} (set --aet, or name this caller in WETREAD_DIMSE_CALLERS)`;
  if (message.startsWith('no connection')) return `${message} (is --port right, and WETREAD_DIMSE_PORT set there?)`;
  return message;
}

/** C-ECHO. */
export async function echo(target: DimseTarget): Promise<Sent> {
  try {
    const association = await callOf(target, []);
    const status = await association.echo();
    await association.release();
    return { ok: status === 0, says: status === 0 ? 'answers' : statusInWords(status) };
  } catch (thrown) {
    if (!(thrown instanceof CallError)) throw thrown;
    return { ok: false, says: callFault(thrown) };
  }
}

const statusInWords = (status: number): string => (status === 0 ? 'kept' : `refused: ${reasonInWords(status)}`);

/** PS3.4 B.2.3, PS3.7 C. */
function reasonInWords(reason: number | undefined): string {
  if (reason === undefined) return 'no reason given';
  const words =
    reason === 0x0111
      ? 'another object is there under this SOP Instance UID'
      : reason === 0x0122
        ? 'SOP class not supported'
        : reason === 0x0124
          ? 'not authorised'
          : (reason & 0xff00) === 0xa700
            ? 'out of resources, or too large'
            : (reason & 0xff00) === 0xa900
              ? 'not the object or the study that was announced'
              : (reason & 0xf000) === 0xc000
                ? 'it cannot be understood'
                : 'a fault on the other side';
  return `${words} (0x${reason.toString(16).padStart(4, '0')})`;
}

/** One study of the files, for those roads that bring news. */
export type StudyToTell = {
  readonly studyUid: string;
  readonly accession?: string;
  readonly recordNumber?: string;
  readonly objects: number;
};

export function studiesOf(objects: readonly ObjectToSend[]): StudyToTell[] {
  const studies = new Map<string, StudyToTell>();
  for (const { studyUid, accession, recordNumber } of objects) {
    const known = studies.get(studyUid);
    studies.set(studyUid, {
      studyUid,
      ...(accession === undefined ? {} : { accession }),
      ...(recordNumber === undefined ? {} : { recordNumber }),
      ...known,
      objects: (known?.objects ?? 0) + 1,
    });
  }
  return [...studies.values()];
}

export async function tellByRest(
  study: StudyToTell,
  target: { readonly url: string; readonly secret: string; readonly priority: string },
): Promise<Sent> {
  const { studyUid, accession } = study;
  return posted(`${target.url}/events/study`, target.secret, 'application/json', {
    studyUid,
    priority: target.priority,
    ...(accession === undefined ? {} : { accession }),
  });
}

/** Wetread believes no notification: it asks its own chart what happened. */
export const tellByFhir = (target: { readonly url: string; readonly secret: string; readonly focus?: string }) =>
  posted(`${target.url}/events/fhir`, target.secret, 'application/fhir+json', {
    resourceType: 'Bundle',
    type: 'history',
    entry: [
      {
        resource: {
          resourceType: 'Parameters',
          parameter: [
            { name: 'type', valueCode: 'event-notification' },
            {
              name: 'notification-event',
              part: target.focus === undefined ? [] : [{ name: 'focus', valueReference: { reference: target.focus } }],
            },
          ],
        },
      },
    ],
  });

async function posted(url: string, secret: string, type: string, body: unknown): Promise<Sent> {
  let response: Response;
  try {
    response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': type, authorization: `Bearer ${secret}` },
      body: JSON.stringify(body),
    });
  } catch {
    return { ok: false, says: 'nobody answers there (is --url right, and the service running?)' };
  }
  const text = await response.text();
  if (response.ok) {
    const { state } = (text.startsWith('{') ? JSON.parse(text) : {}) as { state?: string };
    return { ok: true, says: state ?? 'heard' };
  }
  if (response.status === 401) return { ok: false, says: 'not let in (set --secret-file)' };
  return { ok: false, says: `status ${response.status}: ${text.slice(0, 200).trim()}` };
}

/** "Images are available", as an archive tells it (IHE RAD-128): an ORU^R01 with the study's UID. */
export async function tellByHl7(
  studies: readonly StudyToTell[],
  target: { readonly host: string; readonly port: number; readonly stat: boolean },
  onTold: (study: StudyToTell, sent: Sent) => void,
): Promise<void> {
  const client = await mllpClient({ ...target });
  try {
    for (const [index, study] of studies.entries()) {
      const answer = parseMessage(await client.send(imagesAvailable(study, index, target.stat)));
      const acknowledged = answer.segments.find(({ name }) => name === 'MSA');
      const code = acknowledged?.text(1) ?? 'no MSA';
      onTold(study, {
        ok: code === 'AA' || code === 'CA',
        says: code === 'AA' || code === 'CA' ? 'heard' : `${code} ${acknowledged?.text(3) ?? ''}`.trim(),
      });
    }
  } finally {
    client.close();
  }
}

function imagesAvailable(study: StudyToTell, index: number, stat: boolean): string {
  const now = new Date().toISOString().replaceAll(/[-:T]/g, '').slice(0, 14);
  const { accession = '', recordNumber = '' } = study;
  return writeMessage([
    [
      'MSH',
      {
        3: 'SEND',
        4: 'WETREAD',
        5: 'WETREAD',
        6: 'AI',
        7: now,
        9: ['ORU', 'R01', 'ORU_R01'],
        10: `SEND${Date.now()}${index}`,
        11: 'P',
        12: '2.5.1',
      },
    ],
    ['PID', { 1: '1', 3: [recordNumber, '', '', '', 'MR'] }],
    ['ORC', { 1: 'SC', 5: 'CM' }],
    [
      'OBR',
      { 1: '1', 4: ['IMG', 'Imaging'], 18: accession, 24: 'RAD', 25: 'R', 27: ['', '', '', '', '', stat ? 'S' : 'R'] },
    ],
    ['OBX', { 1: '1', 2: 'ST', 3: ['113014', 'DICOM Study', 'DCM'], 5: study.studyUid, 11: 'O' }],
  ]);
}
