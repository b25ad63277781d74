/** `wetread` as a whole: the list of commands, help everywhere, and what wrong use is answered with. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { wetread } from '../support/wetread.ts';

const folder = join(import.meta.dirname, '../../src/cli');
/** Every file that exports a command, so that one that is not on the list is noticed. */
const commands = readdirSync(folder)
  .filter((file) => file.endsWith('.ts'))
  .filter((file) => /^export const command\b/m.test(readFileSync(join(folder, file), 'utf8')))
  .map((file) => file.replace('.ts', ''));

describe('wetread', () => {
  test('lists every command with what it is for', async () => {
    const { code, out, err } = await wetread(['--help']);
    expect([code, err]).toEqual([0, '']);
    const listed = [...out.matchAll(/^ {2}(\S+) +\S.*$/gm)].map(([, name]) => name);
    expect(listed.toSorted()).toEqual(commands.toSorted());
    expect(commands).toContain('serve');
  });

  test('called without a command shows the same list, and exits 2', async () => {
    const [bare, help] = [await wetread([]), await wetread(['help'])];
    expect(bare).toEqual({ ...help, code: 2 });
    expect(help.code).toBe(0);
  });

  test('names a command that it does not have, and exits 2', async () => {
    const { code, out, err } = await wetread(['serv']);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain('there is no command "serv"; is it serve or send?');
    expect(err).toContain('Try: wetread --help (cli.wrong-use)');
    const json = await wetread(['serv', '--json']);
    expect([json.code, json.err]).toEqual([2, '']);
    expect(JSON.parse(json.out)).toMatchObject({ error: { code: 'cli.wrong-use', next: 'Try: wetread --help' } });
  });

  test('called with an option and no command says that, as text and as JSON, and exits 2', async () => {
    const text = await wetread(['--quiet']);
    expect([text.code, text.out]).toEqual([2, '']);
    expect(text.err).toMatch(
      /^wetread: no command is named, only --quiet; there are demo, serve, .*\nTry: wetread --help/,
    );
    const json = await wetread(['--json']);
    expect([json.code, json.err]).toEqual([2, '']);
    expect(JSON.parse(json.out)).toMatchObject({
      error: { code: 'cli.wrong-use', message: expect.stringMatching(/^no command is named, only --json; /) as string },
    });
    const before = await wetread(['--json', 'models']);
    expect(JSON.parse(before.out)).toMatchObject({
      error: { message: '--json stands before the command; options follow it: wetread models --json' },
    });
  });

  test.each(commands)('%s explains itself and its --json without doing anything', async (name) => {
    const { code, out, err } = await wetread([name, '--help']);
    expect([code, err]).toEqual([0, '']);
    expect(out).toMatch(new RegExp(`^wetread ${name}: `));
    expect(out).toContain(`Usage: wetread ${name}`);
    expect(out).toContain('--json');
  });

  test.each(commands)(
    '%s shows itself as it is typed, with options it explains and files that are there',
    async (name) => {
      const { out } = await wetread([name, '--help']);
      const lines = out.replaceAll('\\\n', ' ').split('\n');
      const [examples, explained] = [true, false].map((wanted) =>
        lines.filter((line) => line.includes('npm run wetread -- ') === wanted),
      ) as [string[], string[]];
      expect(examples.join('\n')).toContain(`npm run wetread -- ${name}`);
      const typed = examples.map((example) => (example.split('npm run wetread -- ')[1] ?? '').trim().split(/\s+/));
      expect(new Set(typed.map(([command]) => command))).toEqual(new Set([name]));
      const words = typed.flat();
      const options = words.filter((word) => word.startsWith('--'));
      expect(options.filter((option) => !explained.join('\n').includes(option))).toEqual([]);
      const films = words.filter((word) => word.startsWith('sandbox/')).map((word) => word.replace(/\/\*.*/, ''));
      expect(films.filter((film) => !existsSync(join(folder, '../..', film)))).toEqual([]);
    },
  );

  test.each(commands)('%s refuses an option it does not know, and says where help is', async (name) => {
    const { code, out, err } = await wetread([name, '--no-such-option']);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain('--no-such-option');
    expect(err).toContain(`Try: wetread ${name} --help (cli.wrong-use)`);
    const json = await wetread([name, '--no-such-option', '--json']);
    expect([json.code, json.err]).toEqual([2, '']);
    expect(JSON.parse(json.out)).toEqual({
      error: {
        code: 'cli.wrong-use',
        message: expect.stringContaining('--no-such-option') as string,
        next: `Try: wetread ${name} --help`,
      },
    });
  });

  test('says what is wrong with the settings by name, with the next step, as text and as JSON', async () => {
    const env = { WETREAD_PORT: 'eighty' };
    const plain = await wetread(['doctor'], env);
    expect([plain.code, plain.out]).toEqual([1, '']);
    expect(plain.err).toMatch(/WETREAD_PORT.*\n.+\(config\.invalid\)/);
    const json = await wetread(['doctor', '--json'], env);
    expect([json.code, json.err]).toEqual([1, '']);
    expect(JSON.parse(json.out)).toEqual({
      error: {
        code: 'config.invalid',
        message: expect.stringContaining('WETREAD_PORT') as string,
        next: expect.stringMatching(/\S/) as string,
      },
    });
  });

  test('worker says that the built-in database cannot be shared', async () => {
    const { code, err } = await wetread(['worker']);
    expect(code).toBe(1);
    expect(err).toContain('DATABASE_URL is not set');
  });
});
