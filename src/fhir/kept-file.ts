/** Secrets that are made once and then stay: written whole, readable by the service's user only, the same for every process on the folder. */
import { randomBytes } from 'node:crypto';
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

/** The file's content; made first when there is none. When two processes start at once, both get the first one's. */
export async function keptFile(path: string, make: () => Promise<string>): Promise<string> {
  const kept = await contentOf(path);
  if (kept !== undefined) return kept;
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  await writeFile(draft, await make(), { mode: 0o600, flag: 'wx' });
  try {
    // A link fails when the name is taken and never shows half a file, even after a crash.
    await link(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await rm(draft, { force: true });
  }
  return readFile(path, 'utf8');
}

/** A random bearer secret (256 bits). */
export async function keptSecret(path: string): Promise<string> {
  return (await keptFile(path, async () => randomBytes(32).toString('base64url'))).trim();
}

async function contentOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
