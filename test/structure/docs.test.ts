/** The docs: pages made from code are fresh, and links inside the repository lead somewhere. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readableTransferSyntaxes } from '../../src/dicom/decode/index.ts';
import { errorTable } from '../../src/domain/errors.ts';
import { generatedDocs } from '../../scripts/generated-docs.ts';

const root = join(import.meta.dirname, '../..');

describe('the docs', () => {
  test.each(Object.entries(generatedDocs))(
    '%s is what the code says (node scripts/generated-docs.ts writes it)',
    (file, page) => {
      expect(readFileSync(join(root, file), 'utf8')).toBe(page());
    },
  );

  test('name exactly the transfer syntaxes that are read, and only errors that exist, with whether they are tried again', () => {
    const page = readFileSync(join(root, 'docs/conformance.md'), 'utf8');
    const named = [...page.matchAll(/^\|.+\| (1\.2\.840\.10008\.1\.2\S*) \|$/gm)].map(([, uid]) => uid!);
    expect(named.toSorted()).toEqual([...readableTransferSyntaxes].toSorted());
    const codes = [...page.matchAll(/`((?:archive|cds|dicom|request)\.[a-z-]+)`/g)].map(([, code]) => code!);
    expect(codes.length).toBeGreaterThan(15);
    expect(codes.filter((code) => !(code in errorTable))).toEqual([]);
    const retries = [...page.matchAll(/\| `(archive\.[a-z-]+)` \| (yes|no)\b/g)];
    expect(retries).toHaveLength(7);
    for (const [, code, again] of retries)
      expect({ code, again }).toEqual({
        code,
        again: errorTable[code as keyof typeof errorTable].retry ? 'yes' : 'no',
      });
    const statuses = [...page.matchAll(/\| (\d{3}) \| `([a-z.-]+)` \|$/gm)];
    expect(statuses).toHaveLength(8);
    for (const [, status, code] of statuses)
      expect({ code, status }).toEqual({ code, status: String(errorTable[code as keyof typeof errorTable].status) });
  });

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
