/** Runs a pack on the pictures of a data manifest, and draws those that are worth a look. */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { modelsFolder } from '../../adapters.ts';
import { readConfig, type Config } from '../../config.ts';
import { decoderPool, type DecoderPool } from '../../dicom/decoder-pool.ts';
import { asWetreadError, WetreadError } from '../../domain/errors.ts';
import type { GreyImage } from '../../domain/image.ts';
import { silentLogger } from '../../domain/log.ts';
import type { PackSummary } from '../../domain/ports.ts';
import type { Answer } from '../../evaluation/answers.ts';
import type { Entrant } from '../../evaluation/evaluate.ts';
import type { Picture, Report, WorthALook } from '../../evaluation/report.ts';
import type { TruthRow } from '../../evaluation/truth.ts';
import type { Variation } from '../../evaluation/variations.ts';
import { loadPack, packFolders, type LoadedPack } from '../../inference/load-packs.ts';
import { modelRunner, type ManagedModelRunner } from '../../inference/model-runner.ts';
import type { PackManifest } from '../../kit/pack-manifest.ts';
import packageJson from '../../../package.json' with { type: 'json' };
import { UsageError, type Io } from '../command.ts';
import { filmSheet } from '../drawing/film-sheet.ts';
import { filesOf, picturesOf } from '../infer/inputs.ts';
import { seriesAtHand } from '../infer/stacks.ts';
import { progressBar } from '../progress-bar.ts';
import { answerOf } from './answer-of.ts';
import { keptAnswers, nothingKept, stateOfPack } from './kept-answers.ts';
import { badRow, demandFiles, fileOf, type Manifest } from './manifest.ts';

export type RunEntrant = Entrant & {
  readonly picturesSha256: string;
  /** To be called when the answers are written elsewhere: what was kept for a broken run goes. */
  readonly told: () => Promise<void>;
};

export type RunOptions = {
  /** Each picture that the model is for is read once more under each of these changes. */
  readonly variations?: readonly Variation[];
  /** A file that answers are written to as they come, and taken from when the run was broken off. */
  readonly keptIn?: string;
};

export async function runOnManifest(
  name: string,
  manifest: Manifest,
  io: Io,
  { variations = [], keptIn }: RunOptions = {},
): Promise<RunEntrant> {
  const config = readConfig(io.env);
  const folder = modelsFolder(config);
  const there = await packFolders(folder);
  if (!there.includes(name))
    throw new UsageError(`there is no pack ${name}; there are ${there.join(', ') || 'none'} in ${folder}`);
  await demandFiles(manifest);
  const pack = unhurried(await loadPack(join(folder, name), name));
  const runner = modelRunner({
    packs: [pack],
    processes: 1,
    threads: config.WETREAD_INFERENCE_THREADS,
    provider: config.WETREAD_EXECUTION_PROVIDER,
    logger: silentLogger,
  });
  const changesOf = (row: TruthRow): readonly Variation[] => (row.expect === 'read' ? variations : []);
  const bar = progressBar(
    io,
    manifest.rows.reduce((sum, row) => sum + 1 + changesOf(row).length, 0),
  );
  const kept =
    keptIn === undefined
      ? nothingKept
      : await keptAnswers(keptIn, `${name} ${await stateOfPack(join(folder, name))}, wetread ${packageJson.version}`);
  const all = createHash('sha256');
  try {
    return await withDecoder(config, async (read, stackOf) => {
      await runner.ready();
      const answers: Answer[] = [];
      let provider = '';
      let done = 0;
      for (const row of manifest.rows) {
        const slices = await slicesIn(fileOf(manifest, row));
        for (const file of slices ?? [fileOf(manifest, row)]) all.update(await bytesOf(file, manifest, row));
        const images = once(() => (slices === undefined ? read(manifest, row) : stackOf(slices, pack.summary, row)));
        for (const variation of [undefined, ...changesOf(row)]) {
          bar.show(done, row.file);
          done += 1;
          const known = kept.known(row.file, variation?.name);
          if (known !== undefined) {
            answers.push(known);
            continue;
          }
          const { answer, executionProvider } = await answered(runner, row, images, variation);
          provider ||= executionProvider ?? '';
          answers.push(answer);
          await kept.keep(answer);
        }
      }
      const { version, sha256 } = pack.identity;
      const { trainedOn, intendedUse } = pack.manifest;
      const model = { name, version, sha256, trainedOn, intendedUse, executionProvider: provider };
      return {
        model,
        answers,
        thresholds: thresholdsIn(pack.manifest),
        picturesSha256: all.digest('hex'),
        told: kept.drop,
      };
    });
  } finally {
    bar.clear();
    await runner.close();
  }
}

/** Nobody waits for these answers, and no figure may hang on how busy the machine was. */
const unhurried = (pack: LoadedPack): LoadedPack => ({
  ...pack,
  manifest: { ...pack.manifest, deadlineMs: Math.max(pack.manifest.deadlineMs, patienceMs) },
});
const patienceMs = 600_000;

/** Of the operating point in use, by label; of networks that know the same label, the last one's, which a chain ends with. */
function thresholdsIn({ networks, operatingPoint = '' }: PackManifest): Record<string, number> {
  const declared = Object.values(networks).flatMap(({ outputs }) => Object.values(outputs));
  return Object.fromEntries(declared.flatMap(({ thresholds }) => Object.entries(thresholds?.[operatingPoint] ?? {})));
}

/** A picture that cannot be read is an answer too: the report counts it as failed, with its code. */
async function answered(
  runner: ManagedModelRunner,
  { file }: TruthRow,
  read: () => Promise<readonly GreyImage[]>,
  variation?: Variation,
): Promise<{ readonly answer: Answer; readonly executionProvider?: string }> {
  try {
    const originals = await read();
    const images = variation === undefined ? originals : originals.map(variation.apply);
    // A row is one picture; of several frames only a pack that reads a stack can make one answer.
    const said = await runner.run(runner.packs[0]!, images.length === 1 ? images[0]! : images);
    const answer = answerOf(file, said);
    const [original, image] = [originals[0]!, images[0]!];
    return {
      answer: variation === undefined ? answer : carriedBack(answer, variation, original, image),
      executionProvider: said.executionProvider,
    };
  } catch (thrown) {
    // The manifest is wrong, not the picture.
    if (thrown instanceof UsageError || (thrown instanceof WetreadError && thrown.code === 'cli.bad-file'))
      throw thrown;
    return { answer: { file, ...(variation && { variation: variation.name }), failed: asWetreadError(thrown).code } };
  }
}

/** What the model placed outside the changed picture it did not see: that is left out. Boxes change their shape, and go. */
function carriedBack(told: Answer, variation: Variation, original: GreyImage, { rows, columns }: GreyImage): Answer {
  const { landmarks, ...answer } = { ...told, boxes: [] };
  const seen = Object.entries(landmarks ?? {}).filter(([, [x, y]]) => x >= 0 && y >= 0 && x <= columns && y <= rows);
  const places = seen.map(([name, at]) => [name, [...variation.back(at, original)]]);
  return { ...answer, variation: variation.name, ...(landmarks && { landmarks: Object.fromEntries(places) }) };
}

/** A picture that is read under many changes is unpacked once. */
function once<Result>(make: () => Promise<Result>): () => Promise<Result> {
  let made: Promise<Result> | undefined;
  return () => (made ??= make());
}

type Read = (manifest: Manifest, row: TruthRow) => Promise<GreyImage[]>;
type StackOf = (files: readonly string[], pack: PackSummary, row: TruthRow) => Promise<readonly GreyImage[]>;

async function withDecoder<Result>(
  config: Config,
  task: (read: Read, stackOf: StackOf) => Promise<Result>,
): Promise<Result> {
  const maxBytes = config.WETREAD_MAX_INSTANCE_MB * 1024 * 1024;
  const decoder = decoderPool({ threads: 1, maxInstanceBytes: maxBytes, logger: silentLogger });
  try {
    return await task(
      (manifest, row) => readRow(decoder, maxBytes, manifest, row),
      (files, pack, row) => readStackOf(decoder, files, pack, row),
    );
  } finally {
    await decoder.close();
  }
}

async function readRow(
  decoder: DecoderPool,
  maxBytes: number,
  manifest: Manifest,
  row: TruthRow,
): Promise<GreyImage[]> {
  const { spacing, ...said } = row.hints;
  try {
    return await picturesOf(
      fileOf(manifest, row),
      { ...said, ...(spacing !== undefined && { spacingMm: [spacing, spacing] as const }) },
      { decoder, maxBytes },
    );
  } catch (thrown) {
    if (thrown instanceof UsageError)
      throw badRow(manifest, row, `${row.file} is a plain picture, which needs the columns modality and view`);
    throw thrown;
  }
}

/** What the pack itself would choose of the slices in a folder; none is a row without an answer, with the reason as its code. */
async function readStackOf(decoder: DecoderPool, files: readonly string[], pack: PackSummary, { file }: TruthRow) {
  if (pack.slices === undefined)
    throw new UsageError(`${file} is a folder: ${pack.name} reads single pictures, so give it a row for each`);
  const series = await seriesAtHand(files, [pack], decoder);
  const [chosen] = series.flatMap((one) => one.chosen);
  if (chosen === undefined) {
    const why = series.flatMap(({ notRead }) => notRead.map((one) => one.why)).join('; ');
    throw new WetreadError('model.picture-unusable', `${file}: ${why || 'there is no series that the pack is for'}`);
  }
  return chosen.load(new AbortController().signal);
}

/** Undefined for a row that names a file. */
async function slicesIn(path: string): Promise<string[] | undefined> {
  return (await stat(path)).isDirectory() ? (await filesOf([path])).map((one) => one.file) : undefined;
}

async function bytesOf(path: string, manifest: Manifest, row: TruthRow): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    throw badRow(
      manifest,
      row,
      `file ${row.file} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`,
    );
  }
}

/** At most so many for each section: a page of two hundred films is not looked at. */
const most = 24;
/** Where all are wanted, so many: some tens of megabytes, which a browser still opens. */
const mostOfAll = 400;

export async function withPictures(report: Report, entrant: Entrant, manifest: Manifest, io: Io): Promise<Report> {
  const wanted = report.sections.some(({ worthALook = [] }) => worthALook.length > 0);
  if (!wanted) return report;
  const rows = new Map(manifest.rows.map((row) => [row.file, row]));
  const answers = new Map(entrant.answers.map((answer) => [`${answer.file} ${answer.variation ?? ''}`, answer]));
  let undrawn = 0;
  return withDecoder(readConfig(io.env), async (read) => {
    const draw = async ({ file, why, variation }: WorthALook): Promise<Picture[]> => {
      const row = rows.get(file);
      if (row === undefined) return [];
      // Answers can be evaluated without their pictures at hand.
      const [image] = await read(manifest, row).catch(() => []);
      if (image === undefined) {
        undrawn += 1;
        return [];
      }
      const answer = answers.get(`${file} `);
      const changed = variation === undefined ? undefined : answers.get(`${file} ${variation}`);
      return [{ caption: `${file}: ${why}`, pngBase64: filmSheet(image, row, answer, changed).toString('base64') }];
    };
    const sections = [];
    for (const section of report.sections) {
      const pictures: Picture[] = [];
      const limit = section.showsAll === true ? mostOfAll : most;
      for (const one of (section.worthALook ?? []).slice(0, limit)) pictures.push(...(await draw(one)));
      sections.push(pictures.length === 0 ? section : { ...section, pictures });
    }
    const notes = undrawn === 0 ? [] : [`${undrawn} pictures could not be read once more and are not drawn.`];
    return { ...report, sections, notes: [...report.notes, ...notes] };
  });
}
