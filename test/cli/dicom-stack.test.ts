/** `wetread dicom --stack`, run as the command line runs it. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCommand } from '../../src/cli/command.ts';
import { command } from '../../src/cli/dicom.ts';
import { enhanced, phantomStudy, sagittalStack, slice } from '../support/slices.ts';

async function run(...args: string[]) {
  const said = { stdout: '', stderr: '' };
  const into = (name: 'stdout' | 'stderr') =>
    new Writable({
      write(text, _, done) {
        said[name] += String(text);
        done();
      },
    });
  const exitCode = await runCommand(command, args, { stdout: into('stdout'), stderr: into('stderr'), env: {} });
  return { exitCode, ...said };
}

describe('wetread dicom --stack', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'wetread-stack-'));
    await mkdir(join(folder, 'DICOM'));
    const t2 = sagittalStack(9).filter((_, index) => index !== 3);
    for (const [index, file] of t2.entries()) await writeFile(join(folder, 'DICOM', `IM${index}`), file);
    const t1 = { SeriesDescription: 'T1 SAG', EchoTime: 10, RepetitionTime: 500 };
    await writeFile(
      join(folder, 'DICOM', 'T1'),
      slice({ number: 1, series: `${phantomStudy}.7`, position: [0, 0, 0], with: t1 }),
    );
    await writeFile(
      join(folder, 'enhanced.dcm'),
      enhanced([2, 0, 1].map((index) => ({ position: [index * 3, 0, 0], grey: 0, echoTimeMs: 95 }))),
    );
    await writeFile(join(folder, 'DICOM', 'DICOMDIR'), 'an index');
  });
  afterAll(() => rm(folder, { recursive: true }));

  test('tells of a folder each series, its order, gaps and whether it is a T2 sagittal', async () => {
    const { exitCode, stdout } = await run('--stack', '--json', folder);
    expect(exitCode).toBe(0);
    const { series, unreadable } = JSON.parse(stdout);
    expect(unreadable).toEqual([]);
    const bySeries = Object.fromEntries(
      series.map((one: { seriesUid: string }) => [one.seriesUid.split('.').at(-1), one]),
    );
    expect(bySeries['1'].stacks[0]).toMatchObject({
      plane: 'sagittal',
      spacingMm: 4,
      t2Sagittal: 'yes',
      gaps: [{ afterIndex: 2, distanceMm: 8, missing: 1 }],
    });
    // Instance numbers run against the order in the patient.
    expect(bySeries['1'].stacks[0].slices.map(({ file }: { file: string }) => file.split('/').at(-1))).toEqual([
      'IM0',
      'IM1',
      'IM2',
      'IM3',
      'IM4',
      'IM5',
      'IM6',
      'IM7',
    ]);
    expect(bySeries['7'].stacks[0].t2Sagittal).toBe('no');
    expect(bySeries['2'].stacks[0].slices.map(({ frame }: { frame: number }) => frame)).toEqual([1, 2, 0]);
  });

  test('tells the same for people', async () => {
    const { stdout } = await run('--stack', join(folder, 'DICOM'));
    expect(stdout).toContain('MR "t2_tse_sag_p2", 8 objects');
    expect(stdout).toContain('stack of 8 every 4 mm: sagittal, right to left');
    expect(stdout).toContain('T2 sagittal: yes (TE 102 ms, TR 3500 ms: T2; the description says T2)');
    expect(stdout).toContain('note: 1 slice missing after slice 3 (8.0 mm)');
    expect(stdout).toContain('T2 sagittal: no (TE 10 ms, TR 500 ms: T1; the description says T1)');
  });

  test('names what is not DICOM, and goes on', async () => {
    const stray = join(folder, 'notes.txt');
    await writeFile(stray, 'no picture');
    const { exitCode, stdout } = await run('--stack', folder);
    expect(exitCode).toBe(1);
    expect(stdout).toContain('dicom.not-a-dicom-file');
    expect(stdout).toContain('T2 sagittal: yes');
    await rm(stray);
  });

  test('says what is wrong with the call', async () => {
    expect(await run('--stack', '/nowhere')).toMatchObject({ exitCode: 2 });
    expect(await run('--stack', '--png', 'x.png', folder)).toMatchObject({ exitCode: 2 });
  });
});
