/** Markdown of cards: what is filled in stays text. */
import * as fc from 'fast-check';
import { marked } from 'marked';
import { describe, expect, it } from 'vitest';
import { bullets, prose, paragraphs, type Markdown } from '../../src/kit/markdown.ts';

const rendered = (text: Markdown): string => marked.parse(text.text, { async: false, gfm: true });
const tags = (html: string): string[] => [...html.matchAll(/<\/?([a-z0-9]+)/gi)].map(([, name]) => name!.toLowerCase());

describe('markdown', () => {
  it.each([
    '[click](javascript:alert(1))',
    '![x](http://evil.example/pixel.png)',
    '<script>alert(1)</script>',
    '<img src=x onerror=alert(1)>',
    'https://evil.example/',
    'www.evil.example',
    'someone@evil.example',
    '**bold** _slanted_ ~~gone~~ `code`',
    '# heading\n\n- list\n\n> quote\n\n```\ncode\n```',
    '| a | b |\n|---|---|\n| 1 | 2 |',
    '&lt;script&gt;',
    '1. one',
    'a\u2028b\u0000c',
  ])('shows %j as plain text in one paragraph', (hostile) => {
    expect(tags(rendered(prose`Study: ${hostile}`))).toEqual(['p', 'p']);
  });

  it('lets no filled-in text draw anything', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'grapheme' }),
          fc.string({ unit: fc.constantFrom(...'[]()<>!*_`#|~\\&@:/.-+=1) \nwhtps') }),
        ),
        (text) => {
          expect(tags(rendered(prose`Study: ${text}.`))).toEqual(['p', 'p']);
          expect(tags(rendered(prose`${text}`)).filter((tag) => tag !== 'p')).toEqual([]);
          expect(tags(rendered(bullets([prose`${text}`]))).filter((tag) => tag !== 'ul' && tag !== 'li')).toEqual([]);
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('keeps a list together whose words end in a wide space', () => {
    expect(tags(rendered(bullets([prose`${'wide\u2000'}`, prose`b`])))).toEqual(['ul', 'li', 'li', 'li', 'li', 'ul']);
  });

  it('leaves ordinary words as they are, for clients that do not render markdown', () => {
    const words = 'Slip: 6.0 mm (95 % interval 5.0 to 7.0 mm), L4/L5; read on 21 Nov 2026 - grade II.';
    expect(prose`${words}`.text).toBe(words);
  });

  it('keeps the words that were filled in', () => {
    expect(rendered(prose`**Slip** ${'18 % (95 % interval 14 to 22 %), L4/L5'}`).trim()).toBe(
      '<p><strong>Slip</strong> 18 % (95 % interval 14 to 22 %), L4/L5</p>',
    );
  });

  it('keeps markdown inside markdown, and joins paragraphs and lists', () => {
    const html = rendered(paragraphs([prose`**a**`, bullets([prose`${'x*y*'}`, prose`z`])]));
    expect(html).toContain('<p><strong>a</strong></p>');
    expect(html).toContain('<li>x*y*</li>');
    expect(html).toContain('<li>z</li>');
  });

  it('refuses an object that only looks like markdown', () => {
    const forged = JSON.parse('{"text":"[click](http://evil.example)"}') as Markdown;
    expect(() => prose`${forged}`).toThrow(/use prose/);
  });
});
