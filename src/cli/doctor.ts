/** `wetread doctor`: what is configured, what answers, what is missing, and what to do about it. */
import { checkUp, type Check } from '../check-up.ts';
import { readConfig, settings, shown } from '../config.ts';
import { jsonLogger } from '../log.ts';
import { readArgs, type Command } from './command.ts';

const marks = { ok: 'ok     ', fault: 'FAULT  ', off: 'not set' } as const;

export const command: Command = {
  name: 'doctor',
  summary: 'print what is configured, reachable and missing',
  usage: `
Usage: wetread doctor [--settings]

  --settings   every setting with its meaning and present value, and nothing else
  --json       the same as JSON

Exits 1 when something that is configured does not work.

Examples:
  npm run wetread -- doctor
  npm run wetread -- doctor --settings`,
  async run(args, io) {
    const { values } = readArgs(args, { settings: { type: 'boolean' }, json: { type: 'boolean' } });
    const config = readConfig(io.env);
    const present = settings.map(({ name, meaning }) => ({ name, meaning, value: shown(name, config[name]) }));
    if (values.settings) {
      io.stdout.write(
        values.json
          ? `${JSON.stringify(present)}\n`
          : present.map(({ name, meaning, value }) => `${name}\n    ${meaning}\n    now: ${value}\n`).join(''),
      );
      return 0;
    }
    const checks = await checkUp(config, jsonLogger('error'));
    const faults = checks.filter(({ state }) => state === 'fault');
    if (values.json) io.stdout.write(`${JSON.stringify({ checks, settings: present })}\n`);
    else
      io.stdout.write(
        `${checks.map(line).join('\n')}\n\n${faults.length === 0 ? 'Nothing is wrong.' : `${faults.length} of ${checks.length} need attention.`}\n`,
      );
    return faults.length === 0 ? 0 : 1;
  },
};

function line({ name, state, says, next }: Check): string {
  return `${marks[state]}  ${name.padEnd(18)} ${says}${next === undefined ? '' : `\n         ${' '.repeat(18)} → ${next}`}`;
}
