/** What a pack says that it needs of memory, against what a model process may have: by configuration, on this machine, in this container. */
import { totalmem } from 'node:os';
import type { PackManifest } from '../kit/pack-manifest.ts';

export type MemoryShortage = { readonly wantsMb: number; readonly hasMb: number };

/** A hint, so never more than a warning: how much a network takes depends on the runtime, and the system may swap. */
export function memoryShortage({ networks }: PackManifest, allowedMb: number): MemoryShortage | undefined {
  const hasMb = Math.min(allowedMb, memoryHereMb());
  // Networks of a chain are open together, but each hint counts the process around its network as well.
  const wantsMb = Math.max(0, ...Object.values(networks).map(({ hardware }) => hardware?.memoryMb ?? 0));
  return wantsMb > hasMb ? { wantsMb, hasMb } : undefined;
}

function memoryHereMb(): number {
  const limit = process.constrainedMemory();
  return Math.floor((limit > 0 ? Math.min(limit, totalmem()) : totalmem()) / 1024 ** 2);
}
