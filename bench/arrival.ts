/** From "a study arrived" to "its findings are stored", against the bare sum of fetching, decoding and one run of the net. */
import { fork, type ChildProcess } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { openTheStore, theArchive, theChart, theKeys, theModels, thePacks } from '../src/adapters.ts';
import { readConfig } from '../src/config.ts';
import { decoderPool } from '../src/dicom/decoder-pool.ts';
import { decodeInstance } from '../src/dicom/instance.ts';
import { studyUid, type StudyUid } from '../src/domain/ids.ts';
import { silentLogger } from '../src/domain/log.ts';
import { leaveRoomForPictures } from '../src/heap.ts';
import { arrangeSeries } from '../src/dicom/volume/arrange.ts';
import { analyseStudy } from '../src/pipeline/analyse-study.ts';
import type { BenchRow } from './row.ts';
import type { NetworkInput, NetworkManifest } from '../src/kit/model-pack.ts';

const films = ['normal', 'l4-l5-grade-1', 'l5-s1-grade-2', 'normal-implant'];
/** Ours and the bare one take turns, so that whatever else the machine does falls on both alike. */
const rounds = 24;
const threads = 2;

export async function benchArrival(): Promise<BenchRow[]> {
  // As the service does (src/main.ts); the bare reader beside it gains by it as well.
  leaveRoomForPictures();
  // The hospital's authorization server looks for our public keys where the service would be.
  let publicKeys = '';
  const dataDir = mkdtempSync(join(tmpdir(), 'wetread-bench-'));
  const jwks = createServer((_request, response) =>
    response.setHeader('content-type', 'application/json').end(publicKeys),
  );
  await new Promise<void>((resolve) => jwks.listen(0, '127.0.0.1', resolve));
  const servicePort = (jwks.address() as AddressInfo).port;
  const { sandbox, hospital } = await startSandbox(servicePort);
  const config = readConfig({
    WETREAD_PORT: String(servicePort),
    WETREAD_DATA_DIR: dataDir,
    WETREAD_DICOMWEB_URL: `${hospital}/dicom-web`,
    WETREAD_FHIR_URL: `${hospital}/fhir`,
    WETREAD_FHIR_CLIENT_ID: 'wetread',
    WETREAD_PATIENT_IDENTIFIER_SYSTEM: 'http://hospital.example/mrn',
    WETREAD_INFERENCE_THREADS: String(threads),
  });
  const keys = await theKeys(config, silentLogger);
  publicKeys = JSON.stringify(keys.publicJwks());
  const store = await openTheStore(config, silentLogger);
  const packs = await thePacks(config, silentLogger);
  const models = theModels(config, silentLogger, packs);
  const decoder = decoderPool({ threads: 1, logger: silentLogger });
  try {
    await models.ready();
    const stored = new Map<StudyUid, () => void>();
    const { register, orders } = store;
    const readings: typeof store.readings = {
      ...store.readings,
      async save(reading) {
        const saved = await store.readings.save(reading);
        stored.get(reading.studyUid)?.();
        return saved;
      },
    };
    const parts = {
      archive: theArchive(config, silentLogger),
      arrange: arrangeSeries,
      chart: theChart(config, silentLogger, keys).chart,
      decoder,
      models,
      register,
      orders,
      readings,
      logger: silentLogger,
    };
    await store.workStudies((job) => analyseStudy(parts, job), { concurrency: 1 });

    const [[name, network]] = Object.entries(packs[0]!.manifest.networks) as [[string, NetworkManifest]];
    const [[tensor, { shape }]] = Object.entries(network.inputs) as [[string, NetworkInput]];
    const bare = await bareReader(packs[0]!.weightsFiles[name]!, tensor, shape);
    const ours: number[] = [];
    const limits: number[] = [];
    for (let round = 0; round < rounds + 1; round += 1) {
      const uid = await arrive(hospital, films[round % films.length]!);
      const began = performance.now();
      const finished = new Promise<void>((resolve) => stored.set(uid, resolve));
      await register.announce({ source: 'rest', studyUid: uid, reason: 'study-arrived', priority: 'routine' });
      await finished;
      const took = performance.now() - began;
      const limit = await bare(`${hospital}/dicom-web/studies/${uid}`);
      // The first round opens connections and warms codecs, on both sides.
      if (round === 0) continue;
      ours.push(took);
      limits.push(limit);
    }
    // Of each round, as films and the machine's other work differ between rounds.
    const ratio = median(ours.map((took, round) => took / limits[round]!));
    return [
      {
        name: 'film announced to finding stored',
        value: median(ours),
        unit: 'ms',
        limit: median(limits),
        limitName: 'bare fetch + decode + one run',
        ratio,
        target: 'ratio ≤ 1.50',
        pass: ratio <= 1.5,
      },
    ];
  } finally {
    await models.close();
    await decoder.close();
    await store.close();
    jwks.close();
    sandbox.kill('SIGTERM');
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** What has to be done in any case: get the bytes, decode them, run the net once on both facings. */
async function bareReader(weights: string, tensor: string, shape: readonly (number | string)[]) {
  const session = await InferenceSession.create(readFileSync(weights), {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
  });
  const [, , height, width] = shape as [unknown, unknown, number, number];
  const input = new Tensor(
    'float32',
    Float32Array.from({ length: 2 * height * width }, (_, at) => ((at * 7919) % 1009) / 504 - 1),
    [2, 1, height, width],
  );
  return async (study: string): Promise<number> => {
    const began = performance.now();
    const response = await fetch(study, {
      headers: { accept: 'multipart/related; type="application/dicom"; transfer-syntax=*' },
    });
    const body = new Uint8Array(await response.arrayBuffer());
    await decodeInstance(onlyPart(body), 512 * 1024 * 1024);
    await session.run({ [tensor]: input });
    return performance.now() - began;
  };
}

/** The demo archive's studies have one instance: what lies between the part's empty line and the last boundary. */
function onlyPart(body: Uint8Array): Uint8Array {
  const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  return text.subarray(text.indexOf('\r\n\r\n') + 4, text.lastIndexOf('\r\n--'));
}

export async function arrive(hospital: string, film: string): Promise<StudyUid> {
  const response = await fetch(`${hospital}/ehr/api/films`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ patient: 'patient-brandt', film }),
  });
  return studyUid(((await response.json()) as { studyUid: string }).studyUid);
}

export function startSandbox(servicePort: number): Promise<{ sandbox: ChildProcess; hospital: string }> {
  return new Promise((resolve, reject) => {
    const child = fork(join(import.meta.dirname, '../sandbox/main.ts'), {
      env: {
        ...process.env,
        WETREAD_SANDBOX_PORT: '0',
        WETREAD_PUBLIC_URL: `http://127.0.0.1:${servicePort}`,
        WETREAD_LOG_LEVEL: 'error',
      },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    child.once('error', reject);
    child.once('message', (message) => resolve({ sandbox: child, hospital: (message as { url: string }).url }));
  });
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
