/** `wetread backfill`: has an archive's past read, at a pace that leaves today's films alone. */
import { theArchive, withStore } from '../adapters.ts';
import { readConfig } from '../config.ts';
import { backfill, isDay, type BackfillEnd, type BackfillProgress } from '../events/backfill.ts';
import { jsonLogger } from '../log.ts';
import { readArgs, UsageError, type Command, type Io } from './command.ts';

export const command: Command = {
  name: 'backfill',
  summary: "queue studies of an archive's past, day by day",
  usage: `
Usage: wetread backfill --from 2026-01-01 [--to 2026-03-31] [--modality DX,CR] [--rate 5/s]

  --from, --to     days, by Study Date; without --to until today
  --modality       only studies that have one of these
  --rate           studies queued in a second (5/s), a minute (100/m) or an hour (2000/h); 5/s unless said
  --most-waiting   adds none while so many wait to be read; 200 unless said
  --dry-run        counts what would be queued, and queues nothing
  --restart        from the first day, however far an earlier run came
  --json           one line of JSON at the end, no progress

Studies that are known already are left alone unless they have grown. Whatever is queued waits until no other study does.
Ctrl+C, or anything worse, loses nothing: the same command goes on from the day it was at.
Works beside a running service, which does the reading.

Examples:
  npm run wetread -- backfill --from 2026-01-01 --modality DX,CR --dry-run
  npm run wetread -- backfill --from 2026-01-01 --to 2026-03-31 --modality DX,CR --rate 100/m

Against "npm start" (another window):
  WETREAD_DATA_DIR=.wetread/demo WETREAD_DICOMWEB_URL=http://127.0.0.1:8090/dicom-web \\
    npm run wetread -- backfill --from 2026-01-01`,
  async run(args, io) {
    const { values } = readArgs(args, {
      from: { type: 'string' },
      to: { type: 'string' },
      modality: { type: 'string' },
      rate: { type: 'string', default: '5/s' },
      'most-waiting': { type: 'string', default: '200' },
      'dry-run': { type: 'boolean', default: false },
      restart: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    });
    const { from, to } = values;
    if (from === undefined) throw new UsageError('say --from, for example --from 2026-01-01');
    for (const day of [from, to])
      if (day !== undefined && !isDay(day)) throw new UsageError(`"${day}" is no day like 2026-01-31`);
    if (to !== undefined && to < from) throw new UsageError('--to lies before --from');
    const modalities = (values.modality ?? '')
      .split(',')
      .map((one) => one.trim().toUpperCase())
      .filter(Boolean);
    for (const one of modalities)
      if (!/^[A-Z0-9_]{1,16}$/.test(one)) throw new UsageError(`"${one}" is no modality like DX`);
    const mostWaiting = Number(values['most-waiting']);
    if (!Number.isInteger(mostWaiting) || mostWaiting < 1) throw new UsageError('--most-waiting is a number above 0');
    const perSecond = rate(values.rate);

    const config = readConfig(io.env);
    const logger = jsonLogger('error');
    const stop = new AbortController();
    const interrupt = () => stop.abort();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupt);
    try {
      const end = await withStore(config, logger, async ({ register, cursors, counts }) => {
        const show = progressShown(io, values.json);
        const end = await backfill({
          archive: theArchive(config, logger),
          register,
          cursors,
          waiting: async () => (await counts()).pending,
          from,
          ...(to === undefined ? {} : { to }),
          modalities,
          perSecond,
          mostWaiting,
          dryRun: values['dry-run'],
          restart: values.restart,
          signal: stop.signal,
          onProgress: show.progress,
        });
        show.end();
        return end;
      });
      io.stdout.write(values.json ? `${JSON.stringify(end)}\n` : `${inWords(end, values['dry-run'])}\n`);
      // 130: what a shell expects of a program that Ctrl+C has ended.
      return end.done ? 0 : 130;
    } finally {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, interrupt);
    }
  },
};

const seconds = { s: 1, m: 60, h: 3600 } as const;

export function rate(text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)\/(s|m|h)$/.exec(text) ?? [];
  const perSecond = Number(number) / seconds[unit as keyof typeof seconds];
  if (number === undefined || !(perSecond > 0)) throw new UsageError(`"${text}" is no rate like 5/s, 100/m or 2000/h`);
  return perSecond;
}

/** Off a terminal: this much more of all days, or this much time, is worth a line in a log. */
const worthALine = { share: 0.05, ms: 30_000 };

/** On a terminal one line that is written over; elsewhere a line now and then: ten years are 3,650 days. */
export function progressShown({ stderr }: Pick<Io, 'stderr'>, silent: boolean) {
  let lastDay = '';
  let lastShare: number | undefined;
  let shownAt = 0;
  if (silent) return { progress: () => {}, end: () => {} };
  return {
    progress(now: BackfillProgress) {
      if (stderr.isTTY === true) {
        if (now.day === lastDay && performance.now() - shownAt < 100) return;
        stderr.write(`\r\u001b[K${line(now, 24)}`);
      } else {
        const share = now.days === 0 ? 1 : now.daysDone / now.days;
        const isDue = lastShare === undefined || share - lastShare >= worthALine.share;
        if (!isDue && performance.now() - shownAt < worthALine.ms) return;
        stderr.write(`${line(now)}\n`);
        lastShare = share;
      }
      lastDay = now.day;
      shownAt = performance.now();
    },
    end: () => void (stderr.isTTY === true && stderr.write('\r\u001b[K')),
  };
}

export function line({ day, days, daysDone, found, queued, known, held }: BackfillProgress, width = 0): string {
  const share = days === 0 ? 1 : daysDone / days;
  const full = Math.round(share * width);
  const bar = width === 0 ? '' : `[${'='.repeat(full)}${' '.repeat(width - full)}] `;
  const rest = held === undefined ? '' : `; waiting, as ${held} studies are not read yet (is a worker running?)`;
  return `${bar}${day}  ${days - daysDone} of ${days} days left, ${found} found, ${queued} queued, ${known} known${rest}`;
}

function inWords({ done, day, days, found, queued, known }: BackfillEnd, dryRun: boolean): string {
  const counts = `${found} ${found === 1 ? 'study' : 'studies'} found, ${queued} ${dryRun ? 'would be queued' : 'queued'}, ${known} known`;
  if (dryRun) return `${counts} in ${days} days. Nothing was queued.`;
  return done ? `${counts}. Done until ${day}.` : `${counts}. Stopped at ${day}; the same command goes on from there.`;
}
