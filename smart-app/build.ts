/** Builds the app when its sources are newer than what was built; `npm start` calls it so that no step can be forgotten. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

const here = import.meta.dirname;
const root = join(here, '..');
export const appFolder = join(here, 'dist');

/** Returns whether anything had to be built. */
export async function buildApp(): Promise<boolean> {
  if (isFresh()) return false;
  const { build } = await import('vite');
  await build({ configFile: join(here, 'vite.config.ts'), logLevel: 'warn' });
  return true;
}

function isFresh(): boolean {
  const built = changedAt(join(appFolder, 'index.html'));
  if (built === undefined) return false;
  const sources = readdirSync(here, { recursive: true, encoding: 'utf8', withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.parentPath.startsWith(appFolder))
    .map((entry) => join(entry.parentPath, entry.name));
  const others = [join(root, 'src/viewer-api/contract.ts'), join(root, 'package-lock.json')];
  return [...sources, ...others].every((file) => (changedAt(file) ?? 0) <= built);
}

function changedAt(file: string): number | undefined {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs;
}
