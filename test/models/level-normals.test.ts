/** What is normal differs by level: the tables that findings are held against are those that were measured, not one number. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import manifest from '../../models/lumbar-landmarks/manifest.json' with { type: 'json' };

type Spread = { readonly mean: number; readonly sd: number };

/** The tables of 30 labelled real films, as the phantoms are drawn from: `"L5": (1.16, 0.08)`. */
function tableOf(name: string): Map<string, Spread> {
  const source = readFileSync(join(import.meta.dirname, '../../training/phantoms/geometry.py'), 'utf8');
  const body = source.match(new RegExp(`^${name} = \\{([^}]*)\\}`, 'm'))![1]!;
  const rows = body.matchAll(/"(\w+)": \((-?[\d.]+), ([\d.]+)\)/g);
  return new Map([...rows].map(([, level, mean, sd]) => [level!, { mean: Number(mean), sd: Number(sd) }]));
}

test('slips are held against the usual offset of their own level', () => {
  const measured = tableOf('NORMAL_OFFSET');
  const { slipPercent } = manifest.reference;
  expect(Object.keys(slipPercent)).toEqual(expect.arrayContaining(['L1/L2', 'L2/L3', 'L3/L4', 'L4/L5', 'L5/S1']));
  for (const [segment, { mean, sd }] of Object.entries(slipPercent)) {
    const usual = measured.get(segment.split('/')[0]!)!;
    expect(mean).toBeCloseTo(100 * usual.mean, 6);
    expect(sd).toBeCloseTo(100 * usual.sd, 6);
  }
  // No level's normal is zero, and they are not all one number.
  const means = Object.values(slipPercent).map(({ mean }) => mean);
  expect(means.every((mean) => mean < 0)).toBe(true);
  expect(new Set(means).size).toBe(means.length);
});

test('wedges are held against the usual wedge of their own level, up to the lower thoracic spine', () => {
  const measured = tableOf('FRONT_TO_BACK_HEIGHT');
  const ratios: Readonly<Record<string, Spread>> = manifest.reference.anteriorPosteriorHeightRatio;
  for (const level of ['T11', 'T12', 'L1', 'L2', 'L3', 'L4', 'L5']) expect(ratios[level]).toEqual(measured.get(level));
  // L1 is usually lower in front, L5 behind: one threshold would call one of them fractured.
  expect(ratios['L1']!.mean).toBeLessThan(1);
  expect(ratios['L5']!.mean).toBeGreaterThan(1.1);
});
