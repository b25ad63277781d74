/** dcmtk and gdcm as counterparts: programs of others that speak DICOM, run as an engineer runs them. */
import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

const onPath = (program: string): boolean =>
  (process.env['PATH'] ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });

/** False, said aloud, where a program is missing; in CI a missing one is a fault and its tests run into it. */
export function haveTools(...programs: readonly string[]): boolean {
  const missing = programs.filter((program) => !onPath(program));
  if (missing.length === 0 || process.env['CI']) return true;
  console.warn(`SKIPPED: tests with ${missing.join(', ')}, not installed (apt-get install dcmtk libgdcm-tools)`);
  return false;
}

export type ToolRun = { readonly code: number; readonly said: string };

export function runTool(program: string, ...args: readonly string[]): Promise<ToolRun> {
  return new Promise((resolve, reject) => {
    execFile(program, args, { timeout: 60_000 }, (error, stdout, stderr) => {
      if ((error as NodeJS.ErrnoException | null)?.code === 'ENOENT') return reject(error);
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
      resolve({ code, said: `${stdout}${stderr}` });
    });
  });
}
