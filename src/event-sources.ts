/** Event sources that need more than one line of wiring, each made from the configuration. */
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import type { Config } from './config.ts';
import { WetreadError } from './domain/errors.ts';
import type { ExpectedExam, ExpectedExams } from './domain/expected-exam.ts';
import type { Logger } from './domain/log.ts';
import type { Archive, OrderBook, StudyRegister } from './domain/ports.ts';
import { diagnosticReports, imagingStudies, serviceRequests, type ChartTopic } from './events/chart-topics.ts';
import type { Cursors } from './events/cursors.ts';
import { examWatch, type ExamWatch } from './events/expected-exams.ts';
import { fhirSubscriptionSource, type FhirSubscriptionSource } from './events/fhir-subscription.ts';
import { hl7Source, type Hl7Source, type Hl7SourceOptions } from './events/hl7-mllp.ts';
import type { ChartIdentifierSystems } from './fhir/chart.ts';
import type { FhirClient } from './fhir/client.ts';
import { findOrder } from './fhir/find-order.ts';
import { keptSecret } from './fhir/kept-file.ts';
import { isImagingOrder, regionOfOrder } from './kit/imaging-order.ts';

export function theExamWatch(parts: {
  readonly exams: ExpectedExams;
  readonly archive: Archive;
  readonly announce: StudyRegister['announce'];
  readonly orders: OrderBook;
  readonly client: FhirClient;
  readonly identifierSystems: ChartIdentifierSystems;
  readonly logger: Logger;
}): ExamWatch {
  const find = findOrder(parts);
  const inChart = ({ accession, recordNumber, numbers }: ExpectedExam, signal: AbortSignal) =>
    find(
      {
        ...(accession === undefined ? {} : { accession }),
        ...(recordNumber === undefined ? {} : { recordNumber }),
        orderNumbers: numbers.flatMap((number) => /^(?:placer|filler):(.+)\^/.exec(number)?.[1] ?? []),
      },
      signal,
    );
  return examWatch({ ...parts, inChart });
}

/** Undefined when no port is configured. Throws `config.invalid` for what would let anybody in. */
export async function theHl7(
  config: Config,
  parts: {
    readonly exams: Pick<ExpectedExams, 'hear'>;
    readonly onHeard: () => void;
    readonly onAnswered?: Hl7SourceOptions['onAnswered'] & {};
    readonly logger: Logger;
  },
): Promise<Hl7Source | undefined> {
  const port = config.WETREAD_HL7_PORT;
  if (port === undefined) return undefined;
  const [certFile, keyFile] = [config.WETREAD_HL7_TLS_CERT_FILE, config.WETREAD_HL7_TLS_KEY_FILE];
  const caFile = config.WETREAD_HL7_TLS_CLIENT_CA_FILE;
  if ((certFile === undefined) !== (keyFile === undefined))
    throw new WetreadError('config.invalid', 'WETREAD_HL7_TLS_CERT_FILE and WETREAD_HL7_TLS_KEY_FILE belong together');
  if (caFile !== undefined && certFile === undefined)
    throw new WetreadError('config.invalid', 'WETREAD_HL7_TLS_CLIENT_CA_FILE needs WETREAD_HL7_TLS_CERT_FILE');
  // MLLP has no passwords: on a network, either the address or a certificate must say who it is.
  if (!isLoopback(config.WETREAD_HL7_HOST) && caFile === undefined && config.WETREAD_HL7_ADDRESSES.length === 0)
    throw new WetreadError(
      'config.invalid',
      'WETREAD_HL7_HOST is reachable from other machines: set WETREAD_HL7_ADDRESSES or WETREAD_HL7_TLS_CLIENT_CA_FILE',
    );
  return hl7Source({
    host: config.WETREAD_HL7_HOST,
    port,
    ...(certFile !== undefined &&
      keyFile !== undefined && {
        tls: {
          cert: await fileOf('WETREAD_HL7_TLS_CERT_FILE', certFile),
          key: await fileOf('WETREAD_HL7_TLS_KEY_FILE', keyFile),
          ...(caFile !== undefined && { clientCa: await fileOf('WETREAD_HL7_TLS_CLIENT_CA_FILE', caFile) }),
        },
      }),
    senders: config.WETREAD_HL7_SENDERS,
    addresses: config.WETREAD_HL7_ADDRESSES,
    reading: {
      accessionFields: config.WETREAD_HL7_ACCESSION_FIELDS,
      statCodes: new Set(config.WETREAD_HL7_STAT_CODES.map((code) => code.toUpperCase())),
    },
    ...parts,
  });
}

/** One Subscription for each topic that is configured, each with an address of its own: servers count per Subscription. */
export async function theSubscriptions(
  config: Config,
  parts: {
    readonly client: FhirClient;
    readonly identifierSystems: ChartIdentifierSystems;
    readonly exams: ExpectedExams;
    readonly onHeard: () => void;
    readonly announce: StudyRegister['announce'];
    readonly cursors: Cursors;
    readonly logger: Logger;
  },
): Promise<FhirSubscriptionSource[]> {
  const topics = config.WETREAD_SUBSCRIPTION_TOPIC;
  if (topics.length === 0) return [];
  const { client, logger } = parts;
  const accession = parts.identifierSystems.accession;
  const system = accession === undefined ? {} : { accessionSystem: accession };
  const about: Readonly<Record<ChartTopic['type'], ChartTopic>> = {
    ImagingStudy: imagingStudies({ ...parts, ...system }),
    ServiceRequest: serviceRequests({
      ...parts,
      reading: { isImaging: isImagingOrder, regionOf: regionOfOrder, ...system },
    }),
    DiagnosticReport: diagnosticReports({
      ...parts,
      sources: { baseUrl: client.baseUrl, read: client.read, ...system },
    }),
  };
  const secret = await keptSecret(join(config.WETREAD_DATA_DIR, 'secrets', 'subscription'));
  const taken = new Set<string>();
  return topics.map(({ type, url }) => {
    const kind = { ImagingStudy: '', ServiceRequest: '/orders', DiagnosticReport: '/reports' }[type];
    let path = `/events/fhir${kind}`;
    for (let another = 2; taken.has(path); another += 1) path = `/events/fhir${kind}/${another}`;
    taken.add(path);
    return fhirSubscriptionSource({
      client,
      endpoint: `${config.publicUrl}${path}`,
      path,
      name: `fhir-subscription${path.slice('/events/fhir'.length).replaceAll('/', '-')}`,
      secret,
      topic: url,
      about: about[type],
      payload: config.WETREAD_SUBSCRIPTION_PAYLOAD,
      cursors: parts.cursors,
      logger,
    });
  });
}

const isLoopback = (host: string): boolean =>
  host === 'localhost' || (isIP(host) === 4 && host.startsWith('127.')) || host === '::1';

async function fileOf(setting: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new WetreadError('config.invalid', `${setting}: the file cannot be read`, { cause: error });
  }
}
