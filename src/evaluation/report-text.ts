/** A report as the terminal shows it. */
import { figureText, plainCell, type Cell, type Figure, type Report, type Section } from './report.ts';

export type TextStyle = { readonly bold: (text: string) => string; readonly faint: (text: string) => string };
export const plain: TextStyle = { bold: (text) => text, faint: (text) => text };
export const coloured: TextStyle = {
  bold: (text) => `\u001B[1m${text}\u001B[22m`,
  faint: (text) => `\u001B[2m${text}\u001B[22m`,
};

export function reportText(report: Report, style: TextStyle = plain): string {
  const { data } = report;
  const head = [
    style.bold(report.title),
    ...report.models.map(
      ({ name, version, sha256 }) => `model  ${name} ${version} ${style.faint(sha256.slice(0, 12))}`,
    ),
    `data   ${data.file} ${style.faint(data.sha256.slice(0, 12))}: ${data.images} pictures of ${data.patients} patients, ${data.real} real, ${data.synthetic} synthetic`,
  ];
  const sections = report.sections.map((section) => sectionText(section, style));
  const notes = report.notes.map((note) => style.faint(`· ${note}`));
  return `${[head.join('\n'), ...sections, notes.join('\n')].join('\n\n')}\n`;
}

function sectionText(section: Section, style: TextStyle): string {
  const where = `${section.kind}, ${section.images} pictures, ${section.patients} patients`;
  const width = Math.max(...section.figures.map(({ name }) => name.length), 0);
  return [
    `${style.bold(section.title)} ${style.faint(`[${where}]`)}`,
    style.faint(section.says),
    ...section.figures.map((figure) => `  ${figure.name.padEnd(width)}  ${figureText(figure)}${by(figure, style)}`),
    ...section.tables.flatMap(({ title, columns, rows }) => [
      '',
      `  ${title}`,
      ...tableText(columns, rows).map((line) => `  ${line}`),
    ]),
    ...section.plots.flatMap((plot) =>
      plot.kind === 'matrix' && plot.labels.length <= 12
        ? [
            '',
            `  ${plot.title}`,
            ...tableText(
              ['', ...plot.labels],
              plot.labels.map((label, row) => [label, ...plot.counts[row]!]),
            ).map((line) => `  ${line}`),
          ]
        : [],
    ),
  ].join('\n');
}

const by = ({ by: method, interval }: Figure, style: TextStyle): string =>
  method === undefined || interval === undefined ? '' : style.faint(`  ${method}`);

export const cellText = (cell: Cell): string => (typeof cell === 'object' ? figureText(cell) : plainCell(cell));

export function tableText(columns: readonly string[], rows: readonly (readonly Cell[])[]): string[] {
  const texts = [columns, ...rows.map((row) => row.map(cellText))];
  const widths = columns.map((_, index) => Math.max(...texts.map((row) => row[index]?.length ?? 0)));
  return texts.map((row) =>
    row
      .map((text, index) => text.padEnd(widths[index]!))
      .join('  ')
      .trimEnd(),
  );
}
