/** docs/add-a-model.md, typed as it stands: its commands are run, its code is compiled, its files are put where it says. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { PNG } from 'pngjs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { runCommand, type Command } from '../../src/cli/command.ts';
import { command as infer } from '../../src/cli/infer.ts';
import { command as models } from '../../src/cli/models.ts';
import { parseManifest } from '../../src/kit/model-pack.ts';
import { preprocessStep } from '../../src/kit/preprocess-step.ts';

const root = join(import.meta.dirname, '../..');
const page = await readFile(join(root, 'docs/add-a-model.md'), 'utf8');
const blocks = [...page.matchAll(/^```(\w+)(?: (\S+))?\n([\s\S]*?)^```/gm)].map(([, language, file, body]) => ({
  language,
  file,
  body: body!,
}));
const block = (file: string): string => blocks.find((one) => one.file === file)!.body;

let house: string;
let folder: string;
beforeAll(async () => {
  house = await mkdtemp(join(tmpdir(), 'wetread-walk-'));
  folder = join(house, 'models');
  await mkdir(folder);
  for (const name of ['src', 'test', 'sandbox', 'node_modules']) await symlink(join(root, name), join(house, name));
  await writeFile(join(house, 'package.json'), '{"type":"module"}');
  const compilerOptions = { typeRoots: [join(root, 'node_modules/@types')] };
  await writeFile(
    join(house, 'tsconfig.json'),
    JSON.stringify({ extends: join(root, 'tsconfig.json'), compilerOptions, include: ['models'] }),
  );
});
afterAll(() => rm(house, { recursive: true, force: true }));

/** One line of the page, with the reader's files where the test has them. */
async function typed(line: string): Promise<{ code: number; out: string; err: string }> {
  const [name, ...args] = line.replace('npm run wetread -- ', '').split(' ');
  const command = ({ models, infer } as Record<string, Command>)[name!]!;
  const placed = args.map((arg) => {
    if (arg.startsWith('test/') || arg.startsWith('sandbox/')) return join(root, arg);
    return ['explained', 'overlay.png'].includes(arg) ? join(house, arg) : arg;
  });
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const code = await runCommand(command, placed, { stdout, stderr, env: { WETREAD_MODELS_DIR: folder } });
  stdout.end();
  stderr.end();
  return { code, out: await text(stdout), err: await text(stderr) };
}

test('the walk of docs/add-a-model.md works when typed', async () => {
  const [first, second] = blocks.filter(({ language }) => language === 'sh').map(({ body }) => body.trim().split('\n'));
  for (const line of first!) expect([line, await typed(line)]).toMatchObject([line, { code: 0, err: '' }]);

  const file = join(folder, 'my-model/manifest.json');
  const manifest = JSON.parse(await readFile(file, 'utf8')) as object;
  await writeFile(file, JSON.stringify({ ...manifest, ...(JSON.parse(block('manifest.json')) as object) }, null, 2));
  await writeFile(join(folder, 'my-model/postprocess.ts'), block('postprocess.ts'));
  await writeFile(join(folder, 'my-model/chain.json'), block('chain.json'));
  await writeFile(join(folder, 'my-model/chain.ts'), block('chain.ts'));
  await promisify(execFile)(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '--noEmit', '-p', house]);

  expect(second).toHaveLength(4);
  const [verify, explain, drawn, json] = await Promise.all(second!.map(typed));
  for (const answer of [verify, explain, drawn, json]) expect(answer).toMatchObject({ code: 0, err: '' });
  expect(explain!.out).toMatch(/slip: -?[\d.]+ → [\d.]+ \(temperature\), threshold 0\.5/);
  expect(drawn!.out).toMatch(/(Suspected|No) slip/);
  const film = PNG.sync.read(await readFile(join(house, 'overlay.png')));
  expect([film.width, film.height]).toEqual([992, 1600]);
  const [read] = JSON.parse(json!.out) as {
    pictures: { readings: { pack: string; findings: { concept: string }[] }[] }[];
  }[];
  expect(read!.pictures[0]!.readings[0]).toMatchObject({
    pack: 'my-model',
    findings: [{ concept: 'spondylolisthesis' }],
  });
});

test('the manifests and steps it shows are valid', async () => {
  const steps = JSON.parse(
    blocks.find(({ language, file }) => language === 'json' && file === undefined)!.body,
  ) as unknown;
  expect(z.array(preprocessStep).safeParse(steps).success).toBe(true);
  const {
    weights: _,
    input: __,
    outputs: ___,
    ...whole
  } = JSON.parse(await readFile(join(root, 'models/lumbar-landmarks/manifest.json'), 'utf8')) as Record<
    string,
    unknown
  >;
  const chain = JSON.parse(block('chain.json')) as object;
  const { networks } = parseManifest(JSON.stringify({ ...whole, ...chain, picture: 'native' }), 'docs/add-a-model.md');
  expect(Object.keys(networks)).toEqual(['landmarks', 'fracture']);
});
