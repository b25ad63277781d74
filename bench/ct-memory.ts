/** A study of 2,000 CT slices (1 GB), and one enhanced object of 500 frames, through a process whose memory must stay small. */
import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { ctSeries, type CtArchive, type CtFetched } from './ct-series.ts';
import type { BenchRow } from './row.ts';

const slices = 2000;
const frames = 500;
/** What the fetching process may take, however large the study. */
const limitMb = 600;
/** One object must lie in memory while it is decoded; beside it there may be little. */
const timesTheObject = 3;
const megabytes = (pictures: number) => (pictures * 512 * 512 * 2) / 1e6;

export async function benchCtMemory(): Promise<BenchRow[]> {
  const server = fork(join(import.meta.dirname, 'ct-archive.ts'), [String(slices), String(frames)]);
  try {
    const { baseUrl } = await said<CtArchive>(server);
    const rows: BenchRow[] = [];
    for (const [name, series, count] of [
      [`${slices} CT slices, uncompressed`, ctSeries.plain, slices],
      [`${slices} CT slices, JPEG-LS`, ctSeries.compressed, slices],
      [`one enhanced CT of ${frames} frames`, ctSeries.enhanced, frames],
    ] as const) {
      const child = fork(join(import.meta.dirname, 'ct-fetch.ts'), [baseUrl, series]);
      const fetched = await said<CtFetched>(child);
      await new Promise((resolve) => (child.exitCode === null ? child.once('exit', resolve) : resolve(undefined)));
      if (fetched.pictures !== count) throw new Error(`${fetched.pictures} of ${count} pictures`);
      // The middle of the phantom is soft tissue, 36 to 67 HU in a window of 40 ± 200.
      if (!(fetched.meanGrey > 0.45 && fetched.meanGrey < 0.6)) throw new Error(`grey ${fetched.meanGrey}`);
      const oneObject = series === ctSeries.enhanced;
      const limit = oneObject ? megabytes(count) : fetched.startMb;
      rows.push(
        {
          name: `${name}: peak memory`,
          value: fetched.peakMb,
          unit: 'MB',
          limit,
          limitName: oneObject ? 'the object itself' : 'before the first byte',
          ratio: fetched.peakMb / limit,
          target: oneObject ? `≤ × ${timesTheObject}` : `< ${limitMb} MB`,
          pass: oneObject ? fetched.peakMb <= timesTheObject * limit : fetched.peakMb < limitMb,
        },
        { name: `${name}: fetched and decoded`, value: megabytes(count) / fetched.seconds, unit: 'MB/s' },
      );
    }
    return rows;
  } finally {
    server.kill();
  }
}

function said<Message>(child: ChildProcess): Promise<Message> {
  return new Promise((resolve, reject) => {
    child.once('message', (message) => resolve(message as Message));
    child.once('exit', (code) => reject(new Error(`ended with ${code}`)));
  });
}
