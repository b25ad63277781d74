/** The door for packs: manifests, findings and the choice of series. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { considerSeries, faultOfDrafts, parseManifest, viewOf } from '../../src/kit/model-pack.ts';

const rule = { modalities: ['CR', 'DX'], regions: ['lumbar-spine', 'whole-spine'], views: ['lateral'] } as const;
const study = {};

describe('the choice of series', () => {
  test('takes a series whose tags are missing', () => {
    expect(considerSeries(rule, study, { modality: 'DX' })).toEqual({
      taken: true,
      why: 'no tag names another region',
    });
    expect(considerSeries(rule, study, { modality: '' }).taken).toBe(true);
    expect(considerSeries(rule, study, { modality: 'DX', bodyPartExamined: 'SPINE' }).taken).toBe(true);
    expect(considerSeries(rule, study, { modality: 'DX', bodyPartExamined: '' }).taken).toBe(true);
  });

  test.each([
    [{ modality: 'MR' }, 'modality MR, the model reads CR, DX'],
    [
      { modality: 'DX', bodyPartExamined: 'CHEST' },
      'Body Part Examined says chest, the model reads lumbar-spine, whole-spine',
    ],
    [
      { modality: 'DX', bodyPartExamined: 'SKULL' },
      'Body Part Examined says other, the model reads lumbar-spine, whole-spine',
    ],
    [
      { modality: 'CR', description: 'Knee AP standing' },
      'the series description says limb, the model reads lumbar-spine, whole-spine',
    ],
  ])('leaves %o and says why', (series, why) => {
    expect(considerSeries(rule, study, series)).toEqual({ taken: false, why });
  });

  test('believes the description that fits when Body Part Examined contradicts it', () => {
    const series = { modality: 'DX', bodyPartExamined: 'CHEST', description: 'L-spine lateral' };
    expect(considerSeries(rule, study, series)).toEqual({
      taken: true,
      why: 'the series description says lumbar-spine',
    });
  });

  test('asks the study description when the series says nothing', () => {
    expect(considerSeries(rule, { description: 'Chest PA' }, { modality: 'DX' }).taken).toBe(false);
    expect(considerSeries(rule, { description: 'Lumbar spine 2 views' }, { modality: 'DX' }).taken).toBe(true);
  });

  test('leaves the view to the picture, and says so', () => {
    const series = { modality: 'DX', bodyPartExamined: 'LSPINE', viewPosition: 'AP' };
    expect(considerSeries(rule, study, series)).toEqual({
      taken: true,
      why: 'Body Part Examined says lumbar-spine; View Position says frontal, the picture decides',
    });
    expect(considerSeries(rule, study, { ...series, viewPosition: 'LL' }).why).not.toContain('View Position');
  });

  test('knows the usual words for views', () => {
    expect(['LL', 'RL', 'LAT', 'lateral', 'LLD'].map(viewOf)).toEqual(Array(5).fill('lateral'));
    expect(['AP', 'PA', ' ap '].map(viewOf)).toEqual(Array(3).fill('frontal'));
    expect(['LPO', 'RAO'].map(viewOf)).toEqual(Array(2).fill('oblique'));
    expect(['', 'XTABLE', 'FLEX'].map(viewOf)).toEqual(Array(3).fill(undefined));
  });
});

describe('a manifest', () => {
  const good = JSON.parse(
    readFileSync(new URL('../../models/lumbar-landmarks/manifest.json', import.meta.url), 'utf8'),
  ) as Record<string, Record<string, unknown>>;
  const faultOf = (edit: (manifest: typeof good) => void): string => {
    const copy = structuredClone(good);
    edit(copy);
    try {
      parseManifest(JSON.stringify(copy), 'models/x/manifest.json');
    } catch (error) {
      expect(error).toMatchObject({ code: 'model.pack-invalid' });
      return (error as Error).message;
    }
    return 'no fault';
  };

  test('of the pack that comes along is good', () => expect(faultOf(() => {})).toBe('no fault'));

  test.each<[string, (manifest: typeof good) => void, string]>([
    ['a version that is none', (m) => Object.assign(m, { version: 'latest' }), 'version: must be a version'],
    ['a modality in lower case', (m) => (m['selection']!['modalities'] = ['dx']), 'selection.modalities.0'],
    ['a region nobody knows', (m) => (m['selection']!['regions'] = ['back']), 'selection.regions.0'],
    ['a short hash', (m) => (m['weights']!['sha256'] = 'abc'), 'weights.sha256: must be 64'],
    ['no limitation at all', (m) => Object.assign(m, { limitations: [] }), 'limitations'],
    [
      'labels that do not match the tensor',
      (m) => (m['outputs']!['landmarks'] = { type: 'float32', shape: ['n', 26, 6], labels: ['one'] }),
      'outputs.landmarks.labels: has 1 names, the axis has 26',
    ],
    [
      'steps in another order',
      (m) => (m['input']!['preprocess'] as unknown[]).unshift({ step: 'both-facings' }),
      'input.preprocess.0: both-facings comes last',
    ],
    [
      'a batch that does not match the steps',
      (m) => {
        (m['input']!['preprocess'] as unknown[]).push({ step: 'both-facings' });
        m['input']!['shape'] = [1, 1, 768, 512];
      },
      'input.shape.0: must be 2',
    ],
    ['an output nobody names', (m) => Object.assign(m, { outputs: {} }), 'outputs: name at least one'],
    [
      'a threshold that is a word',
      (m) => (m['operatingPoints']!['gateLeast'] = { meanPeak: 'low' }),
      'operatingPoints.gateLeast.meanPeak',
    ],
  ])('with %s is refused, naming file and field', (_, edit, words) => {
    const fault = faultOf(edit);
    expect(fault).toContain('models/x/manifest.json');
    expect(fault).toContain(words);
  });
});

describe('findings from a pack', () => {
  const slip = {
    concept: 'spondylolisthesis',
    site: { kind: 'segment', level: 'L4/L5' },
    result: { kind: 'detected', grades: [{ scale: 'Meyerding', value: 'I' }], direction: 'anterior' },
    measurements: [{ quantity: 'slip-percent', value: 18, unit: '%', interval: [14, 22] }],
    summary: 'Suspected L4/L5 anterolisthesis, grade I (18 %, 95 % 14 to 22)',
    evidence: { sopUid: '1.2', frame: 0, shapes: [{ kind: 'line', from: [0, 0], to: [1, 1], label: 'slip' }] },
  };

  test('are accepted when they are whole', () => expect(faultOfDrafts([slip])).toBeUndefined());

  test('may be graded by several scales, measure what no table knows, and say what the answer is made of', () => {
    const fracture = {
      concept: 'vertebral-fracture',
      site: { kind: 'vertebra', level: 'T10' },
      result: {
        kind: 'detected',
        grades: [
          { scale: 'OVF class', value: '2', definition: 'ASTLOF morphology' },
          { scale: 'Genant', value: '3' },
        ],
      },
      measurements: [
        { quantity: 'height-loss', value: 44, unit: '%' },
        { quantity: 'cobb-angle', value: 12, unit: 'deg' },
      ],
      summary: 'Suspected OVF class 2 at T10',
      explanation: { of: 'OVF class 2', bars: [{ label: 'Shape', value: 1.5 }], rest: -0.25 },
    };
    expect(faultOfDrafts([fracture])).toBeUndefined();
  });

  test.each([
    ['nothing', undefined, 'answer'],
    [
      'two grades by one scale',
      [{ ...slip, result: { ...slip.result, grades: [...slip.result.grades, { scale: 'Meyerding', value: 'II' }] } }],
      'twice by one scale',
    ],
    [
      'a quantity that is no code',
      [{ ...slip, measurements: [{ ...slip.measurements[0], quantity: 'Slip %' }] }],
      'quantity',
    ],
    ['a length in percent', [{ ...slip, measurements: [{ ...slip.measurements[0], quantity: 'slip' }] }], 'usual unit'],
    ['a level that does not exist', [{ ...slip, site: { kind: 'segment', level: 'L5/L6' } }], '0.site.level'],
    [
      'an interval the wrong way round',
      [{ ...slip, measurements: [{ ...slip.measurements[0], interval: [22, 14] }] }],
      'from low to high',
    ],
    [
      'an infinite place',
      [
        {
          ...slip,
          evidence: { ...slip.evidence, shapes: [{ kind: 'line', from: [0, Infinity], to: [1, 1], label: 'slip' }] },
        },
      ],
      '0.evidence.shapes.0.from.1',
    ],
    ['a field nobody knows', [{ ...slip, confidence: 0.9 }], 'confidence'],
  ])('are refused with %s', (_, drafts, words) => expect(faultOfDrafts(drafts)).toContain(words));
});
