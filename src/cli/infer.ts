/** `wetread infer`: reads pictures on this machine, with no server and no database. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { readConfig } from '../config.ts';
import { modelsFolder, theModels } from '../adapters.ts';
import { decoderPool } from '../dicom/decoder-pool.ts';
import { WetreadError } from '../domain/errors.ts';
import type { GreyImage } from '../domain/image.ts';
import { silentLogger } from '../domain/log.ts';
import type { PackSummary } from '../domain/ports.ts';
import { loadPack, packFolders } from '../inference/load-packs.ts';
import { readArgs, UsageError, type Command } from './command.ts';
import { demandPictures, filesOf, picturesOf, saidOf, views, type NamedFile } from './infer/inputs.ts';
import { readPicture, readStack, refusalOf, type FileReading, type PictureReading } from './infer/reading.ts';
import { seriesAtHand, type SeriesAtHand } from './infer/stacks.ts';
import { inWords } from './infer/words.ts';
import { progressBar } from './progress-bar.ts';

export const command: Command = {
  name: 'infer',
  summary: 'read DICOM files or plain pictures here, without a server',
  usage: `
Usage: wetread infer <file or folder>… [--pack <name>]… [--json] [--png <file or folder>]
       wetread infer film.png --modality DX --view lateral [--spacing 0.15]

DICOM, PNG and JPEG; folders are searched to the bottom. Each picture is read by the packs it is for. Packs that read
stacks of slices get them from the DICOM series among the files, chosen and ordered by their headers.

  --pack NAME     only this pack, whatever a DICOM header says (may be repeated)
  --json          a list with one entry for each file: findings, every landmark by name with its spread in pixels
                  of the picture given, and why other packs did not read it. Where a pack refused the picture,
                  "refused" says why, and the landmarks are only where it looked
  --png OUT       the picture at its own size with what was seen drawn over it; a folder for several pictures
  --modality M    of plain pictures, as DICOM writes it: CR, DX, MR …
  --view V        of plain pictures: ${views.join(', ')}
  --region R      of plain pictures, where known: "lumbar spine", chest …
  --spacing MM    of plain pictures, where known: pixel size in mm, or rows,columns; without it nothing is measured in mm

Every answer is a suggestion of a model that nobody has reviewed. Abstaining is an answer too.
Exits 1 when a file could not be read, a pack failed, or no pack read anything; 2 when called wrongly.

Examples:
  npm run wetread -- infer sandbox/films/l4-l5-grade-1.dcm --png overlay.png
  npm run wetread -- infer sandbox/films/normal.dcm --json`,
  async run(args, io) {
    const { values, positionals: named } = readArgs(
      args,
      {
        pack: { type: 'string', multiple: true },
        json: { type: 'boolean' },
        png: { type: 'string' },
        modality: { type: 'string' },
        view: { type: 'string' },
        region: { type: 'string' },
        spacing: { type: 'string' },
      },
      true,
    );
    if (named.length === 0) throw new UsageError('name at least one file or folder');
    const said = saidOf(values);
    const files = await filesOf(named);
    demandPictures(files, named);

    const config = readConfig(io.env);
    const folder = modelsFolder(config);
    const { packs, broken } = await packsOf(folder, values.pack);
    for (const fault of broken) io.stderr.write(`${fault}\n`);
    const maxBytes = config.WETREAD_MAX_INSTANCE_MB * 1024 * 1024;
    const decoder = decoderPool({ threads: 1, maxInstanceBytes: maxBytes, logger: silentLogger });
    const runner = theModels({ ...config, WETREAD_INFERENCE_PROCESSES: 1 }, silentLogger, packs);
    const stackPacks = packs.map(({ summary }) => summary).filter(({ slices }) => slices !== undefined);
    const series = await seriesAtHand(
      files.map(({ file }) => file),
      stackPacks,
      decoder,
    );
    const pictures = picturesBeside(series, files, runner.packs);
    const count = series.flatMap(({ chosen }) => chosen).length + pictures.length;
    const drawings = values.png === undefined ? undefined : drawingsInto(values.png, count);
    const bar = progressBar(io, series.length + pictures.length);
    const results: FileReading[] = [];
    const tell = (result: FileReading) => {
      results.push(result);
      if (values.json) return;
      bar.clear();
      io.stdout.write(`${inWords(result)}\n`);
    };
    try {
      await runner.ready();
      for (const [index, one] of series.entries()) {
        bar.show(index, one.shown);
        for (const result of await readSeries(one)) tell(result);
      }
      // The next file is read from the disk and unpacked while the models look at this one.
      let ahead = pictures[0] && load(pictures[0]);
      for (const [index, { name, shown }] of pictures.entries()) {
        const loaded = await ahead!;
        if (index + 1 < pictures.length) ahead = load(pictures[index + 1]!);
        bar.show(series.length + index, shown);
        tell(await readFile(name, shown, loaded));
      }
    } finally {
      bar.clear();
      await runner.close();
      await decoder.close();
    }
    if (values.json) io.stdout.write(`${JSON.stringify(results, null, io.stdout.isTTY === true ? 2 : 0)}\n`);
    return exitCodeOf(results, broken.length > 0);

    type Loaded = readonly GreyImage[] | { readonly thrown: unknown };
    function load({ file }: NamedFile): Promise<Loaded> {
      return picturesOf(file, said, { decoder, maxBytes }).catch((thrown: unknown) => ({ thrown }));
    }

    async function readSeries({ shown, chosen, notRead }: SeriesAtHand): Promise<FileReading[]> {
      const readings: FileReading[] = [];
      for (const { pack: name, why, files: slices, load: loadStack } of chosen) {
        const file = `${shown}: ${why}`;
        try {
          const images = await loadStack(new AbortController().signal);
          const pack = runner.packs.find((one) => one.name === name)!;
          const { picture, image } = await readStack(runner, pack, images);
          readings.push({ file, slices, notRead, pictures: [picture] });
          const drawn = files.find(({ file: slice }) => slice === slices[images.indexOf(image)]);
          if (picture.readings.length > 0)
            await drawings?.(`${name}-${drawn?.name ?? image.sopUid}`, undefined, image, picture.readings);
        } catch (thrown) {
          readings.push({ file, slices, notRead, pictures: [], error: refusalOf(thrown) });
        }
      }
      return readings.length > 0 ? readings : [{ file: shown, notRead, pictures: [] }];
    }

    async function readFile(name: string, shown: string, loaded: Loaded): Promise<FileReading> {
      if ('thrown' in loaded) {
        if (loaded.thrown instanceof UsageError) throw loaded.thrown;
        return { file: shown, pictures: [], error: refusalOf(loaded.thrown) };
      }
      const pictures: PictureReading[] = [];
      for (const image of loaded) {
        const isPlain = image.sopClassUid === '';
        const options = { isNamed: values.pack !== undefined, viewIsSure: isPlain };
        const picture = await readPicture(runner, image, options);
        pictures.push(picture);
        if (drawings !== undefined && picture.readings.length > 0)
          await drawings(name, loaded.length > 1 ? image.frame : undefined, image, picture.readings);
      }
      return { file: shown, pictures };
    }
  },
};

/** Slices of a series that only packs for stacks read are not told once more, one by one. */
function picturesBeside(
  series: readonly SeriesAtHand[],
  files: readonly NamedFile[],
  packs: readonly PackSummary[],
): NamedFile[] {
  const readsPictures = (modality: string) =>
    packs.some(({ slices, modalities }) => slices === undefined && modalities.includes(modality));
  const told = new Set(series.filter(({ modality }) => !readsPictures(modality)).flatMap((one) => one.files));
  return files.filter(({ file }) => !told.has(file));
}

/** A broken pack does not keep the others from reading; one that was named must be whole. */
async function packsOf(folder: string, named: readonly string[] | undefined) {
  const there = await packFolders(folder);
  const unknown = named?.filter((name) => !there.includes(name)) ?? [];
  if (unknown.length > 0)
    throw new UsageError(
      `there is no pack ${unknown.join(', ')}; there are ${there.join(', ') || 'none'} in ${folder}`,
    );
  const packs = [];
  const broken: string[] = [];
  for (const name of named ?? there) {
    try {
      packs.push(await loadPack(join(folder, name), name));
    } catch (thrown) {
      if (named !== undefined) throw thrown;
      broken.push(`${refusalOf(thrown).message}`);
    }
  }
  if (packs.length === 0) throw new WetreadError('model.pack-invalid', broken[0] ?? `there is no pack in ${folder}`);
  return { packs, broken };
}

/** One file for one picture; a folder for several. */
function drawingsInto(out: string, count: number) {
  const isFolder = count > 1 || !out.toLowerCase().endsWith('.png');
  return async (file: string, frame: number | undefined, image: GreyImage, readings: PictureReading['readings']) => {
    const { overlayOf } = await import('./drawing/overlay.ts');
    // Archives call the first picture of every series alike: the folders are part of the name.
    const name = `${file}${frame === undefined ? '' : `-frame${frame + 1}`}.overlay.png`;
    const target = isFolder || frame !== undefined ? join(isFolder ? out : dirname(out), name) : out;
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, overlayOf(image, readings));
  };
}

function exitCodeOf(results: readonly FileReading[], someBroken: boolean): number {
  const failed = results.some(
    ({ error, pictures }) => error !== undefined || pictures.some(({ failures }) => failures.length > 0),
  );
  const read = results.some(({ pictures }) => pictures.some(({ readings }) => readings.length > 0));
  return failed || someBroken || !read ? 1 : 0;
}
