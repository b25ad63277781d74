/** `wetread models add`, `card`, `explain` and the published schema: packs that come from elsewhere, and what is said of them. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { PNG } from 'pngjs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { runCommand } from '../../src/cli/command.ts';
import { command } from '../../src/cli/models.ts';
import { certificateFolder, opensslInstalled } from '../support/certificates.ts';
import { onnxFile, packsFolder, type FixturePack } from '../inference/fixture-pack.ts';

const root = join(import.meta.dirname, '../..');
const run = promisify(execFile);
const same: FixturePack = { name: 'same', onnx: 'same', outputs: { same: { type: 'float32', shape: ['n', 1, 8, 8] } } };

let site: string;
beforeEach(async () => {
  site = await mkdtemp(join(tmpdir(), 'wetread-site-'));
});
afterEach(() => rm(site, { recursive: true, force: true }));

async function models(folder: string, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const code = await runCommand(command, args, { stdout, stderr, env: { WETREAD_MODELS_DIR: folder } });
  stdout.end();
  stderr.end();
  return { code, out: await text(stdout), err: await text(stderr) };
}

async function serving(files: Readonly<Record<string, Uint8Array>>) {
  const server = createServer((request, response) => {
    const file = files[request.url ?? ''];
    response.statusCode = file === undefined ? 404 : 200;
    response.end(file);
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe('adding a pack', () => {
  test('from a folder: copied whole, its code finds the kit from where it lies now, and it runs', async () => {
    await using packs = await packsFolder(same);
    const from = join(packs.folder, 'same');
    await writeFile(
      join(from, 'postprocess.ts'),
      `import { viewOf } from '../../src/kit/model-pack.ts';\nexport default { postprocess: () => [{ concept: 'view-and-quality', site: { kind: 'image' }, result: { kind: 'measured' }, measurements: [], summary: String(viewOf('LL')) }] };\n`,
    );
    await mkdir(join(from, 'cases'));
    await writeFile(join(from, 'cases/README.md'), 'cases');
    await writeFile(join(from, '.secret'), 'stays');
    expect(await models(site, 'add', from)).toMatchObject({
      code: 0,
      out: expect.stringContaining('same 1.0.0') as string,
    });
    expect((await readdir(join(site, 'same'), { recursive: true })).toSorted()).toEqual([
      'cases',
      'cases/README.md',
      'manifest.json',
      'model.onnx',
      'postprocess.ts',
    ]);
    expect(await models(site, 'verify')).toMatchObject({ code: 0 });
    expect(await models(site, 'add', from)).toMatchObject({
      code: 1,
      err: expect.stringContaining('is there already') as string,
    });
  });

  test('from an archive, whose hash is checked where the way is not safe', async () => {
    await using packs = await packsFolder(same);
    await run('tar', ['-czf', join(site, '../same.tgz'), '-C', packs.folder, 'same']);
    const archive = await readFile(join(site, '../same.tgz'));
    await rm(join(site, '../same.tgz'));
    await using server = await serving({ '/same.tgz': archive });
    const address = `${server.address}/same.tgz`;
    expect(await models(site, 'add', address)).toMatchObject({
      code: 2,
      err: expect.stringContaining('--sha256') as string,
    });
    const wrong = await models(site, 'add', address, '--sha256', '0'.repeat(64));
    expect(wrong).toMatchObject({ code: 1, err: expect.stringContaining(hash(archive)) as string });
    expect(wrong.err).toContain(`--sha256 says ${'0'.repeat(64)}`);
    expect(await models(site, 'add', join(site, 'nowhere'))).toMatchObject({
      code: 2,
      err: expect.stringContaining('there is no folder') as string,
    });
    expect(await readdir(site)).toEqual([]);
    expect(await models(site, 'add', address, '--sha256', hash(archive))).toMatchObject({ code: 0 });
    expect(await models(site, 'verify', 'same')).toMatchObject({ code: 0 });
  });

  test.runIf(opensslInstalled || process.env['CI'])('not by a way that leaves TLS, when no hash is named', async () => {
    const made = certificateFolder();
    made.authority('ca');
    const { key, cert } = made.signed('server', 'ca');
    await using plain = await serving({ '/same.tgz': Buffer.from('anything') });
    const server = createTlsServer({ key, cert }, (_request, response) =>
      response.writeHead(302, { location: `${plain.address}/same.tgz` }).end(),
    ).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const address = `https://127.0.0.1:${(server.address() as AddressInfo).port}/same.tgz`;
    const env = { ...process.env, WETREAD_MODELS_DIR: site, NODE_EXTRA_CA_CERTS: join(made.folder, 'ca.pem') };
    const cli = join(root, 'src/cli/wetread.ts');
    await expect(run(process.execPath, [cli, 'models', 'add', address], { env })).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining('without TLS all the way it needs --sha256') as string,
    });
    server.close();
    made.remove();
  });

  test('from an archive that reaches out of its folder, or holds a link, leaves nothing behind', async () => {
    await using packs = await packsFolder(same);
    await symlink('/etc/hostname', join(packs.folder, 'same', 'link.ts'));
    const made = join(packs.folder, 'odd.tgz');
    await run('tar', ['-czf', made, '-C', packs.folder, 'same']);
    const linked = await readFile(made);
    await rm(join(packs.folder, 'same', 'link.ts'));
    await run('tar', ['-czPf', made, '--transform', 's,^same/,../../,', '-C', packs.folder, 'same/manifest.json']);
    const escaping = await readFile(made);
    await using server = await serving({
      '/linked.tgz': linked,
      '/escaping.tgz': escaping,
      '/none.tgz': Buffer.from('no archive'),
    });
    for (const [name, bytes, words] of [
      ['linked', linked, 'no plain file'],
      ['escaping', escaping, 'outside of itself'],
      ['none', Buffer.from('no archive'), 'cannot be unpacked'],
    ] as const) {
      const answer = await models(site, 'add', `${server.address}/${name}.tgz`, '--sha256', hash(bytes));
      expect(answer).toMatchObject({ code: 1, err: expect.stringContaining(words) as string });
    }
    expect(await models(site, 'add', `${server.address}/absent.tgz`, '--sha256', '0'.repeat(64))).toMatchObject({
      err: expect.stringContaining('404') as string,
    });
    expect(await readdir(site)).toEqual([]);
    expect(existsSync(join(site, '../manifest.json'))).toBe(false);
  });

  test('fetches weights by their address, refuses others than the manifest names, and says what is missing until then', async () => {
    await using packs = await packsFolder(same);
    const from = join(packs.folder, 'same');
    const weights = await readFile(join(from, 'model.onnx'));
    const served: Record<string, Uint8Array> = { '/model.onnx': weights };
    await using server = await serving(served);
    const manifest = JSON.parse(await readFile(join(from, 'manifest.json'), 'utf8')) as {
      weights: Record<string, unknown>;
    };
    manifest.weights['url'] = `${server.address}/model.onnx`;
    await writeFile(join(from, 'manifest.json'), JSON.stringify(manifest));
    await rm(join(from, 'model.onnx'));
    const verified = await models(packs.folder, 'verify', 'same');
    expect(verified).toMatchObject({
      code: 1,
      out: expect.stringContaining(`"wetread models add ${from}" fetches it`) as string,
    });

    served['/model.onnx'] = Buffer.concat([weights.subarray(0, -1), Buffer.from([weights.at(-1)! ^ 1])]);
    expect(await models(site, 'add', from)).toMatchObject({
      code: 1,
      err: expect.stringContaining('what came has sha256') as string,
    });
    served['/model.onnx'] = weights.subarray(0, 50);
    expect(await models(site, 'add', from)).toMatchObject({
      code: 1,
      err: expect.stringContaining(`50 of ${weights.length} bytes`) as string,
    });
    served['/model.onnx'] = Buffer.concat([weights, weights]);
    expect(await models(site, 'add', from)).toMatchObject({
      code: 1,
      err: expect.stringContaining('more than the') as string,
    });
    expect((await readdir(site)).filter((name) => !name.startsWith('.'))).toEqual([]);

    served['/model.onnx'] = weights;
    // A pack that is here already is completed where it is.
    expect(await models(packs.folder, 'add', from)).toMatchObject({
      code: 0,
      err: expect.stringContaining('fetching model.onnx') as string,
    });
    expect(await models(packs.folder, 'verify', 'same')).toMatchObject({ code: 0 });
    expect(await readdir(join(packs.folder, '.weights'))).toEqual([`${hash(weights)}.onnx`]);
    // The next one is content with what lies there.
    expect((await models(packs.folder, 'add', from)).err).toBe('');
  });
});

describe('what is said of a pack', () => {
  test('its card holds the facts of the manifest and of an evaluation, and keeps the words around them', async () => {
    await using packs = await packsFolder(same);
    const file = join(packs.folder, 'same', 'MODEL_CARD.md');
    await writeFile(file, '# Same\nWords of mine.\n');
    const report = join(site, 'report.json');
    await writeFile(
      report,
      JSON.stringify({
        sections: [
          {
            title: 'Slip',
            kind: 'synthetic',
            images: 40,
            patients: 20,
            figures: [
              { name: 'F1', value: 0.9351, interval: [0.9, 0.96], k: 37, n: 40 },
              { name: 'refused', value: 0, interval: [3.4e-17, 0.0881], k: 0, n: 40 },
            ],
          },
          { title: 'Subgroups', kind: 'synthetic', images: 40, patients: 20, figures: [] },
        ],
      }),
    );
    expect(await models(packs.folder, 'card', 'same', '--evaluation', report, '--write')).toMatchObject({ code: 0 });
    const card = await readFile(file, 'utf8');
    expect(card).toContain('Words of mine.');
    expect(card).toContain('- Knows nothing.');
    expect(card).toContain('fit into 8 × 8 keeping the aspect');
    expect(card).toContain('| synthetic | value | 95 % interval | n |');
    expect(card).toContain('| F1 | 0.935 | 0.9 to 0.96 | 37 / 40 |');
    expect(card).toContain('| refused | 0 | 0 to 0.0881 | 0 / 40 |');
    expect(card).not.toContain('Subgroups');
    await models(packs.folder, 'card', 'same', '--write');
    const again = await readFile(file, 'utf8');
    expect(again.match(/Knows nothing/g)).toHaveLength(1);
    expect(again).not.toContain('0.935');
    expect(again).toContain('Words of mine.');
  });

  test('its card tells the thresholds of every operating point that its outputs declare', async () => {
    const logits = {
      type: 'float32',
      shape: ['n', 2],
      labels: ['slip', 'normal'],
      thresholds: { balanced: { slip: 0.5 }, sensitive: { slip: 0.2 } },
    } as const;
    const manifest = { outputs: { moments: logits }, operatingPoint: 'balanced' };
    await using packs = await packsFolder({ name: 'two-points', onnx: 'moments', outputs: {}, manifest });
    const { out } = await models(packs.folder, 'card', 'two-points');
    expect(out).toContain('Operating point in use: balanced.');
    expect(out).toContain('| balanced | slip 0.5 |');
    expect(out).toContain('| sensitive | slip 0.2 |');
  });

  test('it is explained step by step: what would be read, each canvas as a picture, tensors, findings', async () => {
    const film = join(root, 'models/lumbar-landmarks/cases/l4-l5-slip-monochrome1.dcm');
    const { code, out } = await models(join(root, 'models'), 'explain', 'lumbar-landmarks', film, '--out', site);
    expect(code).toBe(0);
    expect(out).toContain('selection would be read');
    expect(out).toContain('fit into 768 × 512 keeping the aspect');
    expect(out).toContain('landmarks [1, 34, 6]');
    expect(out).toContain('Suspected L4/L5 anterolisthesis');
    const [first] = (await readdir(site)).toSorted();
    expect(first).toBe('01-main-image-letterbox.png');
    const { width, height } = PNG.sync.read(await readFile(join(site, first!)));
    expect([width, height]).toEqual([512, 768]);
    expect(existsSync(join(site, 'overlay.png'))).toBe(true);
  });

  test('a pack whose code throws is explained up to there', async () => {
    await using packs = await packsFolder({ ...same, postprocess: `throw new Error('no corner found');` });
    const film = join(root, 'models/lumbar-landmarks/cases/l4-l5-slip-monochrome1.dcm');
    const { code, out } = await models(packs.folder, 'explain', 'same', film, '--out', site);
    expect(code).toBe(1);
    expect(out).toContain('selection would not be read: modality CR');
    expect(out).toContain('same [1, 1, 8, 8]');
    expect(out).toContain('no corner found');
  });
});

describe('the published schema', () => {
  test('accepts the manifests that come along and refuses what the service refuses', async () => {
    const written = JSON.parse(await readFile(join(root, 'models/pack.schema.json'), 'utf8')) as Parameters<
      typeof z.fromJSONSchema
    >[0];
    const schema = z.fromJSONSchema(written);
    const manifest = JSON.parse(await readFile(join(root, 'models/lumbar-landmarks/manifest.json'), 'utf8')) as Record<
      string,
      never
    >;
    expect(manifest['$schema']).toBe('../pack.schema.json');
    expect(schema.safeParse(manifest).success).toBe(true);
    const wrong = (edit: (copy: Record<string, never>) => void): boolean => {
      const copy = structuredClone(manifest);
      edit(copy);
      return schema.safeParse(copy).success;
    };
    expect(wrong((copy) => Object.assign(copy, { version: 'latest' }))).toBe(false);
    expect(wrong((copy) => delete copy['intendedUse'])).toBe(false);
    expect(wrong((copy) => Object.assign(copy['input']!, { preprocess: [{ step: 'sharpen' }] }))).toBe(false);
    expect(wrong((copy) => Object.assign(copy['outputs']!, { more: { shape: [1] } }))).toBe(false);
  });
});

describe('a new pack from weights', () => {
  test.each([
    [
      'bytes',
      {
        type: 'uint8',
        layout: 'NHWC',
        preprocess: [
          { step: 'letterbox', height: 8, width: 8, filter: 'triangle' },
          { step: 'scale', by: 255 },
        ],
      },
    ],
    ['half', { type: 'float16', layout: 'NCHW' }],
    ['cam', { type: 'float32', layout: 'NCHW', shape: ['n', 1, 32, 24] }],
  ])('of %s takes its numbers, its layout and a way to them from the file, and runs', async (onnx, input) => {
    expect(await models(site, 'new', 'mine', '--onnx', onnxFile(onnx))).toMatchObject({ code: 0, err: '' });
    const manifest = JSON.parse(await readFile(join(site, 'mine/manifest.json'), 'utf8')) as { input: object };
    expect(manifest.input).toMatchObject(input);
    expect(await models(site, 'verify', 'mine')).toMatchObject({ code: 0 });
  });

  test('is not made from one that takes more than a picture', async () => {
    const made = await models(site, 'new', 'mine', '--onnx', onnxFile('sum-of-two'));
    expect(made).toMatchObject({ code: 1, err: expect.stringContaining('has 2 inputs') as string });
  });
});
