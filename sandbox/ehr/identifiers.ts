/** The hospital's own numbering systems; a service is configured with the same addresses. */
import { randomUUID } from 'node:crypto';
import type { Identifier, Resource } from '@medplum/fhirtypes';

export const mrnSystem = 'http://hospital.example/mrn';
export const accessionSystem = 'http://hospital.example/accession';
export const dicomUidSystem = 'urn:dicom:uid';

/** PS3.5, B.2: a UID from a UUID, as a decimal number under 2.25. */
export const newUid = (): string => `2.25.${BigInt(`0x${randomUUID().replaceAll('-', '')}`)}`;

export function identifierIn(resource: Resource & { identifier?: Identifier[] }, system: string): string | undefined {
  return resource.identifier?.find((one) => one.system === system)?.value;
}
