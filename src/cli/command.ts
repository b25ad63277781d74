/** What every command of the command line looks like, and the few things all of them do alike. */
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { asWetreadError, type ErrorCode } from '../domain/errors.ts';

/** 0 done · 1 a fault was found · 2 called wrongly. */
export type ExitCode = 0 | 1 | 2;

export type Io = {
  readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly env: NodeJS.ProcessEnv;
};

export type Command = {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What `--help` prints after the first line. */
  readonly usage: string;
  run(args: string[], io: Io): Promise<number>;
};

/** Wrong use: told to the caller with the way to the help text, exit code 2. */
export class UsageError extends Error {}

export function readArgs<const Options extends NonNullable<ParseArgsConfig['options']>>(
  args: string[],
  options: Options,
  allowPositionals = false,
) {
  try {
    return parseArgs({ args, options, allowPositionals, strict: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

export async function runCommand(command: Command, args: string[], io: Io): Promise<number> {
  if (args.includes('--help') || args.includes('-h')) {
    io.stdout.write(`wetread ${command.name}: ${command.summary}\n\n${command.usage.trim()}\n`);
    return 0;
  }
  try {
    return await command.run(args, io);
  } catch (thrown) {
    const isWrongUse = thrown instanceof UsageError;
    const error = asWetreadError(thrown);
    tellError(
      isWrongUse
        ? { code: 'cli.wrong-use', message: thrown.message, next: `Try: wetread ${command.name} --help` }
        : { code: error.code, message: error.message, next: error.row.next },
      { to: io, asJson: args.includes('--json'), called: `wetread ${command.name}` },
    );
    return isWrongUse ? 2 : 1;
  }
}

/** One form for every command: what is wrong, what to do next, and the code of the error table. */
export function tellError(
  error: { readonly code: ErrorCode; readonly message: string; readonly next: string },
  { to, asJson, called }: { readonly to: Io; readonly asJson: boolean; readonly called: string },
): void {
  if (asJson) to.stdout.write(`${JSON.stringify({ error })}\n`);
  else to.stderr.write(`${called}: ${error.message}\n${error.next} (${error.code})\n`);
}
