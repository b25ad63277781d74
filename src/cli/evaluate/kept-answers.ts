/** Answers written down as they come: a run over thousands of pictures that is broken off goes on where it stopped. */
import { createHash } from 'node:crypto';
import { appendFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { readAnswers, type Answer } from '../../evaluation/answers.ts';

export type KeptAnswers = {
  readonly known: (file: string, variation?: string) => Answer | undefined;
  readonly keep: (answer: Answer) => Promise<void>;
  /** All is told elsewhere now. */
  readonly drop: () => Promise<void>;
};

export const nothingKept: KeptAnswers = { known: () => undefined, keep: async () => {}, drop: async () => {} };

const keyOf = (file: string, variation?: string): string => JSON.stringify([file, variation ?? '']);

/** `by`: whoever answers. What somebody else answered, or the same model in another state, is thrown away. */
export async function keptAnswers(path: string, by: string): Promise<KeptAnswers> {
  const [heading, ...lines] = (await readFile(path, 'utf8').catch(() => '')).split('\n');
  // Killed in the middle of a line, its rest is no answer.
  const whole = lines.slice(0, -1).flatMap((line) => answersIn(line));
  const answers = heading === headingOf(by) ? whole : [];
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, [headingOf(by), ...answers.map((one) => JSON.stringify(one)), ''].join('\n'));
  const byKey = new Map(answers.map((answer) => [keyOf(answer.file, answer.variation), answer]));
  return {
    known: (file, variation) => byKey.get(keyOf(file, variation)),
    keep: (answer) => appendFile(path, `${JSON.stringify(answer)}\n`),
    drop: () => rm(path, { force: true }),
  };
}

const headingOf = (by: string): string => JSON.stringify({ answersOf: by });

function answersIn(line: string): Answer[] {
  try {
    return readAnswers(line);
  } catch {
    return [];
  }
}

/** Of everything in a pack's folder that decides what it says: weights, manifest, code. Its cases do not. */
export async function stateOfPack(folder: string): Promise<string> {
  const hash = createHash('sha256');
  const entries = await readdir(folder, { withFileTypes: true });
  for (const name of entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => entry.name)
    .sort())
    if (!name.endsWith('.md')) hash.update(`${name}\n`).update(await readFile(join(folder, name)));
  return hash.digest('hex');
}
