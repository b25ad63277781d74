/** `wetread studies`: where studies stand, and a second chance for those that were given up. */
import { withStore } from '../adapters.ts';
import { readConfig } from '../config.ts';
import { errorTable } from '../domain/errors.ts';
import { isUid, studyUid } from '../domain/ids.ts';
import type { StudyRecord, StudyState } from '../domain/study.ts';
import { jsonLogger } from '../log.ts';
import { readArgs, UsageError, type Command } from './command.ts';

/** As many as fit on a screen. */
const newest = 20;

export const command: Command = {
  name: 'studies',
  summary: 'list studies and where they stand, and try those again that were given up',
  usage: `
Usage: wetread studies [list]
       wetread studies dead
       wetread studies requeue <Study Instance UID>…

  list      the ${newest} studies announced last, with their state
  dead      studies whose every retry is used up, with the reason; exits 1 when there is one
  requeue   read these again
  --json    the same as JSON

Works beside a running service and without one.`,
  async run(args, io) {
    const { values, positionals } = readArgs(args, { json: { type: 'boolean' } }, true);
    const [action = 'list', ...uids] = positionals;
    if (!['list', 'dead', 'requeue'].includes(action)) throw new UsageError('say "list", "dead" or "requeue"');
    if (action === 'requeue' && uids.length === 0) throw new UsageError('name at least one study');
    if (action !== 'requeue' && uids.length > 0) throw new UsageError(`"${action}" takes no study`);
    for (const uid of uids) if (!isUid(uid)) throw new UsageError(`"${uid}" is no Study Instance UID`);
    return withStore(readConfig(io.env), jsonLogger('error'), async ({ register, recentStudies }) => {
      if (action === 'list') {
        const studies = await recentStudies(newest);
        if (values.json) io.stdout.write(`${JSON.stringify(studies)}\n`);
        else
          io.stdout.write(studies.length === 0 ? 'No study was announced yet.\n' : `${studies.map(row).join('\n')}\n`);
        return 0;
      }
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

function row({ studyUid, announcedAt, description, state }: StudyRecord): string {
  return `${announcedAt}  ${standing(state).padEnd(34)}  ${studyUid}  ${description ?? ''}`.trimEnd();
}

function standing(state: StudyState): string {
  if (state.kind === 'pending') return 'waiting';
  if (state.kind === 'reading') return `being read (try ${state.attempt})`;
  const { outcome } = state;
  const why = outcome.kind === 'analysed' ? '' : `: ${outcome.kind === 'failed' ? outcome.code : outcome.reason}`;
  return state.kind === 'dead' ? `given up${why}` : `${outcome.kind}${why}`;
}

function line({ studyUid, announcedAt, state }: StudyRecord): string {
  const outcome = state.kind === 'dead' ? state.outcome : undefined;
  const why =
    outcome?.kind === 'failed'
      ? `${errorTable[outcome.code].says} ${errorTable[outcome.code].next} (${outcome.code})`
      : '';
  return `${studyUid}  announced ${announcedAt}\n    ${why}`;
}
