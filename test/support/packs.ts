/** A folder with some of Wetread's own packs, for tests whose subject is the road and not the models. */
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const models = join(import.meta.dirname, '../../models');

/** For `WETREAD_MODELS_DIR`; gone when the tests' process ends. */
export function packsCalled(...names: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'wetread-some-packs-'));
  for (const name of names) symlinkSync(join(models, name), join(folder, name), 'dir');
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
