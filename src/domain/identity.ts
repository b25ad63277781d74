/** Stable identities: the same study, pack and finding always get the same id, so nothing is stored or written twice. */
import { createHash } from 'node:crypto';
import { findingId, readingId, type FindingId, type ReadingId, type SopUid, type StudyUid } from './ids.ts';
import type { Concept, PackIdentity, Site } from './finding.ts';

/** A version-8 UUID (RFC 9562: custom content) from the SHA-256 of the parts. */
export function uuidOf(...parts: readonly string[]): string {
  const bytes = createHash('sha256').update(parts.join('\u0000')).digest().subarray(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

export const readingIdOf = (study: StudyUid, pack: PackIdentity, contentHash: string): ReadingId =>
  readingId(uuidOf('reading', study, pack.name, pack.version, contentHash));

export const findingIdOf = (reading: ReadingId, concept: Concept, site: Site): FindingId =>
  findingId(uuidOf('finding', reading, concept, site.kind === 'image' ? 'image' : site.level));

/** The set of instances, whatever order they came in. */
export const contentHashOf = (instances: readonly SopUid[]): string =>
  createHash('sha256')
    .update([...new Set(instances)].sort().join('\n'))
    .digest('hex');
