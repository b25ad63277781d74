/** A file's reading as somebody at a terminal reads it: the suspicion first, then what was measured, then what was not read. */
import { isSuspicion, type FindingDraft } from '../../domain/finding.ts';
import { trueMinus } from '../../domain/true-minus.ts';
import type { FileReading, PackReading } from './reading.ts';

export function inWords({ file, slices, notRead: leftBy = [], pictures, error }: FileReading): string {
  if (error !== undefined) return `${file}\n  ✗ ${error.message}\n    ${error.next} (${error.code})`;
  if (pictures.length === 0) return [file, '  – no pack applies:', ...leftBy.map(leftInWords)].join('\n');
  return pictures
    .map(({ frame, rows, columns, spacing, readings, notRead, failures }) => {
      const place =
        slices !== undefined ? `, ${slices.length} slices` : pictures.length > 1 ? `  frame ${frame + 1}` : '';
      const size = `${columns} × ${rows}${spacing === undefined ? ', pixel size unknown' : `, ${spacing.rowMm} mm`}`;
      return [
        `${file}${place}  (${size})`,
        ...readings.flatMap(readingInWords),
        ...failures.map(({ pack, message, next, code }) => `  ✗ ${pack}: ${message}\n    ${next} (${code})`),
        // Why each pack did not read it is of interest when none did.
        ...(readings.length + failures.length === 0 ? ['  – no pack applies:', ...notRead.map(leftInWords)] : []),
      ].join('\n');
    })
    .join('\n');
}

const leftInWords = ({ pack, why }: { readonly pack: string; readonly why: string }) => `    ${pack}: ${why}`;

function readingInWords({ pack, title, version, demonstration, findings, runMs }: PackReading): string[] {
  const order = (one: FindingDraft): number =>
    isSuspicion(one) ? 0 : one.result.kind === 'not-assessable' ? 1 : one.result.kind === 'measured' ? 3 : 2;
  const marks = { detected: '▲', 'not-detected': ' ', measured: ' ', 'not-assessable': '–' } as const;
  return [
    `  ${title} ${version} (${pack})${demonstration ? ', demonstration model' : ''}, ${Math.round(runMs)} ms; AI suggestion, not reviewed`,
    ...findings
      .toSorted((a, b) => order(a) - order(b))
      .map((one) => `  ${marks[one.result.kind]} ${trueMinus(one.summary)}`),
  ];
}
