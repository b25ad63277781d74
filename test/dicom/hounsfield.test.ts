/** CT pictures carry Hounsfield units for models that cut windows in them; other pictures do not pretend to. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { decodeInstance, instanceOf } from '../../src/dicom/instance.ts';

const fixture = readFileSync(new URL('../fixtures/dicom/signed16.dcm', import.meta.url));

describe('Hounsfield units', () => {
  test('are the values after slope and intercept, whatever the window shows', async () => {
    const parts = await decodeInstance(fixture, 2 ** 20);
    const [one] = parts.display.kind === 'grey' ? parts.display.frames : [];
    const rescaled = { kind: 'linear', slope: 0.5, intercept: -1024 } as const;
    const display = { ...parts.display, frames: [{ ...one!, modality: rescaled }] } as typeof parts.display;
    const image = instanceOf({ ...parts, display, tags: { ...parts.tags, modality: 'CT' } }).grey(0);
    const wanted = Float32Array.from(parts.pixels.values, (stored) => stored * 0.5 - 1024);
    expect(image.hounsfield!()).toEqual(wanted);
    expect(new Set(wanted).size).toBeGreaterThan(10);
  });

  test('are not claimed for a radiograph', async () => {
    const parts = await decodeInstance(fixture, 2 ** 20);
    expect(instanceOf({ ...parts, tags: { modality: 'DX' } }).grey(0).hounsfield).toBeUndefined();
  });
});
