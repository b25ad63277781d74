/** `wetread models card`: the facts of a model card, from the manifest and an evaluation, so that nobody copies a number. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { WetreadError } from '../../domain/errors.ts';
import { sha256OfPack, type LoadedPack } from '../../inference/load-packs.ts';
import { stepInWords } from './steps-in-words.ts';

/** What `wetread evaluate --json` writes, as far as a card repeats it. */
const evaluation = z.object({
  data: z.object({ sha256: z.string() }).loose().optional(),
  sections: z.array(
    z.object({
      title: z.string(),
      kind: z.enum(['real', 'synthetic']),
      images: z.number(),
      patients: z.number(),
      figures: z.array(
        z.object({
          name: z.string(),
          value: z.number().nullable(),
          interval: z
            .object({ low: z.number(), high: z.number() })
            .or(z.tuple([z.number(), z.number()]))
            .optional(),
          unit: z.string().optional(),
          k: z.number().optional(),
          n: z.number().optional(),
        }),
      ),
    }),
  ),
});

const begin = '<!-- facts: made by "wetread models card"; words around them are yours -->';
const end = '<!-- end of facts -->';

export async function cardFacts(
  { manifest, identity }: Pick<LoadedPack, 'manifest' | 'identity'>,
  report?: string,
): Promise<string> {
  const { selection, licence, trainingData = [], networks, operatingPoints, operatingPoint } = manifest;
  const points = [
    ...Object.values(networks).flatMap(({ outputs }) =>
      Object.values(outputs).flatMap(({ thresholds = {} }) => Object.entries(thresholds)),
    ),
    ...Object.entries(operatingPoints),
  ];
  const list = (items: readonly string[]): string[] =>
    items.length === 0 ? ['None stated.'] : items.map((item) => `- ${item}`);
  const lines = [
    `**${identity.title}** (\`${identity.name}\` ${identity.version})${manifest.demonstration ? '. Demonstration model: not shown to work on 100 real external pictures.' : ''}`,
    '',
    `Intended use: ${manifest.intendedUse}`,
    '',
    'Not to be used:',
    ...list(manifest.contraindications),
    '',
    'Known limits:',
    ...list(manifest.limitations),
    '',
    `Trained on: ${manifest.trainedOn}`,
    ...(trainingData.length === 0
      ? []
      : [
          '',
          '| training data | real or synthetic | patients | images | licence |',
          '|---|---|---|---|---|',
          ...trainingData.map(
            ({ name, kind, patients, images, licence }) =>
              `| ${name} | ${kind} | ${patients ?? 'not stated'} | ${images ?? 'not stated'} | ${licence} |`,
          ),
        ]),
    '',
    `Reads ${selection.modalities.join(', ')} of ${selection.regions.join(', ')}${selection.views.length > 0 ? `, ${selection.views.join(', ')}` : ''}; pixel size ${selection.spacing}.`,
    '',
    ...Object.entries(networks).flatMap(([name, { weights, inputs, outputs }]) => [
      `Network \`${name}\`: ${(weights.bytes / 1e6).toFixed(1)} MB, sha256 \`${weights.sha256}\``,
      ...Object.entries(inputs).map(
        ([tensor, { type, shape, preprocess }]) =>
          `- in: \`${tensor}\` ${type} [${shape.join(', ')}]${preprocess === undefined ? '' : `: ${preprocess.map(stepInWords).join('; ')}`}`,
      ),
      ...Object.entries(outputs).map(
        ([tensor, { shape, calibration }]) =>
          `- out: \`${tensor}\` [${shape.join(', ')}]${calibration === undefined ? '' : `, calibrated by ${calibration.method} on ${calibration.fittedOn}`}`,
      ),
      '',
    ]),
    ...(operatingPoint === undefined ? [] : [`Operating point in use: ${operatingPoint}.`, '']),
    ...(points.length === 0
      ? []
      : [
          '| operating point | thresholds |',
          '|---|---|',
          ...points.map(
            ([name, limits]) =>
              `| ${name} | ${Object.entries(limits)
                .map(([of, value]) => `${of} ${value}`)
                .join(', ')} |`,
          ),
          '',
        ]),
    `Licences: code ${licence.code}; weights ${licence.weights}; data ${licence.data}.`,
    ...(report === undefined ? [] : await measured(report)),
    '',
    `Identity: sha256 \`${sha256OfPack(manifest)}\`.`,
  ];
  return lines.join('\n');
}

async function measured(file: string): Promise<string[]> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new WetreadError('cli.bad-file', `${file}: cannot be read`, { cause });
  });
  let found: z.output<typeof evaluation>;
  try {
    found = evaluation.parse(JSON.parse(text));
  } catch (cause) {
    throw new WetreadError('cli.bad-file', `${file}: is not what "wetread evaluate" writes`, { cause });
  }
  // Wilson's interval of 0 of n begins a rounding error beside 0.
  const shown = (value: number): string => Number((Math.abs(value) < 1e-12 ? 0 : value).toPrecision(3)).toString();
  // Subgroups and comparisons by tables alone stay in the report.
  const inFigures = found.sections.filter(({ figures }) => figures.length > 0);
  return inFigures.flatMap(({ title, kind, images, patients, figures }) => [
    '',
    `Measured, ${kind}: ${title} (${images} images, ${patients} patients)`,
    '',
    `| ${kind} | value | 95 % interval | n |`,
    '|---|---|---|---|',
    ...figures.map(({ name, value, interval, unit, k, n }) => {
      const [low, high] =
        interval === undefined ? [] : Array.isArray(interval) ? interval : [interval.low, interval.high];
      const range = low === undefined || high === undefined ? '' : `${shown(low)} to ${shown(high)}`;
      const count = n === undefined ? '' : k === undefined ? `${n}` : `${k} / ${n}`;
      return `| ${name} | ${value === null ? 'none' : `${shown(value)}${unit === undefined || unit === '' ? '' : ` ${unit}`}`} | ${range} | ${count} |`;
    }),
  ]);
}

/** Replaces the facts in MODEL_CARD.md, or begins it with them; every other word stays. */
export async function writeCard(pack: LoadedPack, facts: string): Promise<string> {
  const file = join(pack.folder, 'MODEL_CARD.md');
  const card = await readFile(file, 'utf8').catch(() => `# ${pack.identity.title}\n`);
  const block = `${begin}\n${facts}\n${end}`;
  const [from, to] = [card.indexOf(begin), card.indexOf(end)];
  const title = card.indexOf('\n') + 1;
  const written =
    from >= 0 && to > from
      ? card.slice(0, from) + block + card.slice(to + end.length)
      : `${card.slice(0, title)}\n${block}\n${card.slice(title)}`;
  await writeFile(file, written);
  return file;
}
