/** The walls of the house: checked by dependency-cruiser in `npm run check`, and here that it really sees the house. */
import { cruise } from 'dependency-cruiser';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

const root = join(import.meta.dirname, '../..');
const configuration = createRequire(import.meta.url)('../../.dependency-cruiser.cjs');
const folders = ['src', 'hooks', 'models', 'smart-app', 'sandbox'];

function filesUnder(folder: string, ending: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ending) && !/(^|\/)(dist|node_modules)\//.test(name))
    .map((name) => join(folder, name));
}

describe('the house', () => {
  test('has no import through a wall and no circle, and every module of ours is seen', async () => {
    const { output } = await cruise(
      folders,
      { ...configuration.options, ruleSet: { forbidden: configuration.forbidden }, validate: true, baseDir: root },
      undefined,
      { tsConfig: undefined as never },
    );
    if (typeof output === 'string') throw new Error('dependency-cruiser answered in words');
    const breaches = output.summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} → ${to}`);
    expect(breaches).toEqual([]);
    // With the wrong parser dependency-cruiser reads nothing and reports no violation.
    const seen = output.modules.filter(({ source }) =>
      folders.some((folder) => source.startsWith(`${folder}/`)),
    ).length;
    const written = folders.flatMap((folder) => filesUnder(folder, '.ts')).length;
    expect(seen).toBeGreaterThanOrEqual(written);
  });

  test('opens every file with a sentence on what it is', () => {
    const silent = ['src', 'hooks', 'models', 'smart-app', 'sandbox', 'bench']
      .flatMap((folder) => filesUnder(folder, '.ts'))
      .filter((file) => !/^(#!.*\n)?\/(\*\*|\/)/.test(readFileSync(join(root, file), 'utf8')));
    expect(silent).toEqual([]);
  });

  test('names no file after nothing in particular', () => {
    const vague = ['src', 'hooks', 'models', 'smart-app', 'sandbox', 'bench', 'test']
      .flatMap((folder) => filesUnder(folder, '.ts'))
      .filter((file) => /(^|\/)(utils?|helpers?|common|manager|misc)(\/|\.ts$)/.test(file));
    expect(vague).toEqual([]);
  });

  test('stays small enough to clone', () => {
    const weights = filesUnder('models', '.onnx').map((file) => statSync(join(root, file)).size);
    expect(weights.every((bytes) => bytes <= 25_000_000)).toBe(true);
    expect(weights.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThanOrEqual(80_000_000);
  });
});
