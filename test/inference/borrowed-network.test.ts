/** A network that one pack lends to another: one file, one description of its tensors, and no use of it unnoticed when it changes. */
import { createHash } from 'node:crypto';
import { appendFile, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sealPack } from '../../src/cli/new-pack.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { loadPack, loadPacks } from '../../src/inference/load-packs.ts';
import { modelRunner } from '../../src/inference/model-runner.ts';
import { numbersTold, packsFolder, picture, type FixturePack } from './fixture-pack.ts';

const lender: FixturePack = {
  name: 'lender',
  onnx: 'same',
  outputs: { same: { type: 'float32', shape: ['n', 1, 8, 8] } },
};

/** A folder with a lender, and a pack that has no network of its own. */
async function lent(from: object = {}) {
  const packs = await packsFolder(lender, { ...lender, name: 'borrower' });
  const own = await loadPack(join(packs.folder, 'lender'), 'lender');
  const { sha256 } = own.manifest.networks['main']!.weights;
  const borrower = join(packs.folder, 'borrower');
  const manifestFile = join(borrower, 'manifest.json');
  const {
    weights: _,
    input: __,
    outputs: ___,
    ...rest
  } = JSON.parse(await readFile(manifestFile, 'utf8')) as Record<string, unknown>;
  const networks = { corners: { from: { pack: 'lender', sha256, ...from } } };
  await rm(join(borrower, 'model.onnx'));
  await writeFile(manifestFile, JSON.stringify({ ...rest, networks }));
  const load = () => loadPack(borrower, 'borrower');
  const fault = () =>
    load().then(
      () => 'loaded',
      (thrown: { readonly code: string; readonly message: string }) => `${thrown.code} ${thrown.message}`,
    );
  return {
    folder: packs.folder,
    borrower,
    manifestFile,
    load,
    fault,
    [Symbol.asyncDispose]: () => packs[Symbol.asyncDispose](),
  };
}

test('is read from the lender, and runs with the lender’s preprocessing', async () => {
  await using at = await lent();
  const packs = await loadPacks(at.folder, silentLogger);
  const [borrower, own] = packs;
  expect(borrower!.weightsFiles).toEqual({ corners: join(at.folder, 'lender', 'model.onnx') });
  expect(borrower!.manifest.networks['corners']).toEqual({
    ...own!.manifest.networks['main'],
    weights: { ...own!.manifest.networks['main']!.weights, pack: 'lender' },
  });
  const runner = modelRunner({ packs, processes: 1, threads: 1, provider: 'cpu', logger: silentLogger });
  try {
    const film = picture(8, 8, (x, y) => (x + 8 * y) / 64);
    const answers = [];
    for (const { identity } of packs) answers.push(numbersTold(await runner.run(identity, film)));
    expect(answers[0]).toHaveLength(64);
    expect(answers[0]).toEqual(answers[1]);
  } finally {
    await runner.close();
  }
});

test('with other weights than those it was measured with does not load, until it is sealed again', async () => {
  await using at = await lent({ sha256: '0'.repeat(64) });
  expect(await at.fault()).toMatch(
    /^model\.pack-invalid .*networks\.corners\.from\.sha256: lender 1\.0\.0 has other weights, [0-9a-f]{64}: measure this pack/,
  );
  expect(await sealPack(at.folder, 'borrower')).toMatchObject([{ file: 'lender/model.onnx' }]);
  expect((await at.load()).manifest.networks['corners']?.weights.pack).toBe('lender');
});

test.each([
  ['pack that is not there', {}, 'networks.corners.from.pack: there is no lender beside this pack'],
  ['network that the lender does not have', { network: 'other' }, 'networks.corners.from.network: lender has main'],
  ['hash that is none', { sha256: 'abc' }, 'networks.corners.from.sha256: must be 64 hexadecimal digits'],
])('a %s is named with file and field', async (what, from, words) => {
  await using at = await lent(from);
  if (what.startsWith('pack')) await rename(join(at.folder, 'lender'), join(at.folder, 'away'));
  expect(await at.fault()).toContain(`model.pack-invalid`);
  expect(await at.fault()).toContain(`${at.manifestFile}: ${words}`);
});

test('is not lent on', async () => {
  await using at = await lent();
  const third = join(at.folder, 'lender', 'manifest.json');
  const borrowing = (await readFile(at.manifestFile, 'utf8')).replace('"borrower"', '"lender"');
  await writeFile(third, borrowing);
  expect(await at.fault()).toContain('cannot be lent again');
});

test('a file that the pack’s code reads is part of the model, and sealed', async () => {
  await using at = await lent();
  const before = await at.load();
  const coefficients = '{"intercepts": [0, 0, 0]}';
  await writeFile(join(at.borrower, 'model.json'), coefficients);
  const manifest = JSON.parse(await readFile(at.manifestFile, 'utf8')) as object;
  await writeFile(
    at.manifestFile,
    JSON.stringify({ ...manifest, files: { 'model.json': { sha256: '0'.repeat(64) } } }),
  );
  expect(await at.fault()).toContain('files.model.json.sha256: the file has');
  await sealPack(at.folder, 'borrower');
  const after = await at.load();
  expect(after.manifest.files).toEqual({
    'model.json': { sha256: createHash('sha256').update(coefficients).digest('hex') },
  });
  expect(after.identity.sha256).not.toBe(before.identity.sha256);
  await appendFile(join(at.borrower, 'model.json'), ' ');
  expect(await at.fault()).toContain('files.model.json.sha256: the file has');
});
