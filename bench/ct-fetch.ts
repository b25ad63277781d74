/** Fetches and decodes one series as the service does, in a process of its own whose memory is measured. */
import { decoderPool } from '../src/dicom/decoder-pool.ts';
import { dicomwebArchive } from '../src/dicom/dicomweb-archive.ts';
import { seriesUid, studyUid } from '../src/domain/ids.ts';
import { silentLogger } from '../src/domain/log.ts';
import { loadImages } from '../src/pipeline/load-images.ts';
import { ctStudy, type CtFetched } from './ct-series.ts';

const [baseUrl = '', series = ''] = process.argv.slice(2);
const archive = dicomwebArchive({ baseUrl, logger: silentLogger });
const decoder = decoderPool({ logger: silentLogger });
/** Linux counts in kilobytes what /proc calls VmHWM. */
const peakMb = () => process.resourceUsage().maxRSS / 1024;
const startMb = peakMb();
const started = performance.now();

let pictures = 0;
let sum = 0;
const chosen = [{ pack: 'bench', seriesUid: seriesUid(series) }];
const loaded = loadImages({ archive, decoder }, studyUid(ctStudy), chosen, new AbortController().signal);
for await (const one of loaded) {
  if (one.kind !== 'picture') throw new Error(one.kind === 'fault' ? one.error.message : one.kind);
  const { intensities, rows, columns } = one.image;
  // What a model would take of it; nothing is kept.
  sum += intensities[(rows >> 1) * columns + (columns >> 1)]!;
  pictures += 1;
}
const fetched: CtFetched = {
  pictures,
  seconds: (performance.now() - started) / 1000,
  peakMb: peakMb(),
  startMb,
  meanGrey: sum / pictures,
};
process.send?.(fetched);
await decoder.close();
process.disconnect?.();
