/** The models folder as registry: what is whole is loaded, what is broken stops the start and says where. */
import { appendFile, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { silentLogger } from '../../src/domain/log.ts';
import { loadPacks } from '../../src/inference/load-packs.ts';
import { packsFolder, type FixturePack } from './fixture-pack.ts';

const same: FixturePack = { name: 'same', onnx: 'same', outputs: { same: { type: 'float32', shape: ['n', 1, 8, 8] } } };

async function faultAfter(change: (pack: string, folder: string) => Promise<unknown>): Promise<string> {
  await using packs = await packsFolder(same);
  await change(join(packs.folder, 'same'), packs.folder);
  const error = await loadPacks(packs.folder, silentLogger).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: 'model.pack-invalid' });
  return (error as Error).message;
}

const rewrite = (edit: (manifest: Record<string, never>) => void) => async (pack: string) => {
  const file = join(pack, 'manifest.json');
  const manifest = JSON.parse(await readFile(file, 'utf8')) as Record<string, never>;
  edit(manifest);
  await writeFile(file, JSON.stringify(manifest));
};

describe('loading packs', () => {
  test('finds every folder by itself, in the order of their names', async () => {
    await using packs = await packsFolder({ ...same, name: 'second' }, { ...same, name: 'first' });
    const loaded = await loadPacks(packs.folder, silentLogger);
    expect(loaded.map(({ identity }) => identity.name)).toEqual(['first', 'second']);
    expect(loaded[0]!.summary).toMatchObject({
      modalities: ['DX'],
      regions: ['lumbar-spine'],
      views: ['lateral'],
      demonstration: true,
    });
    expect(loaded[0]!.identity.sha256).toMatch(/^[0-9a-f]{64}$/);
  });

  test('passes over hidden folders and plain files', async () => {
    await using packs = await packsFolder(same);
    await mkdir(join(packs.folder, '.git'));
    await writeFile(join(packs.folder, 'README.md'), 'packs');
    expect(await loadPacks(packs.folder, silentLogger)).toHaveLength(1);
  });

  test('names the weights whose bytes have changed', async () => {
    const flipped = await faultAfter(async (pack) => {
      const weights = await readFile(join(pack, 'model.onnx'));
      weights[weights.length - 1]! ^= 1;
      await writeFile(join(pack, 'model.onnx'), weights);
    });
    expect(flipped).toContain('weights.sha256');
    expect(await faultAfter((pack) => appendFile(join(pack, 'model.onnx'), 'x'))).toContain('weights.bytes');
    expect(await faultAfter((pack) => rm(join(pack, 'model.onnx')))).toContain('weights.file');
  });

  test('names the file that is missing or no JSON', async () => {
    expect(await faultAfter((pack) => rm(join(pack, 'manifest.json')))).toContain(join('same', 'manifest.json'));
    expect(await faultAfter((pack) => writeFile(join(pack, 'manifest.json'), '{'))).toContain('is not JSON');
    expect(await faultAfter((pack) => rm(join(pack, 'postprocess.ts')))).toContain('postprocess.ts');
  });

  test('names the field that is wrong', async () => {
    expect(await faultAfter(rewrite((manifest) => delete manifest['intendedUse']))).toContain('intendedUse');
    expect(await faultAfter(rewrite((manifest) => Object.assign(manifest, { tresholds: 1 })))).toContain('tresholds');
    expect(
      await faultAfter(rewrite((manifest) => Object.assign(manifest['weights']!, { file: '../../other.onnx' }))),
    ).toContain('weights.file');
    expect(
      await faultAfter(rewrite((manifest) => Object.assign(manifest['input']!, { shape: ['n', 1, 9, 8] }))),
    ).toContain('input.preprocess');
  });

  test('demands that the folder bears the name of the pack', async () => {
    expect(await faultAfter((pack, folder) => rename(pack, join(folder, 'other')))).toContain(
      'name: is "same", the folder is "other"',
    );
  });

  test('names a postprocess that cannot be loaded or exports something else', async () => {
    expect(await faultAfter((pack) => writeFile(join(pack, 'postprocess.ts'), 'export default 7;'))).toContain(
      'default export',
    );
    const thrown = await faultAfter((pack) => writeFile(join(pack, 'postprocess.ts'), `throw new Error('not today');`));
    expect(thrown).toMatch(/postprocess\.ts.*not today/);
  });

  test('says so when the folder itself is missing', async () => {
    await expect(loadPacks('/nowhere/at/all', silentLogger)).rejects.toMatchObject({ code: 'model.pack-invalid' });
  });
});
