/** A broken hook stops the start and says which file and which field. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { loadHooks } from '../../src/cds/load-hooks.ts';

const kit = pathToFileURL(resolve('src/kit/hook.ts')).href;
const folders: string[] = [];
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));

async function folderWith(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'wetread-hooks-'));
  folders.push(folder);
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(folder, name), `import { defineHook } from '${kit}';\n${text}`);
  }
  return folder;
}

const good = `export default defineHook({ hook: 'patient-view', title: 'T', description: 'D' }, () => []);`;
const withFields = (fields: string) =>
  `export default { ...defineHook({ hook: 'patient-view', title: 'T', description: 'D' }, () => []), ${fields} };`;

describe('the hooks folder', () => {
  it("gives each hook its file's name, in order, and leaves other files alone", async () => {
    const folder = await folderWith({ 'b-two.ts': good, 'a-one.ts': good, 'notes.md': '' });
    expect((await loadHooks(folder)).map(({ id }) => id)).toEqual(['a-one', 'b-two']);
  });

  it('of Wetread loads', async () => {
    expect((await loadHooks(resolve('hooks'))).map(({ id, hook }) => `${id} ${hook.hook}`)).toEqual([
      'wetread-order-select order-select',
      'wetread-order-sign order-sign',
      'wetread-patient-view patient-view',
    ]);
  });

  it.each<[string, string, string, string]>([
    ['has no default export', 'one.ts', 'export const x = 1;', 'hooks/one.ts: default: missing'],
    [
      'is not made by defineHook',
      'one.ts',
      'export default { hook: "patient-view" };',
      'hooks/one.ts: kind: is not made by defineHook',
    ],
    ['answers an unknown hook', 'one.ts', withFields(`hook: 'result-available'`), 'hooks/one.ts: hook: is not a hook'],
    ['has an empty title', 'one.ts', withFields(`title: ' '`), 'hooks/one.ts: title:'],
    ['has no description', 'one.ts', withFields('description: undefined'), 'hooks/one.ts: description:'],
    ['has a prefetch of the wrong kind', 'one.ts', withFields('prefetch: { a: 7 }'), 'hooks/one.ts: prefetch.a:'],
    [
      'has a prefetch with an unknown token',
      'one.ts',
      withFields(`prefetch: { a: 'Patient/{{context.patient}}' }`),
      'hooks/one.ts: prefetch.a: {{context.patient}} is not known to patient-view',
    ],
    [
      'throws when loaded',
      'one.ts',
      `throw new Error('no such table');`,
      'hooks/one.ts: cannot be loaded (no such table)',
    ],
    ['has a name that is no service id', 'My Hook.ts', good, 'hooks/My Hook.ts: name:'],
  ])('stops the start when a file %s', async (_, name, text, message) => {
    const folder = await folderWith({ [name]: text });
    await expect(loadHooks(folder)).rejects.toMatchObject({
      code: 'cds.hook-invalid',
      detail: expect.stringContaining(message),
    });
  });

  it('stops the start when it does not exist', async () => {
    await expect(loadHooks(join(tmpdir(), 'no-such-folder'))).rejects.toMatchObject({ code: 'cds.hook-invalid' });
  });
});
