/** What an MR series weighs: by its times, by what it declares, by words; absent and wrong ones among them. */
import { describe, expect, test } from 'vitest';
import { metadataOfFile } from '../../../src/dicom/volume/file-metadata.ts';
import { frameHeadersOf } from '../../../src/dicom/volume/frame-header.ts';
import { sequenceOf } from '../../../src/dicom/volume/sequence.ts';
import type { SequenceVerdict, Weighting } from '../../../src/domain/slice.ts';
import { slice, type Elements } from '../../support/slices.ts';

async function verdict(elements: Elements): Promise<SequenceVerdict> {
  const nothing = { EchoTime: undefined, RepetitionTime: undefined, ScanningSequence: undefined };
  const file = slice({
    number: 1,
    position: [0, 0, 0],
    with: { ...nothing, SequenceVariant: undefined, FlipAngle: undefined, SeriesDescription: undefined, ...elements },
  });
  return sequenceOf(frameHeadersOf((await metadataOfFile(file))!)[0]!);
}

describe('by times', () => {
  // TE, TR, TI in ms as published protocols of the spine have them.
  test.each<readonly [string, Weighting | undefined, Elements]>([
    ['T2 fast spin echo', 'T2', { EchoTime: 102, RepetitionTime: 3500, ScanningSequence: 'SE' }],
    ['T2 spin echo of old', 'T2', { EchoTime: 80, RepetitionTime: 2000, ScanningSequence: 'SE' }],
    ['T2 in three dimensions', 'T2', { EchoTime: 133, RepetitionTime: 1500, ScanningSequence: 'SE' }],
    ['T1 spin echo', 'T1', { EchoTime: 12, RepetitionTime: 550, ScanningSequence: 'SE' }],
    ['T1 at 3 T', 'T1', { EchoTime: 9.5, RepetitionTime: 900, ScanningSequence: 'SE' }],
    [
      'T1 by inversion',
      'T1',
      { EchoTime: 9, RepetitionTime: 2200, InversionTime: 860, ScanningSequence: ['SE', 'IR'] },
    ],
    [
      'STIR at 1.5 T',
      'STIR',
      { EchoTime: 70, RepetitionTime: 4500, InversionTime: 160, ScanningSequence: ['SE', 'IR'] },
    ],
    ['STIR at 3 T', 'STIR', { EchoTime: 42, RepetitionTime: 5000, InversionTime: 220, ScanningSequence: ['SE', 'IR'] }],
    ['FLAIR', 'FLAIR', { EchoTime: 120, RepetitionTime: 9000, InversionTime: 2500, ScanningSequence: ['SE', 'IR'] }],
    ['proton density', 'PD', { EchoTime: 30, RepetitionTime: 3000, ScanningSequence: 'SE' }],
    ['gradient echo', 'T2*', { EchoTime: 17, RepetitionTime: 600, FlipAngle: 30, ScanningSequence: 'GR' }],
    ['diffusion', 'DWI', { EchoTime: 75, RepetitionTime: 4000, DiffusionBValue: 800, ScanningSequence: ['EP', 'SE'] }],
    ['an inversion time of zero', 'T2', { EchoTime: 100, RepetitionTime: 4000, InversionTime: 0 }],
    ['nothing at all', undefined, {}],
    ['an echo time of zero', undefined, { EchoTime: 0, RepetitionTime: 0 }],
  ])('%s', async (_, weighting, elements) => {
    expect((await verdict(elements)).weighting).toBe(weighting);
  });
});

describe('by words, where times are missing', () => {
  test.each<readonly [string, Weighting | undefined]>([
    ['t2_tse_sag_p2', 'T2'],
    ['SAG T2 FRFSE-XL', 'T2'],
    ['T2W_TSE', 'T2'],
    ['T2-gewichtet sagittal', 'T2'],
    ['Sagital T2 columna lumbar', 'T2'],
    ['矢状 T2', 'T2'],
    ['Т2 сагиттальная', 'T2'],
    ['t2_tirm_sag', 'STIR'],
    ['STIR SAG', 'STIR'],
    ['T1 FLAIR SAG', 'T1'],
    ['t2_flair', 'FLAIR'],
    ['T2* sag', 'T2*'],
    ['t2_me3d (MEDIC)', 'T2*'],
    ['PD FS SAG', 'PD'],
    ['densité de protons', 'PD'],
    ['ADC map', 'DWI'],
    ['T12-L2 sag', undefined],
    ['sagittal', undefined],
  ])('%s', async (SeriesDescription, weighting) => {
    expect((await verdict({ SeriesDescription })).weighting).toBe(weighting);
  });

  test('the protocol’s name when the description says nothing', async () => {
    expect(await verdict({ SeriesDescription: 'Sag', ProtocolName: 't2_tse_sag' })).toMatchObject({ weighting: 'T2' });
  });
});

describe('when tags contradict each other', () => {
  test('times go before a name that was left over from another protocol, and the doubt is told', async () => {
    const { weighting, why } = await verdict({ SeriesDescription: 't2_tse_sag', EchoTime: 11, RepetitionTime: 600 });
    expect(weighting).toBe('T1');
    expect(why).toBe('TE 11 ms, TR 600 ms: T1; against that, the description says T2');
  });

  test('what an enhanced object declares goes first', async () => {
    const { weighting } = await verdict({ AcquisitionContrast: 'T2', EchoTime: 45, RepetitionTime: 3000 });
    expect(weighting).toBe('T2');
  });

  test('times that fit two weightings leave the choice to the words', async () => {
    const between = { EchoTime: 52, RepetitionTime: 3200, ScanningSequence: 'SE' };
    expect((await verdict({ ...between, SeriesDescription: 'T2 SAG FS' })).weighting).toBe('T2');
    expect((await verdict(between)).weighting).toBe('PD');
  });

  test('a CT has no weighting', async () => {
    expect(await verdict({ Modality: 'CT', EchoTime: 100 })).toEqual({ why: 'modality CT' });
  });
});

describe('contrast and fat', () => {
  test.each<readonly [Elements, boolean | undefined]>([
    [{ ContrastBolusAgent: 'Gadovist' }, true],
    [{ ContrastBolusAgent: 'NONE' }, false],
    [{ ContrastBolusAgent: '0' }, false],
    [{ SeriesDescription: 'T1 SAG FS +C' }, true],
    [{ SeriesDescription: 't1_tse_sag_fs_KM' }, true],
    [{ SeriesDescription: 'T1 sag post gad' }, true],
    [{ SeriesDescription: 'T1 SAG con contraste' }, true],
    [{ SeriesDescription: 'T1 SAG W/O' }, false],
    [{ SeriesDescription: 'T1 sag ohne KM' }, false],
    [{ SeriesDescription: 'T1 sag sans contraste' }, false],
    // Devices leave the agent in the header of everything that follows the injection's planning.
    [{ SeriesDescription: 'T1 SAG PRE', ContrastBolusAgent: 'Gadovist' }, false],
    [{ SeriesDescription: 'SAG T2 C-SPINE' }, undefined],
    [{}, undefined],
  ])('contrast by %j', async (elements, contrast) => {
    expect((await verdict(elements)).contrast).toBe(contrast);
  });

  test.each<readonly [Elements, boolean | undefined]>([
    [{ ScanOptions: ['PFP', 'FS'] }, true],
    [{ SeriesDescription: 'T2 SAG fat sat' }, true],
    [{ SeriesDescription: 't2_tse_sag_fs' }, true],
    [{ SeriesDescription: 'T2W SPAIR SAG' }, true],
    [{ SeriesDescription: 'T2 FSE SAG' }, undefined],
    [{ InversionTime: 160, EchoTime: 60, RepetitionTime: 4000 }, true],
    [{ ImageType: ['DERIVED', 'PRIMARY', 'DIXON', 'WATER'] }, true],
    // A presaturation band is no fat saturation.
    [{ ScanOptions: ['SAT1', 'PER'] }, undefined],
    [{}, undefined],
  ])('fat suppressed by %j', async (elements, fatSuppressed) => {
    expect((await verdict(elements)).fatSuppressed).toBe(fatSuppressed);
  });
});
