/** `wetread worker`: reads studies for a service that runs elsewhere on the same database. */
import { readConfig } from '../config.ts';
import { WetreadError } from '../domain/errors.ts';
import { runService } from '../main.ts';
import { readArgs, type Command } from './command.ts';

export const command: Command = {
  name: 'worker',
  summary: 'read studies only; any number may run on one DATABASE_URL',
  usage: `
Usage: wetread worker

  --json       one line of JSON when ready

Needs DATABASE_URL: the built-in database serves one process only.

Example:
  DATABASE_URL=postgres://wetread@127.0.0.1/wetread npm run wetread -- worker`,
  async run(args, io) {
    const { values } = readArgs(args, { json: { type: 'boolean' } });
    if (readConfig(io.env).DATABASE_URL === undefined) {
      throw new WetreadError(
        'config.invalid',
        'DATABASE_URL is not set, and the built-in database serves one process only',
      );
    }
    await runService(io.env, { web: false, work: true }, () => {
      io.stdout.write(values.json ? `${JSON.stringify({ ready: true })}\n` : 'A Wetread worker is ready\n');
    });
    return 0;
  },
};
