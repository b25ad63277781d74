/** A card's markdown as elements: `marked` reads it, and only what is named here is drawn. HTML in it is shown as text. */
import { lexer, type Token, type Tokens } from 'marked';
import { h } from './dom.ts';

export const markdown = (text: string): HTMLElement => h('div', { class: 'prose' }, blocks(lexer(text)));

function blocks(tokens: readonly Token[]): Node[] {
  return tokens.flatMap((token): Node[] => {
    switch (token.type) {
      case 'space':
      case 'def':
        return [];
      case 'heading':
        return [h('h4', {}, inline(token.tokens))];
      case 'paragraph':
        return [h('p', {}, inline(token.tokens))];
      case 'text':
        return token.tokens === undefined ? [text(token.text)] : inline(token.tokens);
      case 'list': {
        const items = (token as Tokens.List).items.map((item) => h('li', {}, blocks(item.tokens)));
        return [token.ordered === true ? h('ol', {}, items) : h('ul', {}, items)];
      }
      case 'blockquote':
        return [h('blockquote', {}, blocks(token.tokens ?? []))];
      case 'code':
        return [h('pre', {}, h('code', {}, token.text))];
      case 'hr':
        return [h('hr')];
      case 'table':
        return [table(token as Tokens.Table)];
      default:
        return [h('p', {}, token.raw)];
    }
  });
}

function inline(tokens: readonly Token[] = []): Node[] {
  return tokens.map((token): Node => {
    switch (token.type) {
      case 'strong':
        return h('strong', {}, inline(token.tokens));
      case 'em':
        return h('em', {}, inline(token.tokens));
      case 'del':
        return h('del', {}, inline(token.tokens));
      case 'codespan':
        return h('code', {}, token.text);
      case 'br':
        return h('br');
      case 'link':
        return link(token as Tokens.Link);
      case 'text':
      case 'escape':
        return 'tokens' in token && token.tokens !== undefined ? h('span', {}, inline(token.tokens)) : text(token.text);
      default:
        // Pictures would tell another server that this chart was opened; HTML may be anything.
        return text(token.raw);
    }
  });
}

function link({ href, tokens }: Tokens.Link): Node {
  if (!/^https?:\/\//i.test(href)) return h('span', {}, inline(tokens));
  return h('a', { href, target: '_blank', rel: 'noopener noreferrer' }, inline(tokens));
}

function table({ header, rows }: Tokens.Table): Node {
  return h(
    'div',
    { class: 'scroll', tabindex: 0 },
    h(
      'table',
      {},
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          header.map(({ tokens }) => h('th', { scope: 'col' }, inline(tokens))),
        ),
      ),
      h(
        'tbody',
        {},
        rows.map((row) =>
          h(
            'tr',
            {},
            row.map(({ tokens }) => h('td', {}, inline(tokens))),
          ),
        ),
      ),
    ),
  );
}

/** The lexer leaves entities as they were written. */
function text(raw: string): Text {
  const entities: Readonly<Record<string, string>> = {
    '&amp;': '&',
    '&lt;': '<',
    '&gt;': '>',
    '&quot;': '"',
    '&#39;': "'",
    '&nbsp;': '\u00a0',
  };
  return document.createTextNode(
    raw.replaceAll(/&(amp|lt|gt|quot|nbsp|#39);/g, (entity) => entities[entity] ?? entity),
  );
}
