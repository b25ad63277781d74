/** The hospital's interface engine: orders as ORM^O01, "images are available" as ORU^R01, over MLLP, one at a time until acknowledged. */
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ImagingStudy, Patient, Resource, ServiceRequest } from '@medplum/fhirtypes';
import type { Logger } from '../src/domain/log.ts';
import { accessionSystem, dicomUidSystem, identifierIn, mrnSystem } from './ehr/identifiers.ts';
import type { Change, Charts } from './fhir/repository.ts';

export type Hl7Interface = { close(): Promise<void> };

const answerMs = 10_000;
const retryMs = [500, 1_000, 2_000, 5_000];
/** What waits while the receiver is away; a demo forgets the oldest. */
const longestQueue = 1_000;

export function hl7Interface(options: {
  readonly charts: Charts;
  readonly host: string;
  readonly port: number;
  readonly logger: Logger;
}): Hl7Interface {
  const { charts, host, port, logger } = options;
  const queue: string[] = [];
  const closing = new AbortController();
  let sending: Promise<void> = Promise.resolve();
  let counted = 0;

  charts.onCommit((changes) => {
    for (const change of changes) {
      const message = messageOf(change);
      if (message === undefined) continue;
      queue.push(message);
      if (queue.length > longestQueue) queue.shift();
      sending = sending.then(sendNext).catch((error: unknown) => {
        if (!closing.signal.aborted) logger.error('HL7', { error: String(error) });
      });
    }
  });

  function messageOf({ interaction, resource }: Change): string | undefined {
    if (resource.resourceType === 'ServiceRequest') {
      if (resource.status === 'active') return order(resource, interaction === 'create' ? 'NW' : 'XO');
      if (resource.status === 'revoked') return order(resource, 'CA');
    }
    if (resource.resourceType === 'ImagingStudy' && resource.status === 'available') return imagesAvailable(resource);
    return undefined;
  }

  function order(request: ServiceRequest, control: 'NW' | 'XO' | 'CA'): string {
    const number = `${request.id}^EHR`;
    const priority = request.priority === 'stat' ? 'S' : request.priority === 'asap' ? 'A' : 'R';
    return message('ORM^O01', '2.3.1', [
      ...patientOf(request.subject?.reference),
      `ORC|${control}|${number}|||||^^^^^${priority}`,
      fields('OBR', {
        1: '1',
        2: number,
        4: service(request),
        18: accession(request),
        24: 'RAD',
        27: `^^^^^${priority}`,
      }),
    ]);
  }

  /** As an archive tells it: IHE RAD-128. */
  function imagesAvailable(study: ImagingStudy): string {
    const asked = find<ServiceRequest>(study.basedOn?.[0]?.reference);
    const number = asked === undefined ? '' : `${asked.id}^EHR`;
    const uid = identifierIn(study, dicomUidSystem)?.replace('urn:oid:', '') ?? '';
    const what = asked === undefined ? text(study.description ?? '') : service(asked);
    return message('ORU^R01^ORU_R01', '2.5.1', [
      ...patientOf(study.subject.reference),
      `ORC|SC|${number}|||CM`,
      fields('OBR', { 1: '1', 2: number, 4: what, 18: accession(study), 24: 'RAD', 25: 'R' }),
      `OBX|1|ST|113014^DICOM Study^DCM||${uid}||||||O`,
    ]);
  }

  const service = ({ code }: ServiceRequest): string => {
    const coding = code?.coding?.[0];
    const system = coding?.system === 'http://loinc.org' ? 'LN' : 'L';
    return `${text(coding?.code ?? '')}^${text(code?.text ?? coding?.display ?? '')}^${system}`;
  };
  const accession = (resource: ServiceRequest | ImagingStudy): string =>
    text(identifierIn(resource, accessionSystem) ?? '');

  function patientOf(reference: string | undefined): string[] {
    const patient = find<Patient>(reference);
    if (patient === undefined) return [];
    const name = `${text(patient.name?.[0]?.family ?? '')}^${text(patient.name?.[0]?.given?.[0] ?? '')}`;
    return [`PID|1||${text(identifierIn(patient, mrnSystem) ?? '')}^^^RIVERSIDE^MR||${name}`];
  }

  function find<Type extends Resource>(reference: string | undefined): Type | undefined {
    return charts.current().find((one) => `${one.resourceType}/${one.id}` === reference) as Type | undefined;
  }

  function message(type: string, version: string, segments: readonly string[]): string {
    counted += 1;
    const id = `RG${Date.now().toString(36)}${counted}`;
    const header = `MSH|^~\\&|EHR|RIVERSIDE|WETREAD|AI|${stamp(new Date())}||${type}|${id}|P|${version}||||||UNICODE UTF-8`;
    return [header, ...segments].map((segment) => `${segment}\r`).join('');
  }

  async function sendNext(): Promise<void> {
    const message = queue.shift();
    if (message === undefined) return;
    for (let attempt = 0; ; attempt += 1) {
      const code = await exchange(message).catch((error: unknown) => {
        closing.signal.throwIfAborted();
        return String(error);
      });
      if (code === 'AA') return;
      // A refusal stays one, however often it is asked for.
      if (code === 'AR') return logger.warn('HL7 message refused');
      logger.info('HL7 message not acknowledged', { code });
      await sleep(retryMs[Math.min(attempt, retryMs.length - 1)], undefined, { signal: closing.signal });
    }
  }

  /** The acknowledgement's code. A connection for each message: simple, and allowed. */
  function exchange(message: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket: Socket = connect({ host, port });
      const end = (error: Error) => void (socket.destroy(), reject(error));
      const abort = () => end(new Error('closing'));
      let answer = '';
      closing.signal.addEventListener('abort', abort, { once: true });
      socket.setTimeout(answerMs, () => end(new Error('no answer')));
      socket.setEncoding('utf8');
      socket.on('error', reject);
      socket.on('close', () => {
        closing.signal.removeEventListener('abort', abort);
        reject(new Error('closed'));
      });
      socket.on('data', (piece: string) => {
        answer += piece;
        if (!answer.includes('\x1c')) return;
        resolve(/\rMSA\|(\w\w)\|/.exec(answer)?.[1] ?? 'no MSA');
        socket.end();
      });
      socket.write(`\x0b${message}\x1c\r`);
    });
  }

  return {
    async close() {
      closing.abort();
      await sending;
    },
  };
}

const text = (value: string): string =>
  value.replaceAll(/[|^~\\&]/g, (one) => `\\${'FSRET'['|^~\\&'.indexOf(one)]}\\`).replaceAll(/\p{Cc}/gu, ' ');

function fields(name: string, given: Readonly<Record<number, string>>): string {
  const last = Math.max(...Object.keys(given).map(Number));
  return [name, ...Array.from({ length: last }, (_, index) => given[index + 1] ?? '')].join('|');
}

function stamp(at: Date): string {
  return at.toISOString().replaceAll(/[-:T]/g, '').slice(0, 14);
}
