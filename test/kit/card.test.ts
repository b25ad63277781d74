/** Cards keep the limits of CDS Hooks 2.0.1 or are not made. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findingId, studyUid } from '../../src/domain/ids.ts';
import { cardMaker, shortened, wireCard, type CardDraft } from '../../src/kit/card.ts';
import { prose } from '../../src/kit/markdown.ts';

const one = findingId('0190a6f0-0000-8000-8000-000000000001');
const two = findingId('0190a6f0-0000-8000-8000-000000000002');
const study = studyUid('1.2.3');
const plain: CardDraft = {
  about: { findings: [one], state: 'unreviewed' },
  summary: 'Suspected L4/L5 anterolisthesis',
  indicator: 'info',
  source: { label: 'Wetread' },
};
const card = cardMaker('wetread-patient-view');

describe('card', () => {
  it('has exactly what was said, and a uuid', () => {
    expect(card({ ...plain, detail: prose`Slip ${'18 %'}` }).wire).toEqual({
      uuid: expect.stringMatching(/^[0-9a-f-]{36}$/),
      summary: 'Suspected L4/L5 anterolisthesis',
      indicator: 'info',
      source: { label: 'Wetread' },
      detail: 'Slip 18 %',
    });
  });

  it('is the same card for the same service, findings and state, in whatever order', () => {
    const both = { ...plain, about: { findings: [one, two], state: 'unreviewed' } };
    const turned = { ...plain, about: { findings: [two, one], state: 'unreviewed' }, summary: 'Other words' };
    expect(card(both).wire.uuid).toBe(card(turned).wire.uuid);
  });

  it('is another card for another service, finding, study or state', () => {
    const uuids = [
      card(plain),
      cardMaker('wetread-order-select')(plain),
      card({ ...plain, about: { findings: [two], state: 'unreviewed' } }),
      card({ ...plain, about: { findings: [one], state: 'confirmed' } }),
      card({ ...plain, about: { findings: [one], studies: [study], state: 'unreviewed' } }),
    ].map(({ wire }) => wire.uuid);
    expect(new Set(uuids).size).toBe(5);
  });

  it('cuts a long summary at a word, below 140 characters', () => {
    const { summary } = card({ ...plain, summary: 'Suspected anterolisthesis '.repeat(10) }).wire;
    expect(summary).toBe(`${'Suspected anterolisthesis '.repeat(5).trim()}…`);
    expect(summary.length).toBeLessThan(140);
  });

  it('never makes a summary longer than asked, breaks a character or leaves a line break', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 400 }), fc.integer({ min: 2, max: 139 }), (text, longest) => {
        const cut = shortened(text, longest);
        expect(cut.length).toBeLessThanOrEqual(longest);
        expect(cut.isWellFormed()).toBe(true);
        expect(cut).not.toMatch(/[\n\r\u2028]/);
        const isFitting = text.length <= longest && text.isWellFormed() && !/[\s\p{C}]/u.test(text);
        expect(cut === text || !isFitting).toBe(true);
      }),
    );
  });

  it('leaves out whatever is empty or null', () => {
    const { wire } = card({
      ...plain,
      links: [],
      overrideReasons: [],
      source: { label: 'Wetread', url: '', topic: { code: 'x', display: '' } },
    });
    expect(wire).not.toHaveProperty('links');
    expect(wire).not.toHaveProperty('overrideReasons');
    expect(wire.source).toEqual({ label: 'Wetread', topic: { code: 'x' } });
  });

  const smart = { type: 'smart', label: 'Open', url: 'https://app.example/launch' } as const;
  it.each<[string, Partial<CardDraft> | Record<string, unknown>, RegExp]>([
    ['no summary', { summary: ' \n ' }, /card\.summary/],
    ['an unknown indicator', { indicator: 'hard-stop' }, /card\.indicator/],
    ['no source label', { source: { label: '' } }, /card\.source/],
    ['nothing it speaks of', { about: { state: 'x' } }, /card\.about/],
    ['appContext on an absolute link', { links: [{ ...smart, type: 'absolute', appContext: 'x' }] }, /card\.links\.0/],
    ['a link that is not http', { links: [{ ...smart, url: 'javascript:alert(1)' }] }, /card\.links\.0\.url/],
    ['an override reason without display', { overrideReasons: [{ code: 'x' }] }, /card\.overrideReasons\.0\.display/],
    ['suggestions without selectionBehavior', { suggestions: [{ label: 'x' }] }, /card\.selectionBehavior/],
    ['selectionBehavior without suggestions', { selectionBehavior: 'any' }, /card\.selectionBehavior/],
    [
      'two recommendations where one can be chosen',
      { selectionBehavior: 'at-most-one', suggestions: [1, 2].map(() => ({ label: 'x', isRecommended: true })) },
      /card\.suggestions/,
    ],
    [
      'a delete without resourceId',
      { selectionBehavior: 'any', suggestions: [{ label: 'x', actions: [{ type: 'delete', description: 'x' }] }] },
      /resourceId/,
    ],
    [
      'an update of a resource without id',
      {
        selectionBehavior: 'any',
        suggestions: [
          { label: 'x', actions: [{ type: 'update', description: 'x', resource: { resourceType: 'ServiceRequest' } }] },
        ],
      },
      /resource\.id/,
    ],
  ])('is not made with %s', (_, change, message) => {
    expect(() => card({ ...plain, ...change } as CardDraft)).toThrow(message);
  });

  it('takes suggestions with actions', () => {
    const { wire } = card({
      ...plain,
      selectionBehavior: 'at-most-one',
      suggestions: [
        {
          label: 'Cancel',
          isRecommended: true,
          actions: [{ type: 'delete', description: 'Cancel the order', resourceId: 'ServiceRequest/1' }],
        },
      ],
      links: [{ ...smart, appContext: '{"finding":"1"}' }],
    });
    expect(wireCard.parse(JSON.parse(JSON.stringify(wire)))).toEqual(wire);
  });
});
