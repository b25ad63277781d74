/** The worklist of workitems as the configuration describes it; off unless it says which workitems are Wetread's. */
import { archiveAuthorization, archiveTls, type ArchiveParts } from './archive-from-config.ts';
import type { Config } from './config.ts';
import { upsClient } from './dicom/ups-client.ts';
import { WetreadError } from './domain/errors.ts';
import type { WorkitemClaims, WorkitemCode } from './domain/workitem.ts';
import { upsWorklist, type UpsWorklist, type UpsWorklistOptions } from './events/ups-worklist.ts';

export function worklistFromConfig(
  config: Config,
  parts: ArchiveParts & { readonly claims: WorkitemClaims; readonly register: UpsWorklistOptions['register'] },
): UpsWorklist | undefined {
  const meantFor = {
    station: codeOf(config.WETREAD_UPS_STATION),
    stationClass: codeOf(config.WETREAD_UPS_STATION_CLASS),
    code: codeOf(config.WETREAD_UPS_WORKITEM_CODE),
  };
  // Without any of them everybody's work would be claimed.
  if (Object.values(meantFor).every((code) => code === undefined)) {
    if (config.WETREAD_UPS_URL === undefined) return undefined;
    throw new WetreadError(
      'config.invalid',
      'WETREAD_UPS_URL needs WETREAD_UPS_STATION, WETREAD_UPS_STATION_CLASS or WETREAD_UPS_WORKITEM_CODE',
    );
  }
  const baseUrl = config.WETREAD_UPS_URL ?? config.WETREAD_DICOMWEB_URL;
  if (baseUrl === undefined) throw new WetreadError('config.invalid', 'WETREAD_UPS_URL is not set');
  const { claims, register, logger } = parts;
  return upsWorklist({
    worklist: upsClient({
      baseUrl,
      authorization: authorizationFor(baseUrl, config, parts),
      tls: archiveTls(config),
      timeoutMs: config.WETREAD_DICOMWEB_TIMEOUT_SECONDS * 1000,
      logger,
    }),
    claims,
    register,
    meantFor,
    subscriber: config.WETREAD_UPS_AE_TITLE,
    everySeconds: config.WETREAD_UPS_POLL_SECONDS,
    logger,
  });
}

/** The archive's credentials go to the archive's own origin only. */
function authorizationFor(baseUrl: string, config: Config, parts: ArchiveParts) {
  const fixed = config.WETREAD_UPS_AUTHORIZATION;
  if (fixed !== undefined) return { header: async () => fixed };
  const archive = config.WETREAD_DICOMWEB_URL;
  const same = archive !== undefined && new URL(archive).origin === new URL(baseUrl).origin;
  return same ? archiveAuthorization(config, parts) : undefined;
}

/** `WETREAD` or `WETREAD^99HOSPITAL`: without a scheme any will do. */
function codeOf(text: string | undefined): WorkitemCode | undefined {
  if (text === undefined) return undefined;
  const [value = '', scheme] = text.split('^');
  return scheme === undefined ? { value } : { value, scheme };
}
