/** Inference servers over TLS: trusted by the authorities that NODE_EXTRA_CA_CERTS names, else refused in clear words. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { ModelAnswer } from '../../src/domain/ports.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { loadPacks } from '../../src/inference/load-packs.ts';
import { modelRunner } from '../../src/inference/model-runner.ts';
import { certificateFolder, opensslInstalled, type Certificate } from '../support/certificates.ts';
import { grpcKserveServer, httpKserveServer } from '../support/kserve-server.ts';
import { numbersTold, packsFolder, picture, type FixturePack } from './fixture-pack.ts';

const skip = !opensslInstalled && !process.env['CI'];
if (skip) console.warn('SKIPPED: inference servers over TLS, as openssl is not installed');

const same: FixturePack = { name: 'same', onnx: 'same', outputs: { same: { type: 'float32', shape: ['n', 1, 8, 8] } } };

describe.skipIf(skip).each([
  ['https', httpKserveServer],
  ['grpcs', grpcKserveServer],
] as const)('an inference server by %s', (protocol, start) => {
  let folder: ReturnType<typeof certificateFolder>;
  let house: Certificate;
  let certificate: Certificate;
  beforeAll(() => {
    folder = certificateFolder();
    house = folder.authority('house');
    certificate = folder.signed('inference', 'house');
  });
  afterAll(() => folder?.remove());
  afterEach(() => {
    delete process.env['NODE_EXTRA_CA_CERTS'];
  });

  async function readAt(check: (reading: Promise<ModelAnswer>) => Promise<void>): Promise<void> {
    await using packs = await packsFolder(same);
    const [pack] = await loadPacks(packs.folder, silentLogger);
    const server = await start({ tls: certificate });
    expect(server.url.startsWith(`${protocol}:`)).toBe(true);
    const runner = modelRunner({
      packs: [pack!],
      processes: 1,
      threads: 1,
      provider: 'cpu',
      server: { url: server.url, requestsAtOnce: 2 },
      logger: silentLogger,
    });
    const image = picture(8, 8, (x) => x / 100);
    try {
      await check(runner.ready().then(() => runner.run(pack!.identity, image)));
    } finally {
      await runner.close();
      await server.close();
    }
  }

  test('is used when its certificate is trusted', async () => {
    // Model processes read it when they start.
    process.env['NODE_EXTRA_CA_CERTS'] = house.certFile;
    await readAt(async (reading) => expect(numbersTold(await reading)[1]).toBeCloseTo(0.01));
  });

  test('is refused when nobody vouches for its certificate, and not asked again', async () => {
    await readAt((reading) => expect(reading).rejects.toMatchObject({ code: 'model.server-refused' }));
  });
});
