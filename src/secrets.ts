/** Secrets the service makes for itself once and keeps in its data folder, readable by its owner only. */
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export async function rememberedSecret(dataDir: string, name: string): Promise<string> {
  const file = join(dataDir, 'secrets', name);
  await mkdir(join(dataDir, 'secrets'), { recursive: true, mode: 0o700 });
  try {
    // 'wx': of two processes that start together one writes, and both read the same secret.
    await writeFile(file, randomBytes(32).toString('base64url'), { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  return (await readFile(file, 'utf8')).trim();
}
