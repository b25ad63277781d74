/** The archive as the configuration describes it: where it is, how Wetread proves itself there, and whose certificates count. */
import { getCACertificates } from 'node:tls';
import type { Config } from './config.ts';
import type { ArchiveAuthorization } from './dicom/archive-http.ts';
import { archiveTransport } from './dicom/archive-transport.ts';
import type { CircuitState } from './dicom/circuit.ts';
import { clientCredentials, type ClientProof } from './dicom/client-credentials.ts';
import { dicomwebArchive, type DicomwebArchive } from './dicom/dicomweb-archive.ts';
import { readTlsMaterial, type TlsMaterial } from './dicom/tls-material.ts';
import { WetreadError, type ErrorCode } from './domain/errors.ts';
import type { Logger } from './domain/log.ts';

export type ArchiveObserver = {
  archiveAnswered(outcome: 'ok' | ErrorCode): void;
  archiveCircuit(state: CircuitState): void;
};

export type ArchiveParts = {
  /** A client assertion signed with the service's key, for `private_key_jwt`. */
  readonly assertion: (clientId: string, audience: string) => Promise<string>;
  readonly observer?: ArchiveObserver | undefined;
  readonly logger: Logger;
};

export function archiveFromConfig(baseUrl: string, config: Config, parts: ArchiveParts): DicomwebArchive {
  const { observer, logger } = parts;
  const tls = archiveTls(config);
  return dicomwebArchive({
    baseUrl,
    authorization: archiveAuthorization(config, parts),
    tls,
    timeoutMs: config.WETREAD_DICOMWEB_TIMEOUT_SECONDS * 1000,
    maxInstanceBytes: config.WETREAD_MAX_INSTANCE_MB * 1024 * 1024,
    maxConcurrent: config.WETREAD_DICOMWEB_CONCURRENCY,
    circuit: {
      onChange(state) {
        logger[state.kind === 'open' ? 'error' : 'info'](`the archive's circuit is ${state.kind}`, {
          ...state,
          kind: undefined,
        });
        observer?.archiveCircuit(state);
      },
    },
    ...(observer !== undefined && { onAnswer: observer.archiveAnswered }),
    logger,
  });
}

/** Throws `config.invalid` when a file does not hold what it should. */
export const archiveTls = (config: Config): TlsMaterial =>
  readTlsMaterial(
    {
      ca: config.WETREAD_DICOMWEB_CA_FILE,
      cert: config.WETREAD_DICOMWEB_CLIENT_CERT_FILE,
      key: config.WETREAD_DICOMWEB_CLIENT_KEY_FILE,
    },
    {
      ca: 'WETREAD_DICOMWEB_CA_FILE',
      cert: 'WETREAD_DICOMWEB_CLIENT_CERT_FILE',
      key: 'WETREAD_DICOMWEB_CLIENT_KEY_FILE',
    },
  );

export function archiveAuthorization(
  config: Config,
  { assertion, logger }: ArchiveParts,
): ArchiveAuthorization | undefined {
  const fixed = config.WETREAD_DICOMWEB_AUTHORIZATION;
  const tokenUrl = config.WETREAD_DICOMWEB_TOKEN_URL;
  if (tokenUrl === undefined) return fixed === undefined ? undefined : { header: async () => fixed };
  if (fixed !== undefined)
    throw new WetreadError(
      'config.invalid',
      'WETREAD_DICOMWEB_AUTHORIZATION and WETREAD_DICOMWEB_TOKEN_URL exclude each other',
    );
  const clientId = config.WETREAD_DICOMWEB_CLIENT_ID;
  if (clientId === undefined)
    throw new WetreadError('config.invalid', 'WETREAD_DICOMWEB_TOKEN_URL needs WETREAD_DICOMWEB_CLIENT_ID');
  // The token endpoint may be the world's while the archive is the house's: both kinds of authorities count there.
  const { ca } = archiveTls(config);
  const authorities = ca === undefined ? {} : { ca: [...getCACertificates('default'), ...[ca].flat()] };
  return clientCredentials({
    tokenUrl,
    clientId,
    proof: proofOf(config, (audience) => assertion(clientId, audience)),
    scope: config.WETREAD_DICOMWEB_SCOPE,
    transport: archiveTransport({ timeoutMs: config.WETREAD_DICOMWEB_TIMEOUT_SECONDS * 1000, tls: authorities }),
    logger,
  });
}

function proofOf(config: Config, assertion: (audience: string) => Promise<string>): ClientProof {
  const method = config.WETREAD_DICOMWEB_CLIENT_AUTH;
  if (method === 'private_key_jwt') return { method, assertion };
  const secret = config.WETREAD_DICOMWEB_CLIENT_SECRET;
  if (secret === undefined)
    throw new WetreadError('config.invalid', `WETREAD_DICOMWEB_CLIENT_SECRET is not set, which ${method} needs`);
  return { method, secret };
}
