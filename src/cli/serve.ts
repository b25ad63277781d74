/** `wetread serve`: the whole service, or only its web side. */
import { runService } from '../main.ts';
import { readArgs, type Command } from './command.ts';

export const command: Command = {
  name: 'serve',
  summary: 'run the service: cards, app, events and the reading of studies',
  usage: `
Usage: wetread serve [--web-only]

  --web-only   answer HTTP, but leave the reading of studies to "wetread worker"
  --json       one line of JSON when ready

Settings are environment variables; "wetread doctor" lists them and says what is missing.
Stops on SIGINT or SIGTERM after finishing what is under way.

Examples:
  npm run wetread -- serve
  WETREAD_PORT=8081 WETREAD_DICOMWEB_URL=http://127.0.0.1:8042/dicom-web npm run wetread -- serve`,
  async run(args, io) {
    const { values } = readArgs(args, { 'web-only': { type: 'boolean' }, json: { type: 'boolean' } });
    await runService(io.env, { web: true, work: !values['web-only'] }, (url) => {
      io.stdout.write(values.json ? `${JSON.stringify({ ready: true, url })}\n` : `Wetread is ready at ${url}\n`);
    });
    return 0;
  },
};
