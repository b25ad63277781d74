/** Builds the app when its sources are newer than what was built; `npm start` calls it so that no step can be forgotten. */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';

const here = import.meta.dirname;
const root = join(here, '..');
export const appFolder = join(here, 'dist');

/** Returns whether anything had to be built. */
export async function buildApp(): Promise<boolean> {
  if (isFresh()) return false;
  const { build } = await import('vite');
  // Built aside and put in place at once: whoever serves or builds the app at the same time never sees half of it.
  const aside = join(root, 'node_modules/.cache', `wetread-app-${process.pid}`);
  await build({ configFile: join(here, 'vite.config.ts'), logLevel: 'warn', build: { outDir: join(aside, 'new') } });
  putInPlace(aside);
  return true;
}

function putInPlace(aside: string): void {
  mkdirSync(aside, { recursive: true });
  try {
    if (existsSync(appFolder)) renameSync(appFolder, join(aside, 'old'));
    renameSync(join(aside, 'new'), appFolder);
  } catch (error) {
    // Another process was quicker by a moment; its build is as good.
    if (!existsSync(join(appFolder, 'index.html'))) throw error;
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
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
