/** `wetread studies`: where studies stand, a second chance for those that were given up, and reading again with a newer model. */
import { thePacks, withStore } from '../adapters.ts';
import { readConfig, type Config } from '../config.ts';
import { errorTable } from '../domain/errors.ts';
import type { PackSummary } from '../domain/ports.ts';
import { isUid, studyUid } from '../domain/ids.ts';
import type { StudyRecord, StudyState } from '../domain/study.ts';
import { jsonLogger } from '../log.ts';
import { readArgs, UsageError, type Command } from './command.ts';
import { shownStudy } from './study-shown.ts';

/** As many as fit on a screen. */
const newest = 20;

export const command: Command = {
  name: 'studies',
  summary: 'list studies and where they stand, try those again that were given up, read again with a newer model',
  usage: `
Usage: wetread studies [list]
       wetread studies show <Study Instance UID>…
       wetread studies dead
       wetread studies requeue <Study Instance UID>…
       wetread studies re-read <Study Instance UID>…
       wetread studies re-read --pack NAME [--older-than VERSION] [--since 2026-01-01] [--dry-run]

  list      the ${newest} studies announced last, with their state
  show      what became of these: readings, failures, and of each series why it was or was not given to a model
  dead      studies whose every retry is used up, with the reason; exits 1 when there is one
  requeue   read these again that were given up
  re-read   have the installed models look at studies again that they have not read in this version;
            what a model of this version has read of the same pictures is not run again
    --pack        studies this model has not read in the installed version, behind all other work
    --older-than  only those it has read in a version before this one
    --since       only studies of this day and later
    --dry-run     only say how many
  --json    the same as JSON

Works beside a running service and without one. That of "npm start" keeps its data in .wetread/demo:
  WETREAD_DATA_DIR=.wetread/demo npm run wetread -- studies

Examples:
  npm run wetread -- studies
  npm run wetread -- studies dead --json
  npm run wetread -- studies re-read --pack lumbar-landmarks --since 2026-01-01 --dry-run`,
  async run(args, io) {
    const { values, positionals } = readArgs(
      args,
      {
        json: { type: 'boolean' },
        pack: { type: 'string' },
        'older-than': { type: 'string' },
        since: { type: 'string' },
        'dry-run': { type: 'boolean' },
      },
      true,
    );
    const [action = 'list', ...uids] = positionals;
    if (!['list', 'show', 'dead', 'requeue', 're-read'].includes(action))
      throw new UsageError('say "list", "show", "dead", "requeue" or "re-read"');
    const many = values.pack !== undefined;
    if (many && action !== 're-read') throw new UsageError('--pack goes with "re-read"');
    for (const option of ['older-than', 'since', 'dry-run'] as const)
      if (values[option] !== undefined && !many) throw new UsageError(`--${option} goes with --pack`);
    if (action === 'show' || action === 'requeue' || (action === 're-read' && !many)) {
      if (uids.length === 0) throw new UsageError('name at least one study');
    } else if (uids.length > 0) throw new UsageError(`"${action}" takes no study${many ? ' beside --pack' : ''}`);
    for (const uid of uids) if (!isUid(uid)) throw new UsageError(`"${uid}" is no Study Instance UID`);
    if (values.since !== undefined && !/^\d{4}-\d{2}-\d{2}$/.test(values.since))
      throw new UsageError(`"${values.since}" is no day like 2026-01-31`);
    const config = readConfig(io.env);
    const installed = many ? await installedPack(config, values.pack!) : undefined;
    return withStore(config, jsonLogger('error'), async ({ register, readings, recentStudies, studiesToReadAgain }) => {
      if (action === 'show') {
        const shown = await Promise.all(
          uids.map(async (text) => {
            const uid = studyUid(text);
            const study = await register.get(uid);
            if (study === undefined) throw neverAnnounced(text);
            return { study, readings: await readings.forStudy(uid) };
          }),
        );
        io.stdout.write(
          values.json
            ? `${JSON.stringify(shown)}\n`
            : `${shown.map((one) => shownStudy(one.study, one.readings, standing(one.study.state))).join('\n')}\n`,
        );
        return 0;
      }
      if (action === 're-read') {
        const found =
          installed === undefined
            ? uids.map(studyUid)
            : await studiesToReadAgain({
                pack: installed.name,
                version: installed.version,
                ...(values['older-than'] === undefined ? {} : { olderThan: values['older-than'] }),
                ...(values.since === undefined ? {} : { since: values.since }),
              });
        for (const uid of values['dry-run'] === true ? [] : found) {
          if (installed === undefined && (await register.get(uid)) === undefined) throw neverAnnounced(uid);
          await register.announce({
            source: 'backfill',
            studyUid: uid,
            reason: 're-read',
            ...(installed === undefined
              ? { priority: 'routine' as const }
              : { priority: 'backfill' as const, packs: [installed.name] }),
          });
        }
        const version = installed === undefined ? '' : ` by ${installed.name} ${installed.version}`;
        if (values.json) io.stdout.write(`${JSON.stringify({ reRead: found })}\n`);
        else if (values['dry-run']) io.stdout.write(`${found.length} would be read again${version}\n`);
        else io.stdout.write(`${found.length} queued to be read again${version}\n`);
        return 0;
      }
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

const neverAnnounced = (uid: string): UsageError =>
  new UsageError(`${uid} was never announced here; "wetread studies" lists what was, "wetread send" announces`);

async function installedPack(config: Config, name: string): Promise<PackSummary> {
  const packs = (await thePacks(config, jsonLogger('error'))).map(({ summary }) => summary);
  const pack = packs.find((one) => one.name === name);
  if (pack === undefined)
    throw new UsageError(`there is no model "${name}" here, but ${packs.map((one) => one.name).join(', ')}`);
  return pack;
}

function row({ studyUid, announcedAt, description, state }: StudyRecord): string {
  return `${announcedAt}  ${standing(state).padEnd(34)}  ${studyUid}  ${description ?? ''}`.trimEnd();
}

function standing(state: StudyState): string {
  if (state.kind === 'pending') {
    const { lastFailure: failure } = state;
    if (failure === undefined) return 'waiting';
    const next = failure.nextTryAt === undefined ? '' : `, next ${failure.nextTryAt}`;
    return `waiting: try ${failure.attempt} ended in ${failure.code}${next}`;
  }
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
