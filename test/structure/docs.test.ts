/** The docs: pages made from code are fresh, and links inside the repository lead somewhere. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { generatedDocs } from '../../scripts/generated-docs.ts';

const root = join(import.meta.dirname, '../..');

describe('the docs', () => {
  test.each(Object.entries(generatedDocs))(
    '%s is what the code says (node scripts/generated-docs.ts writes it)',
    (file, page) => {
      expect(readFileSync(join(root, file), 'utf8')).toBe(page());
    },
  );

  test('have no dead link inside the repository', () => {
    const pages = globSync(['*.md', '{docs,models,sandbox,training,test,bench}/**/*.md'], { cwd: root });
    const dead = pages.flatMap((page) =>
      [...readFileSync(join(root, page), 'utf8').matchAll(/\]\((?!https?:|#|mailto:)([^)\s#]+)/g)]
        .map(([, target]) => target!)
        .filter((target) => !existsSync(join(root, dirname(page), target)))
        .map((target) => `${page} → ${target}`),
    );
    expect(pages.length).toBeGreaterThan(8);
    expect(dead).toEqual([]);
  });
});
