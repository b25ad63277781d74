/** The model runner on real ONNX Runtime in real processes: answers, and every way a model can fail. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { silentLogger } from '../../src/domain/log.ts';
import { loadPacks } from '../../src/inference/load-packs.ts';
import { modelRunner, type ManagedModelRunner, type ModelRunnerOptions } from '../../src/inference/model-runner.ts';
import { numbersTold, packsFolder, picture, type FixturePack } from './fixture-pack.ts';

const same: FixturePack = { name: 'same', onnx: 'same', outputs: { same: { type: 'float32', shape: ['n', 1, 8, 8] } } };
const endless: FixturePack = { ...same, name: 'endless', onnx: 'endless' };
const bright = picture(8, 8, () => 1);
const dark = picture(8, 8, (x) => x / 100);

const open: { runner: ManagedModelRunner; dispose: () => Promise<void> }[] = [];
afterEach(async () => {
  for (const { runner, dispose } of open.splice(0)) {
    await runner.close();
    await dispose();
  }
});

async function runnerOf(packs: FixturePack[], options: Partial<ModelRunnerOptions> = {}) {
  const folder = await packsFolder(...packs);
  const loaded = await loadPacks(folder.folder, silentLogger);
  const runner = modelRunner({
    packs: loaded,
    processes: 1,
    threads: 1,
    provider: 'cpu',
    logger: silentLogger,
    ...options,
  });
  open.push({ runner, dispose: () => folder[Symbol.asyncDispose]() });
  return {
    runner,
    folder: folder.folder,
    run: (name: string, image = dark, signal?: AbortSignal) =>
      runner.run(loaded.find((pack) => pack.identity.name === name)!.identity, image, signal),
  };
}

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe('a model runner', () => {
  test('gives the net the pixels as declared, and hands back what postprocess makes of its answer', async () => {
    const { run } = await runnerOf([same]);
    const answer = await run(
      'same',
      picture(8, 8, (x, y) => (x + 8 * y) / 64),
    );
    expect(numbersTold(answer)).toEqual(Array.from({ length: 64 }, (_, at) => at / 64));
    expect(answer.executionProvider).toBe('cpu');
    expect(answer.runMs).toBeGreaterThan(0);
  });

  test('adds the mirror image as the second of the batch', async () => {
    const moments = { type: 'float32', shape: ['n', 2] } as const;
    const { run } = await runnerOf([{ name: 'moments', onnx: 'moments', outputs: { moments }, bothFacings: true }]);
    const answer = await run(
      'moments',
      picture(8, 8, (x) => (x === 1 ? 1 : 0)),
    );
    // Eight bright pixels in column 1; in the mirror image in column 6.
    expect(numbersTold(answer)).toEqual([8, 8, 8, 48]);
  });

  test('tells postprocess where a place of the tensor lies in the picture, counted from the corner of the first pixel', async () => {
    const postprocess = `
      const { toImage, magnification, image } = output;
      return [{ concept: 'view-and-quality', site: { kind: 'image' }, result: { kind: 'measured' }, measurements: [],
        summary: JSON.stringify([...toImage(-0.5, -0.5), ...toImage(7.5, 7.5), ...magnification, image.spacing.rowMm, image.spacing.columnMm]) }];`;
    const { run } = await runnerOf([{ ...same, postprocess }]);
    const spacing = { rowMm: 0.2, columnMm: 0.1, plane: 'patient' } as const;
    const answer = await run('same', { ...picture(80, 40, () => 0.5), spacing });
    // 80 x 40 becomes 8 x 4, two columns from the left: ten picture pixels for each of the tensor's.
    expect(JSON.parse(answer.findings[0]!.summary)).toEqual([-20, 0, 60, 80, 10, 10, 0.2, 0.1]);
  });

  test('answers many pictures at once, each with its own answer', async () => {
    const { run, runner } = await runnerOf([same], { processes: 2 });
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, index) =>
        run(
          'same',
          picture(8, 8, () => index / 32),
        ),
      ),
    );
    expect(answers.map((answer) => numbersTold(answer)[0])).toEqual(
      Array.from({ length: 30 }, (_, index) => index / 32),
    );
    expect(runner.status()).toMatchObject({ waiting: 0, running: 0, deaths: 0 });
  });

  test('refuses a picture when too many wait already', async () => {
    const { run, runner } = await runnerOf([endless], { queueLimit: 2 });
    await runner.ready();
    // Two in the process, two in the queue.
    const stuck = Array.from({ length: 4 }, () => run('endless', bright).catch((error: unknown) => error));
    await until(() => runner.status().waiting === 2);
    await expect(run('endless', dark)).rejects.toMatchObject({ code: 'model.queue-full' });
    await runner.close();
    expect(await Promise.all(stuck)).toMatchObject(Array.from({ length: 4 }, () => ({ code: 'model.process-died' })));
  });

  test('stops a model that does not finish, and reads the next picture in a new process', async () => {
    const { run, runner } = await runnerOf([{ ...endless, deadlineMs: 2_000 }]);
    await runner.ready();
    const before = runner.status().processes[0]!.pid!;
    const [slow, next] = await Promise.allSettled([run('endless', bright), run('endless', dark)]);
    expect(slow).toMatchObject({ status: 'rejected', reason: { code: 'model.deadline-exceeded' } });
    expect(next.status).toBe('fulfilled');
    expect(isAlive(before)).toBe(false);
    expect(runner.status().processes[0]!.pid).not.toBe(before);
    expect(runner.status().deaths).toBe(1);
  });

  test('survives the death of its process in mid-run, and loses only that run', async () => {
    const { run, runner } = await runnerOf([endless]);
    await runner.ready();
    const running = run('endless', bright).catch((error: unknown) => error);
    const behind = run('endless', dark);
    await until(() => runner.status().running === 2);
    process.kill(runner.status().processes[0]!.pid!, 'SIGKILL');
    expect(await running).toMatchObject({ code: 'model.process-died' });
    expect(numbersTold(await behind)[1]).toBeCloseTo(0.01);
  });

  test.each([
    ['throws', `throw new Error('no corner found');`, 'no corner found'],
    ['answers nonsense', `return [{ concept: 'spondylolisthesis' }];`, '0.site'],
    [
      'answers with a number that is none',
      `return [{ concept: 'view-and-quality', site: { kind: 'image' }, result: { kind: 'measured' }, summary: 's', measurements: [{ quantity: 'slip', unit: 'mm', value: NaN }] }];`,
      '0.measurements.0.value',
    ],
    [
      'says the same thing twice',
      `const one = { concept: 'view-and-quality', site: { kind: 'image' }, result: { kind: 'measured' }, summary: 's', measurements: [] }; return [one, one];`,
      'a second view-and-quality',
    ],
    ['answers with a promise', `return Promise.resolve([]);`, 'expected array'],
    ['does not return', `for (;;);`, 'did not return'],
  ])('records a postprocess that %s, and goes on', async (_, postprocess, words) => {
    const { run } = await runnerOf([{ ...same, name: 'broken', postprocess, deadlineMs: 1_000 }, same]);
    const error = await run('broken').catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'model.postprocess-failed' });
    expect((error as Error).message).toContain(words);
    expect(numbersTold(await run('same'))).toHaveLength(64);
  });

  test('refuses an answer that is not a number', async () => {
    const { run } = await runnerOf([{ ...same, onnx: 'not-a-number' }]);
    await expect(run('same')).rejects.toMatchObject({ code: 'model.bad-output' });
  });

  test('refuses an answer of another shape than declared', async () => {
    const { run } = await runnerOf([
      { name: 'detector', onnx: 'as-many-as-bright', outputs: { same: { type: 'float32', shape: [4, 3] } } },
    ]);
    expect(
      numbersTold(
        await run(
          'detector',
          picture(8, 8, (x, y) => (y === 0 && x < 3 ? 1 : 0)),
        ),
      ),
    ).toHaveLength(12);
    await expect(run('detector', bright)).rejects.toMatchObject({
      code: 'model.bad-output',
      detail: 'same has shape [4, 64]',
    });
  });

  test('refuses a picture whose pixels do not fit its size', async () => {
    const { run } = await runnerOf([same]);
    await expect(run('same', { ...dark, rows: 9 })).rejects.toMatchObject({ code: 'model.run-failed' });
  });

  test('forgets a waiting picture when its study is given up', async () => {
    const { run, runner } = await runnerOf([{ ...endless, deadlineMs: 2_000 }]);
    await runner.ready();
    const stuck = [run('endless', bright), run('endless', bright)].map((one) => one.catch(() => undefined));
    const leave = new AbortController();
    const given = run('endless', dark, leave.signal);
    await until(() => runner.status().waiting === 1);
    leave.abort(new Error('study given up'));
    await expect(given).rejects.toThrow('study given up');
    expect(runner.status().waiting).toBe(0);
    await Promise.all(stuck);
  });

  test('replaces a process after so many runs without losing one', async () => {
    const { run, runner } = await runnerOf([same], { maxRuns: 3 });
    await runner.ready();
    const before = runner.status().processes[0]!.pid;
    const answers = await Promise.all(Array.from({ length: 12 }, () => run('same')));
    expect(answers).toHaveLength(12);
    expect(runner.status().processes[0]?.pid).not.toBe(before);
    expect(runner.status().deaths).toBe(0);
  });

  test('reports each run with its outcome', async () => {
    const seen: { pack: string; outcome: string }[] = [];
    const metrics = {
      modelRun: ({ pack, outcome }: { pack: string; outcome: string }) => void seen.push({ pack, outcome }),
    };
    const { run } = await runnerOf([same, { ...same, name: 'nan', onnx: 'not-a-number' }], { metrics });
    await run('same');
    await run('nan').catch(() => undefined);
    expect(seen).toEqual([
      { pack: 'same', outcome: 'ok' },
      { pack: 'nan', outcome: 'model.bad-output' },
    ]);
  });

  test('leaves no process behind when closed, even in the middle of a run', async () => {
    const { run, runner } = await runnerOf([endless], { processes: 2 });
    await runner.ready();
    const stuck = run('endless', bright).catch((error: unknown) => error);
    await until(() => runner.status().running === 1);
    const pids = runner.status().processes.map(({ pid }) => pid!);
    await runner.close();
    expect(await stuck).toMatchObject({ code: 'model.process-died' });
    expect(pids.map(isAlive)).toEqual([false, false]);
    await expect(run('endless', dark)).rejects.toMatchObject({ code: 'model.process-died' });
  });

  test('leaves it to the service to end when Ctrl+C reaches the whole process group', async () => {
    const { run, runner } = await runnerOf([same]);
    await runner.ready();
    const { pid } = runner.status().processes[0]!;
    process.kill(pid!, 'SIGINT');
    process.kill(pid!, 'SIGTERM');
    expect(numbersTold(await run('same'))).toHaveLength(64);
    expect(runner.status()).toMatchObject({ deaths: 0, processes: [{ pid }] });
  });

  test('keeps the secrets of the service from the packs', async () => {
    process.env['WETREAD_EVENT_SECRET'] = 'not for packs, sixteen letters';
    const postprocess = `return [{ concept: 'view-and-quality', site: { kind: 'image' }, result: { kind: 'measured' }, measurements: [], summary: String(process.env.WETREAD_EVENT_SECRET) }];`;
    const { run } = await runnerOf([{ ...same, postprocess }]);
    const { findings } = await run('same');
    delete process.env['WETREAD_EVENT_SECRET'];
    expect(findings[0]!.summary).toBe('undefined');
  });
});

describe('the start of a model runner', () => {
  test('fails when the execution provider is not there, and does not take another', async () => {
    const { runner, run } = await runnerOf([same], { provider: 'cuda' });
    await expect(runner.ready()).rejects.toMatchObject({ code: 'model.provider-unavailable' });
    await expect(run('same')).rejects.toMatchObject({ code: 'model.provider-unavailable' });
    expect(runner.status().fault).toContain('cuda');
  });

  test('fails when the runtime does not know the provider', async () => {
    const provider = process.platform === 'darwin' ? 'dml' : 'coreml';
    const { runner } = await runnerOf([same], { provider });
    await expect(runner.ready()).rejects.toMatchObject({ code: 'model.provider-unavailable' });
  });

  test.each([
    [
      'an input the file does not have',
      {
        input: {
          tensor: 'picture',
          type: 'float32',
          shape: ['n', 1, 8, 8],
          preprocess: [{ step: 'letterbox', height: 8, width: 8, filter: 'area' }],
        },
      },
      'input.tensor: says picture',
    ],
    [
      'an input of another size',
      {
        input: {
          tensor: 'image',
          type: 'float32',
          shape: ['n', 1, 9, 9],
          preprocess: [{ step: 'letterbox', height: 9, width: 9, filter: 'area' }],
        },
      },
      'input.shape',
    ],
    [
      'an output the file does not have',
      { outputs: { corners: { type: 'float32', shape: ['n', 2] } } },
      'outputs.corners: the model gives same',
    ],
    [
      'an output of another shape',
      { outputs: { same: { type: 'float32', shape: ['n', 1, 8, 9] } } },
      'outputs.same.shape',
    ],
  ])('fails when the manifest names %s', async (_, manifest, words) => {
    const { runner } = await runnerOf([{ ...same, manifest }]);
    const error = await runner.ready().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'model.pack-invalid' });
    expect((error as Error).message).toContain(words);
    expect((error as Error).message).toContain('manifest.json');
  });

  test('fails when the weights are not ONNX', async () => {
    const { folder } = await packsFolder(same);
    const garbage = Buffer.from('these are no weights');
    await writeFile(join(folder, 'same', 'model.onnx'), garbage);
    const manifestFile = join(folder, 'same', 'manifest.json');
    const manifest = JSON.parse(await readFile(manifestFile, 'utf8')) as { weights: object };
    const { createHash } = await import('node:crypto');
    manifest.weights = {
      file: 'model.onnx',
      sha256: createHash('sha256').update(garbage).digest('hex'),
      bytes: garbage.length,
    };
    await writeFile(manifestFile, JSON.stringify(manifest));
    const packs = await loadPacks(folder, silentLogger);
    const runner = modelRunner({ packs, processes: 1, threads: 1, provider: 'cpu', logger: silentLogger });
    await expect(runner.ready()).rejects.toMatchObject({ code: 'model.pack-invalid' });
    await runner.close();
  });
});
