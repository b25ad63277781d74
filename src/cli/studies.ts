/** `wetread studies`: where studies stand, and a second chance for those that were given up. */
import { withStore } from '../adapters.ts';
import { readConfig } from '../config.ts';
import { errorTable } from '../domain/errors.ts';
import { studyUid } from '../domain/ids.ts';
import type { StudyRecord } from '../domain/study.ts';
import { jsonLogger } from '../log.ts';
import { readArgs, UsageError, type Command } from './command.ts';

export const command: Command = {
  name: 'studies',
  summary: 'list studies that could not be read, and try them again',
  usage: `
Usage: wetread studies dead
       wetread studies requeue <Study Instance UID>…

  dead      studies whose every retry is used up, with the reason
  requeue   read these again
  --json    the same as JSON`,
  async run(args, io) {
    const { values, positionals } = readArgs(args, { json: { type: 'boolean' } }, true);
    const [action, ...uids] = positionals;
    if (action !== 'dead' && action !== 'requeue') throw new UsageError('say "dead" or "requeue"');
    if (action === 'requeue' && uids.length === 0) throw new UsageError('name at least one study');
    return withStore(readConfig(io.env), jsonLogger('error'), async ({ register }) => {
      if (action === 'requeue') {
        for (const uid of uids) await register.requeue(studyUid(uid));
        io.stdout.write(values.json ? `${JSON.stringify({ requeued: uids })}\n` : `${uids.length} queued again\n`);
        return 0;
      }
      const dead = await register.dead();
      if (values.json) io.stdout.write(`${JSON.stringify(dead)}\n`);
      else io.stdout.write(dead.length === 0 ? 'No study was given up.\n' : `${dead.map(line).join('\n')}\n`);
      return dead.length === 0 ? 0 : 1;
    });
  },
};

function line({ studyUid, announcedAt, state }: StudyRecord): string {
  const outcome = state.kind === 'dead' ? state.outcome : undefined;
  const why =
    outcome?.kind === 'failed'
      ? `${errorTable[outcome.code].says} ${errorTable[outcome.code].next} (${outcome.code})`
      : '';
  return `${studyUid}  announced ${announcedAt}\n    ${why}`;
}
