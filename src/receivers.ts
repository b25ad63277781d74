/** The inbox as the configuration describes it: where received objects lie, by which roads they come, and how they are read. */
import { constants } from 'node:fs';
import { access, mkdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Router } from 'express';
import type { Config } from './config.ts';
import { readableTransferSyntaxes } from './dicom/decode/index.ts';
import { dicomwebArchive, type Forwarding } from './dicom/dicomweb-archive.ts';
import { inboxFirst } from './dicom/inbox-first.ts';
import { inboxOrigin } from './dicom/inbox-origin.ts';
import { inboxUpkeep } from './dicom/inbox-upkeep.ts';
import { inbox, ownFolder } from './dicom/inbox.ts';
import { passMultipart } from './dicom/multipart.ts';
import { implementationClassUid, implementationVersionName } from './dicom/part10.ts';
import { readTlsMaterial } from './dicom/tls-material.ts';
import { WetreadError, type ErrorCode } from './domain/errors.ts';
import type { ReceivedObjects } from './domain/inbox.ts';
import type { Logger } from './domain/log.ts';
import type { Archive, StudyRegister } from './domain/ports.ts';
import { dimseSource, type DimseSource, type DimseSourceOptions } from './events/dimse.ts';
import { quietStudies } from './events/quiet-studies.ts';
import { stowSource } from './events/stow.ts';

const megabyte = 1024 * 1024;

/** Somebody may send here; then there need not be a PACS to ask. */
export const receives = (config: Config): boolean =>
  config.WETREAD_DIMSE_PORT !== undefined ||
  senderSecrets(config) !== undefined ||
  config.WETREAD_INBOX_DIR !== undefined;

const folderOf = (config: Config): string => config.WETREAD_INBOX_DIR ?? join(config.WETREAD_DATA_DIR, 'inbox');

function senderSecrets({ WETREAD_STOW_SECRET: bearer, WETREAD_STOW_BASIC: basic }: Config) {
  if (bearer === undefined && basic === undefined) return undefined;
  return { ...(bearer !== undefined && { bearer }), ...(basic !== undefined && { basic }) };
}

/** Where studies are read from: what was sent here from the inbox, the rest from the PACS, if there is one. */
export function archiveWithInbox(
  config: Config,
  parts: {
    readonly received: ReceivedObjects;
    readonly pacs: (Archive & Forwarding) | undefined;
    readonly logger: Logger;
  },
): Archive & Forwarding {
  const { received: objects, pacs, logger } = parts;
  const maxInstanceBytes = config.WETREAD_MAX_INSTANCE_MB * megabyte;
  return inboxFirst({
    objects,
    inbox: dicomwebArchive({
      // Never asked: the answers come from this process.
      baseUrl: 'http://inbox.invalid',
      get: inboxOrigin({ folder: folderOf(config), objects, maxInstanceBytes }),
      maxInstanceBytes,
      logger,
    }),
    ...(pacs !== undefined && { pacs }),
  });
}

/** For `wetread doctor`: what may be sent, and how much room there is. Throws when nothing could be kept. */
export async function inboxInWords(config: Config): Promise<string> {
  if (config.WETREAD_DIMSE_PORT !== undefined) demandKnownCallers(config);
  const folder = folderOf(config);
  await mkdir(folder, { recursive: true, mode: ownFolder });
  await access(folder, constants.W_OK);
  const { bavail, bsize } = await statfs(folder);
  const free = Math.round((bavail * bsize) / megabyte);
  if (free < config.WETREAD_INBOX_FREE_MB) throw new WetreadError('inbox.full');
  const roads = [
    ...(senderSecrets(config) === undefined ? [] : [`STOW-RS at ${config.publicUrl}/dicom-web-in`]),
    ...(config.WETREAD_DIMSE_PORT === undefined
      ? []
      : [`C-STORE as ${config.WETREAD_DIMSE_AET} on ${config.WETREAD_DIMSE_HOST}:${config.WETREAD_DIMSE_PORT}`]),
  ];
  return `${roads.join(', ') || 'read only'}; ${Math.round(free / 1024)} GB free`;
}

export type Receivers = {
  readonly routers: readonly Router[];
  readonly dimse: DimseSource | undefined;
  /** Everything besides: announcing what came, and tidying up. */
  start(): void;
  stop(): Promise<void>;
};

/** Throws `config.invalid` for a receiver that nobody could, or that everybody would, send to. */
export function theReceivers(
  config: Config,
  parts: {
    readonly received: ReceivedObjects;
    readonly announce: StudyRegister['announce'];
    readonly onObject?: (road: 'stow' | 'dimse', outcome: 'ok' | ErrorCode) => void;
    readonly logger: Logger;
  },
): Receivers {
  const { received: objects, announce, onObject, logger } = parts;
  const counted = onObject === undefined ? {} : { onObject };
  const folder = folderOf(config);
  const room = inbox({
    folder,
    objects,
    maxInstanceBytes: config.WETREAD_MAX_INSTANCE_MB * megabyte,
    maxStudyBytes: config.WETREAD_INBOX_STUDY_MB * megabyte,
    keepFreeBytes: config.WETREAD_INBOX_FREE_MB * megabyte,
    logger,
  });
  const secrets = senderSecrets(config);
  const upkeep = inboxUpkeep({ folder, objects, keepDays: config.WETREAD_INBOX_DAYS, logger });
  const quiet = quietStudies({ objects, quietSeconds: config.WETREAD_QUIET_SECONDS, announce, logger });
  return {
    routers:
      secrets === undefined ? [] : [stowSource({ secrets, inbox: room, passMultipart, ...counted, logger }).router],
    dimse: theDimse(config, { inbox: room, ...counted, logger }),
    start() {
      upkeep.start();
      quiet.start();
    },
    async stop() {
      await quiet.stop();
      await upkeep.stop();
    },
  };
}

const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || /^127(\.\d+){3}$/.test(host);

/** Throws `config.invalid`. */
function demandKnownCallers(config: Config): void {
  if (config.WETREAD_DIMSE_CALLERS.length === 0)
    throw new WetreadError('config.invalid', 'WETREAD_DIMSE_PORT needs WETREAD_DIMSE_CALLERS: nobody could call');
  const anybody = config.WETREAD_DIMSE_CALLERS.some(({ from }) => from === '*');
  if (anybody && !isLoopback(config.WETREAD_DIMSE_HOST) && config.WETREAD_DIMSE_TLS_CLIENT_CA_FILE === undefined)
    throw new WetreadError(
      'config.invalid',
      'WETREAD_DIMSE_CALLERS lets every address in and WETREAD_DIMSE_HOST is reachable from other machines: name addresses, or set WETREAD_DIMSE_TLS_CLIENT_CA_FILE',
    );
}

function theDimse(
  config: Config,
  parts: Pick<DimseSourceOptions, 'inbox' | 'onObject' | 'logger'>,
): DimseSource | undefined {
  const port = config.WETREAD_DIMSE_PORT;
  if (port === undefined) return undefined;
  demandKnownCallers(config);
  const { cert, key, ca } = readTlsMaterial(
    {
      cert: config.WETREAD_DIMSE_TLS_CERT_FILE,
      key: config.WETREAD_DIMSE_TLS_KEY_FILE,
      ca: config.WETREAD_DIMSE_TLS_CLIENT_CA_FILE,
    },
    {
      cert: 'WETREAD_DIMSE_TLS_CERT_FILE',
      key: 'WETREAD_DIMSE_TLS_KEY_FILE',
      ca: 'WETREAD_DIMSE_TLS_CLIENT_CA_FILE',
    },
  );
  if (ca !== undefined && cert === undefined)
    throw new WetreadError('config.invalid', 'WETREAD_DIMSE_TLS_CLIENT_CA_FILE needs WETREAD_DIMSE_TLS_CERT_FILE');
  return dimseSource({
    host: config.WETREAD_DIMSE_HOST,
    port,
    aeTitle: config.WETREAD_DIMSE_AET,
    callers: config.WETREAD_DIMSE_CALLERS,
    maxAssociations: config.WETREAD_DIMSE_ASSOCIATIONS,
    transferSyntaxes: readableTransferSyntaxes,
    implementation: { classUid: implementationClassUid, versionName: implementationVersionName },
    ...(cert !== undefined &&
      key !== undefined && { tls: { cert, key, ...(ca !== undefined && { clientCa: String(ca) }) } }),
    ...parts,
  });
}
