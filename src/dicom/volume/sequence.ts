/**
 * What an MR sequence weighs, told by its times, by what enhanced objects declare, and by words; each may be absent or
 * wrong. Ranges after Westbrook and Talbot, MRI in Practice, 5th edition (2019), table 2.1, 1.5 T and 3 T together:
 * spin echo TE to 30 ms short, from 70 ms long; TR 300 to 800 ms short, from 2000 ms long; fast spin echo TE to 20 ms and
 * from 90 ms, TR 400 to 600 ms and from 4000 ms; STIR TI 100 to 175 ms (1.5 T), 210 ms (3 T), TE from 60 ms; T1 by
 * inversion TI 200 to 600 ms and more with TE to 20 ms; FLAIR TE from 80 ms with TI beyond 1.5 s.
 */
import type { SequenceVerdict, Weighting } from '../../domain/slice.ts';
import { contrastOfText, saysFatSuppressed, weightingOfText } from '../../domain/series-words.ts';
import type { FrameHeader } from './frame-header.ts';

export function sequenceOf(frame: FrameHeader): SequenceVerdict {
  const { object } = frame;
  if (object.modality !== undefined && object.modality !== 'MR') return { why: `modality ${object.modality}` };
  const { mr } = object;
  const words = [object.seriesDescription, object.protocolName].filter((text) => text !== undefined);
  const told: readonly Told[] = [
    declared(mr?.acquisitionContrast),
    byTimes(frame),
    ...words.slice(0, 1).map((text) => inWords('the description', weightingOfText(text))),
    ...words.slice(1).map((text) => inWords('the protocol', weightingOfText(text))),
    inWords('the sequence name', mr?.sequenceName === undefined ? undefined : weightingOfText(mr.sequenceName)),
  ].filter((one) => one !== undefined);
  const [first] = told;
  const weighting = settled(told);
  const against = told.filter((one) => one.weighting !== weighting);
  const fatSuppressed = isFatSuppressed(frame, weighting, words);
  const contrast = wasContrastGiven(mr?.contrastAgent, words);
  const why =
    first === undefined
      ? 'no tag tells the weighting'
      : [
          ...told.filter((one) => one.weighting === weighting).map(({ says }) => says),
          ...against.map(({ says }) => `against that, ${says}`),
        ].join('; ');
  return {
    ...(weighting !== undefined && { weighting }),
    ...(fatSuppressed !== undefined && { fatSuppressed }),
    ...(contrast !== undefined && { contrast }),
    why,
  };
}

type Told = { readonly weighting: Weighting; readonly says: string; readonly vague?: true };

/**
 * What the device declares or what its times mean goes before what people typed: a copied protocol keeps its old name.
 * Times that fit two weightings leave the choice between them to the words.
 */
function settled(told: readonly Told[]): Weighting | undefined {
  return (told.find(({ vague }) => vague !== true) ?? told[0])?.weighting;
}

const inWords = (where: string, weighting: Weighting | undefined): Told | undefined =>
  weighting === undefined ? undefined : { weighting, says: `${where} says ${weighting}` };

/** Defined Terms of Acquisition Contrast, PS3.3 C.8.13.3.1.2; the others (perfusion, flow, tagging …) are no weighting. */
const terms: Readonly<Record<string, Weighting>> = {
  T1: 'T1',
  T2: 'T2',
  PROTON_DENSITY: 'PD',
  FLUID_ATTENUATED: 'FLAIR',
  FLAIR: 'FLAIR',
  STIR: 'STIR',
  T2_STAR: 'T2*',
  DIFFUSION: 'DWI',
};

function declared(contrast: string | undefined): Told | undefined {
  const weighting = contrast === undefined ? undefined : terms[contrast.toUpperCase()];
  return weighting && { weighting, says: `Acquisition Contrast is ${contrast}` };
}

/** Longest inversion that nulls fat (about 0.69 × T1 of fat: 80 ms at 0.3 T to 240 ms at 3 T), and the shortest for water. */
const fatNulledMs = [70, 300] as const;
const waterNulledFromMs = 1400;
const shortEchoMs = 30;
const longEchoMs = 60;
const shortRepetitionMs = 1300;
const longRepetitionMs = 1500;

function byTimes(frame: FrameHeader): Told | undefined {
  const { mr } = frame.object;
  const { echoTimeMs: te, inversionTimeMs: ti } = frame;
  const tr = mr?.repetitionTimeMs;
  const kinds = new Set((mr?.scanningSequence ?? []).map((kind) => kind.toUpperCase()));
  const times = [
    te === undefined ? '' : `TE ${round(te)} ms`,
    tr === undefined ? '' : `TR ${round(tr)} ms`,
    ti === undefined || ti === 0 ? '' : `TI ${round(ti)} ms`,
  ]
    .filter((text) => text !== '')
    .join(', ');
  const told = (weighting: Weighting, how = ''): Told => ({ weighting, says: `${times}${how}: ${weighting}` });

  if ((frame.diffusionBValue ?? 0) > 0)
    return { weighting: 'DWI', says: `b-value ${round(frame.diffusionBValue!)}: DWI` };
  if (te === undefined || !(te > 0)) return undefined;
  const inverted = ti !== undefined && ti > 0;
  if (inverted && ti >= fatNulledMs[0] && ti <= fatNulledMs[1] && (tr === undefined || tr >= longRepetitionMs))
    return told('STIR');
  if (inverted && ti >= waterNulledFromMs && te >= longEchoMs) return told('FLAIR');
  if (inverted && te <= shortEchoMs && ti > fatNulledMs[1]) return told('T1');
  const echoPlanar = kinds.has('EP');
  const gradient = kinds.has('GR') && !kinds.has('SE');
  if (gradient || (echoPlanar && !kinds.has('SE'))) return te >= 10 ? told('T2*', ', gradient echo') : undefined;
  if (te >= longEchoMs) {
    // A long echo of a sequence that is not said to be a spin echo and repeats at once may be balanced or diffusion.
    if (echoPlanar) return { ...told('T2', ', echo planar'), vague: true };
    return tr === undefined || tr >= 800 ? told('T2') : { ...told('T2'), vague: true };
  }
  if (tr === undefined) return te <= shortEchoMs ? { ...told('T1'), vague: true } : undefined;
  if (te <= shortEchoMs && tr <= shortRepetitionMs) return told('T1');
  if (tr >= longRepetitionMs) {
    // 40 to 60 ms: proton density of one hospital, fat-saturated T2 of another.
    return te > 40 ? { ...told('PD', ', between PD and T2'), vague: true } : told('PD');
  }
  return undefined;
}

const round = (value: number): number => Math.round(value);

/** Scan Options FS is the standard's; devices add words of their own. */
const fatOptions = /^(FS|FATSAT|FAT_SAT|SPIR|SPAIR|CHEMSAT.*|FS_GEMS|FSS_GEMS|WE|WATER_EXC.*)$/i;
const waterImages = new Set(['W', 'WATER']);

function isFatSuppressed(
  { object: { mr }, imageType }: FrameHeader,
  weighting: Weighting | undefined,
  words: readonly string[],
): boolean | undefined {
  if (weighting === 'STIR') return true;
  if (imageType.some((value) => waterImages.has(value))) return true;
  if ((mr?.scanOptions ?? []).some((option) => fatOptions.test(option.trim()))) return true;
  if (mr?.suppression !== undefined) {
    if (/FAT/i.test(mr.suppression)) return true;
    if (/^NONE$/i.test(mr.suppression)) return false;
  }
  if (words.some(saysFatSuppressed)) return true;
  return undefined;
}

/** Devices write the field whether or not something was given. */
const noAgent = /^(no(ne)?|n\/?a|0|-+|\.|nil|nativ|ohne|sans|without.*|unknown)?$/i;

function wasContrastGiven(agent: string | undefined, words: readonly string[]): boolean | undefined {
  const said = words.map(contrastOfText).find((one) => one !== undefined);
  if (said !== undefined) return said;
  if (agent === undefined) return undefined;
  return !noAgent.test(agent.trim());
}
