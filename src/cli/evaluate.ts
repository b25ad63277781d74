/** `wetread evaluate`: the tables of a paper for a model on one's own pictures, with intervals and subgroups. */
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { WetreadError } from '../domain/errors.ts';
import { readAnswers, type Answer } from '../evaluation/answers.ts';
import type { BoxRule } from '../evaluation/box-threshold.ts';
import { evaluate, type Entrant, type EvaluationOptions } from '../evaluation/evaluate.ts';
import type { OperatingRule } from '../evaluation/operating-point.ts';
import { reportHtml } from '../evaluation/report-html.ts';
import { coloured, plain, reportText } from '../evaluation/report-text.ts';
import { variations } from '../evaluation/variations.ts';
import packageJson from '../../package.json' with { type: 'json' };
import { contentsOf, readManifest, type Manifest } from './evaluate/manifest.ts';
import { runOnManifest, withPictures, type RunEntrant, type RunOptions } from './evaluate/run-on-manifest.ts';
import { unlabelled } from './evaluate/unlabelled.ts';
import { saidOf } from './infer/inputs.ts';
import { readArgs, UsageError, type Command, type Io } from './command.ts';

export const command: Command = {
  name: 'evaluate',
  summary: 'measure a model on labelled pictures, as papers do',
  usage: `
Usage: wetread evaluate --pack <name> --data <manifest.csv> [options]
       wetread evaluate --answers <answers.jsonl> --data <manifest.csv> [options]
       wetread evaluate --pack <name> --reference-free <folder> [--modality DX --view lateral] [options]

  --pack <name>          run this model on the pictures of the manifest
  --answers <file>       or take what any program answered: one JSON object a line
  --compare <name|file>  a second model (or its answers) on the same pictures
  --data <file>          the data manifest: CSV, one row a picture
  --out <folder>         write report.html, report.json and the answers there; a run that is broken off goes on from there
  --title <text>         what the report is about, for its heading
  --json                 print the report as JSON

Without labels:
  --reference-free <f>   a folder of pictures, or a manifest: how many are refused and why, whether the model says the
                         same when a picture is turned, cut, mirrored or toned a little, and all of them on one page
  --expect-abstain       these pictures must all be refused: the table of false acceptance, by folder or group
  --no-variations        each picture is read once, as it is
  --modality M --view V --region R --spacing MM   of plain pictures in a folder, as in wetread infer

Columns of the manifest: file (from the manifest's folder), kind (real or synthetic), patient, split (validation
or test); what is true: label, boxes ("L4/L5 120 300 260 420; …", empty for a normal picture), landmarks (a JSON
file), value:<quantity>@<place>, grade:<scale>@<place>, expect (abstain: must be refused); groups: sex, age, scanner, site, group:<name>; for plain
pictures: modality, view, region, spacing (mm a pixel). Each column that is there adds its section to the report.

  --kind real|synthetic  for a manifest without a kind column
  --positive <label>     which of two labels is the finding
  --rule <rule>          how the threshold is chosen on validation pictures: youden (default), best-f1,
                         sensitivity=0.95, specificity=0.9
  --iou <share>          overlap from which a box is right (default 0.5)
  --box-rule <rule>      how the score from which a box counts is chosen on validation pictures: best-f1 (default)
                         or false-alarms=0.05 (at most so many on each normal picture); packs decide by themselves
  --box-threshold <s>    or that score itself
  --names <a,b,…>        only landmarks of these parts are compared, such as L1,L2,L3,L4,L5,S1
  --yardstick <a,b,mm>   two landmarks whose true distance is taken as so many millimetres in every picture
  --replicates <n>       bootstrap samples of patients (default 2000); --seed <n> draws others

Examples:
  npm run wetread -- evaluate --pack lumbar-landmarks --data films.csv --out evaluation \\
    --yardstick L3.posteriorSuperior,L3.anteriorSuperior,35
  npm run wetread -- evaluate --pack lumbar-landmarks --reference-free films --modality DX --view lateral --out look
  npm run wetread -- evaluate --pack lumbar-landmarks --reference-free hands --modality DX --view lateral --expect-abstain`,
  async run(args, io) {
    const { values } = readArgs(args, {
      pack: { type: 'string' },
      answers: { type: 'string' },
      compare: { type: 'string' },
      data: { type: 'string' },
      out: { type: 'string' },
      title: { type: 'string' },
      json: { type: 'boolean' },
      kind: { type: 'string' },
      positive: { type: 'string' },
      rule: { type: 'string' },
      iou: { type: 'string' },
      'box-rule': { type: 'string' },
      'box-threshold': { type: 'string' },
      yardstick: { type: 'string' },
      names: { type: 'string' },
      'reference-free': { type: 'string' },
      'expect-abstain': { type: 'boolean' },
      'no-variations': { type: 'boolean' },
      modality: { type: 'string' },
      view: { type: 'string' },
      region: { type: 'string' },
      spacing: { type: 'string' },
      replicates: { type: 'string' },
      seed: { type: 'string' },
    });
    const { pack } = values;
    const free = values['reference-free'];
    const data = free ?? values.data;
    if (data === undefined) throw new UsageError('name the data manifest with --data');
    if (free !== undefined && values.data !== undefined)
      throw new UsageError('give either --data or --reference-free: a manifest for either may have labels');
    const expectAbstain = values['expect-abstain'] === true;
    if (expectAbstain && free === undefined) throw new UsageError('--expect-abstain goes with --reference-free');
    if ((pack === undefined) === (values.answers === undefined))
      throw new UsageError('give either --pack or --answers');
    const options = optionsOf(values);
    const manifest =
      free === undefined
        ? await readManifest(data, values.kind)
        : await unlabelled(free, { kind: values.kind, said: saidOf(values), expectAbstain });
    const runOptions = (name: string): RunOptions => ({
      ...(free !== undefined && values['no-variations'] !== true && { variations }),
      ...(values.out !== undefined && { keptIn: join(values.out, `unfinished-${name}.jsonl`) }),
    });

    const first = await entrantOf({ pack, answers: values.answers }, manifest, io, runOptions);
    const second =
      values.compare === undefined ? undefined : await entrantOf(rivalOf(values.compare), manifest, io, runOptions);
    const evaluated = evaluate({
      title: `${first.model.name} on ${values.title ?? basename(data)}`,
      rows: manifest.rows,
      entrant: first,
      ...(second && { compareWith: second }),
      data: {
        file: basename(data),
        sha256: manifest.sha256,
        ...(first.picturesSha256 !== undefined && { picturesSha256: first.picturesSha256 }),
      },
      wetread: packageJson.version,
      madeAt: new Date(),
      options: { ...options, ...(free !== undefined && { contactSheet: true }) },
    });
    const report = values.out === undefined ? evaluated : await withPictures(evaluated, first, manifest, io);
    if (values.out !== undefined) {
      await mkdir(values.out, { recursive: true });
      await writeFile(join(values.out, 'report.html'), reportHtml(report));
      await writeFile(join(values.out, 'report.json'), `${JSON.stringify(report, null, 2)}\n`);
      await writeFile(
        join(values.out, 'answers.jsonl'),
        `${first.answers.map((one) => JSON.stringify(one)).join('\n')}\n`,
      );
      await first.told?.();
      await second?.told?.();
    }
    const style = io.stdout.isTTY === true && io.env['NO_COLOR'] === undefined ? coloured : plain;
    io.stdout.write(values.json ? `${JSON.stringify(report)}\n` : reportText(report, style));
    if (values.out !== undefined && !values.json) io.stdout.write(`\nThe report: ${join(values.out, 'report.html')}\n`);
    return 0;
  },
};

type Values = { readonly [name: string]: string | boolean | undefined };

function optionsOf(values: Values): EvaluationOptions {
  const number = (name: string, least: number, most: number): number | undefined => {
    const text = values[name];
    if (text === undefined) return undefined;
    const value = Number(text);
    if (!(value >= least && value <= most))
      throw new UsageError(`--${name} "${text}": a number from ${least} to ${most}`);
    return value;
  };
  const iou = number('iou', 0.01, 1);
  const boxThreshold = number('box-threshold', -1e9, 1e9);
  const boxRule = values['box-rule'];
  const replicates = number('replicates', 100, 100_000);
  const seed = number('seed', 0, Number.MAX_SAFE_INTEGER);
  const { positive, rule, yardstick, names } = values;
  return {
    ...(iou !== undefined && { iou }),
    ...(boxThreshold !== undefined && { boxThreshold }),
    ...(typeof boxRule === 'string' && { boxRule: boxRuleOf(boxRule) }),
    ...(replicates !== undefined && { replicates }),
    ...(seed !== undefined && { seed }),
    ...(typeof positive === 'string' && { positive }),
    ...(typeof rule === 'string' && { rule: ruleOf(rule) }),
    ...(typeof yardstick === 'string' && { yardstick: yardstickOf(yardstick) }),
    ...(typeof names === 'string' && { names: names.split(',').map((name) => name.trim()) }),
  };
}

function ruleOf(text: string): OperatingRule {
  const [kind, share] = text.split('=');
  if ((kind === 'youden' || kind === 'best-f1') && share === undefined) return { kind };
  const atLeast = Number(share);
  if ((kind === 'sensitivity' || kind === 'specificity') && atLeast > 0 && atLeast <= 1) return { kind, atLeast };
  throw new UsageError(`--rule "${text}": say youden, best-f1, sensitivity=0.95 or specificity=0.9`);
}

function boxRuleOf(text: string): BoxRule {
  const [kind, share] = text.split('=');
  if (kind === 'best-f1' && share === undefined) return { kind };
  const atMost = Number(share);
  if (kind === 'false-alarms' && share !== '' && atMost >= 0) return { kind, atMost };
  throw new UsageError(`--box-rule "${text}": say best-f1 or false-alarms=0.05`);
}

function yardstickOf(text: string) {
  const [from, to, length] = text.split(',').map((part) => part.trim());
  const millimetres = Number(length);
  if (!from || !to || !(millimetres > 0)) throw new UsageError(`--yardstick "${text}": two landmarks and millimetres`);
  return { from, to, millimetres };
}

type Source = { readonly pack?: string | undefined; readonly answers?: string | undefined };

/** A file of answers is known by its ending; a pack's name has no dot. */
const rivalOf = (text: string): Source => (text.endsWith('.jsonl') ? { answers: text } : { pack: text });

async function entrantOf(
  { pack, answers }: Source,
  manifest: Manifest,
  io: Io,
  runOptions: (name: string) => RunOptions,
): Promise<Entrant & Partial<RunEntrant>> {
  if (pack !== undefined) return runOnManifest(pack, manifest, io, runOptions(pack));
  const text = await contentsOf(answers!);
  const sha256 = createHash('sha256').update(text).digest('hex');
  return { model: { name: basename(answers!), version: '(answers)', sha256 }, answers: answersIn(text, answers!) };
}

function answersIn(text: string, file: string): Answer[] {
  try {
    return readAnswers(text);
  } catch (error) {
    throw new WetreadError('cli.bad-file', `${basename(file)}: ${(error as Error).message}`);
  }
}
