/** Whose millimetres a spacing counts. */
import { describe, expect, test } from 'vitest';
import { decodeInstance, instanceOf } from '../../src/dicom/instance.ts';
import { readDataset, type DicomDataset } from '../../src/dicom/dataset.ts';
import { spacingOf } from '../../src/dicom/spacing.ts';
import type { Keyword } from '../../src/dicom/tags.ts';
import { fixture } from './fixtures.ts';

const radiograph = '1.2.840.10008.5.1.4.1.1.1.1';
const tomogram = '1.2.840.10008.5.1.4.1.1.2';

/** A header with these numbers and nothing else about spacing. */
function header(
  sopClass: string,
  numbers: Partial<Record<Keyword, readonly number[]>>,
  calibration?: string,
): DicomDataset {
  const real = readDataset(fixture('grey12'));
  return {
    ...real,
    text: (keyword) => (keyword === 'SOPClassUID' ? sopClass : undefined),
    has: (keyword) => keyword in numbers || (keyword === 'PixelSpacingCalibrationType' && calibration !== undefined),
    decimals: (keyword) => [...(numbers[keyword] ?? [])],
    decimal: (keyword) => numbers[keyword]?.[0],
  };
}

describe('spacing', () => {
  test.each<[string, DicomDataset, ReturnType<typeof spacingOf>]>([
    [
      'of a CT slice is the patient’s',
      header(tomogram, { PixelSpacing: [0.7, 0.6] }),
      { rowMm: 0.7, columnMm: 0.6, plane: 'patient' },
    ],
    [
      'at the detector stays there',
      header(radiograph, { ImagerPixelSpacing: [0.2, 0.2] }),
      { rowMm: 0.2, columnMm: 0.2, plane: 'detector' },
    ],
    [
      'at the detector is divided by the magnification',
      header(radiograph, { ImagerPixelSpacing: [0.2, 0.3], EstimatedRadiographicMagnificationFactor: [1.25] }),
      { rowMm: 0.16, columnMm: 0.24, plane: 'patient' },
    ],
    [
      'is not divided by an impossible magnification',
      header(radiograph, { ImagerPixelSpacing: [0.2, 0.2], EstimatedRadiographicMagnificationFactor: [0] }),
      { rowMm: 0.2, columnMm: 0.2, plane: 'detector' },
    ],
    [
      'that was calibrated is the patient’s',
      header(radiograph, { PixelSpacing: [0.18, 0.18] }, 'FIDUCIAL'),
      { rowMm: 0.18, columnMm: 0.18, plane: 'patient' },
    ],
    [
      'that differs from the detector’s was calibrated',
      header(radiograph, { PixelSpacing: [0.16, 0.16], ImagerPixelSpacing: [0.2, 0.2] }),
      { rowMm: 0.16, columnMm: 0.16, plane: 'patient' },
    ],
    [
      'that repeats the detector’s was not',
      header(radiograph, { PixelSpacing: [0.2, 0.2], ImagerPixelSpacing: [0.2000001, 0.2] }),
      { rowMm: 0.2000001, columnMm: 0.2, plane: 'detector' },
    ],
    [
      'alone on a radiograph promises no more than the detector’s',
      header(radiograph, { PixelSpacing: [0.15, 0.15] }),
      { rowMm: 0.15, columnMm: 0.15, plane: 'detector' },
    ],
    [
      'of a digitised film is the film’s',
      header(radiograph, { NominalScannedPixelSpacing: [0.17, 0.17] }),
      { rowMm: 0.17, columnMm: 0.17, plane: 'detector' },
    ],
    ['of zero is none', header(radiograph, { PixelSpacing: [0, 0] }), undefined],
    ['with one value is none', header(tomogram, { PixelSpacing: [0.5] }), undefined],
    ['by aspect ratio alone is none', header(radiograph, { PixelAspectRatio: [1, 2] }), undefined],
  ])('%s', (_, dataset, expected) => {
    // Division leaves dust in the last digit.
    const rounded = (mm: number) => Number(mm.toFixed(9));
    const found = spacingOf(dataset);
    expect(found && { ...found, rowMm: rounded(found.rowMm), columnMm: rounded(found.columnMm) }).toEqual(expected);
  });

  test('of an enhanced object is what each frame says, or all share', async () => {
    const instance = instanceOf(await decodeInstance(fixture('enhanced-mr'), 1e6));
    const patient = 'patient' as const;
    expect([0, 1, 2].map((frame) => instance.grey(frame).spacing)).toEqual([
      { rowMm: 0.5, columnMm: 0.5, plane: patient },
      { rowMm: 0.5, columnMm: 0.5, plane: patient },
      { rowMm: 0.7, columnMm: 0.6, plane: patient },
    ]);
    expect(instance.spacing).toEqual({ rowMm: 0.5, columnMm: 0.5, plane: patient });
    expect(instance.tags).toMatchObject({ modality: 'MR', laterality: 'U', acquiredAt: '2026-03-01T09:45:00' });
  });

  test('is read from real headers', () => {
    expect(spacingOf(readDataset(fixture('grey12')))).toEqual({ rowMm: 0.2, columnMm: 0.2, plane: 'detector' });
    expect(spacingOf(readDataset(fixture('signed16')))).toEqual({ rowMm: 0.7, columnMm: 0.6, plane: 'patient' });
    expect(spacingOf(readDataset(fixture('grey12-bare-dataset')))).toEqual({
      rowMm: 0.2,
      columnMm: 0.2,
      plane: 'detector',
    });
  });
});
