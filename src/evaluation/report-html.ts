/** A report as one page that needs nothing else: it can be mailed, printed, and opened in ten years. */
import { escapeHtml, plotSvg } from './plot-svg.ts';
import { figureText, plainCell, type Cell, type Figure, type Report, type Section, type Table } from './report.ts';

const css = `
:root{color-scheme:light;--ink:#16262b;--quiet:#47565b;--line:#d3dadb;--accent:#0a5a69;--synthetic:#744600;--synthetic-soft:#fdf2da;--real:#164a8a;--real-soft:#e7effa;font:100%/1.5 system-ui,'Segoe UI',sans-serif;color:var(--ink);background:#f2f4f4}
*{box-sizing:border-box}body{margin:0}main{max-width:72rem;margin:0 auto;padding:32px 24px 64px;background:#fff;min-height:100vh}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 8px}h2{font-size:1.125rem;margin:0}h3{font-size:1rem;margin:24px 0 8px}
p{margin:0;max-width:46rem}.quiet,figcaption,.says{color:var(--quiet)}
section{border-top:1px solid var(--line);padding-top:24px;margin-top:32px}
.kind{display:inline-block;border:1px solid;border-radius:4px;padding:0 8px;font-size:.8125rem;font-weight:600;margin-inline-end:8px;vertical-align:2px}
.synthetic{color:var(--synthetic);background:var(--synthetic-soft)}.real{color:var(--real);background:var(--real-soft)}
.head{display:flex;flex-wrap:wrap;gap:4px 12px;align-items:baseline}.head .quiet{font-size:.8125rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.8125rem}th,td{text-align:start;padding:6px 16px 6px 0;border-top:1px solid var(--line);vertical-align:top;font-weight:400}thead th{border-top:0;color:var(--quiet)}tbody th{font-weight:400}
.scroll{overflow-x:auto}.value{font-weight:600;white-space:nowrap}.range{color:var(--quiet);white-space:nowrap}
.plots{display:flex;flex-wrap:wrap;gap:24px;margin-top:24px}figure{margin:0;width:min(100%,22.5rem);break-inside:avoid}figcaption{font-size:.8125rem;margin-bottom:4px;overflow-wrap:anywhere}
svg{display:block;width:100%;font:12px system-ui,sans-serif;fill:var(--ink)}svg .grid{stroke:#e3e8e9}svg .guide{stroke:#74858a;stroke-dasharray:4 4}
figure.matrix{width:auto;max-width:100%}.matrix td,.matrix thead th{text-align:center;padding:6px 10px;border:1px solid #fff}.matrix thead th span{writing-mode:vertical-rl;rotate:180deg;text-align:start}.matrix tbody th{padding-inline-end:12px;white-space:nowrap}
.legend{list-style:none;margin:4px 0 0;padding:0;font-size:.8125rem;display:flex;flex-wrap:wrap;gap:4px 16px}.legend span{display:inline-block;width:16px;height:3px;vertical-align:middle;margin-inline-end:6px}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(14rem,1fr));gap:16px;margin-top:24px}.pictures figure{width:auto;min-width:0}.pictures img{width:100%;display:block;background:#000}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 16px;margin:16px 0 0;font-size:.8125rem}dt{color:var(--quiet)}dd{margin:0;overflow-wrap:anywhere}
.notes{margin:16px 0 0;padding:12px 16px;border-inline-start:3px solid #cf8f1c;background:var(--synthetic-soft)}.notes li{margin:4px 0}.notes ul{margin:0;padding-inline-start:16px}
@media (max-width:40rem){main{padding:16px}dl{grid-template-columns:1fr}dt{margin-top:8px}}
@media print{:root{background:#fff}main{padding:0;max-width:none}section{break-inside:auto}h2,h3{break-after:avoid}}`;

export function reportHtml(report: Report): string {
  const { title, data, models, madeAt, wetread } = report;
  const facts: [string, string][] = [
    ...models.flatMap((model): [string, string][] => [
      ['model', `${model.name} ${model.version}, sha256 ${model.sha256}`],
      ...(model.trainedOn ? ([['trained on', model.trainedOn]] as [string, string][]) : []),
      ...(model.intendedUse ? ([['intended use', model.intendedUse]] as [string, string][]) : []),
      ...(model.executionProvider ? ([['ran on', model.executionProvider]] as [string, string][]) : []),
    ]),
    ['data', `${data.file}, sha256 ${data.sha256}`],
    ...(data.picturesSha256
      ? ([['pictures', `sha256 of all, in order: ${data.picturesSha256}`]] as [string, string][])
      : []),
    ['size', `${data.images} pictures of ${data.patients} patients: ${data.real} real, ${data.synthetic} synthetic`],
    ['made', `${madeAt} with Wetread ${wetread}`],
  ];
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${css}</style>
<main>
<h1>${escapeHtml(title)}</h1>
<div class="notes"><ul>${report.notes.map((note) => `<li>${escapeHtml(note)}</li>`).join('')}</ul></div>
<dl>${facts.map(([name, text]) => `<dt>${escapeHtml(name)}</dt><dd>${escapeHtml(text)}</dd>`).join('')}</dl>
${report.sections.map(sectionHtml).join('\n')}
</main>
</html>
`;
}

function sectionHtml({ title, kind, says, images, patients, figures, tables, plots, pictures }: Section): string {
  return `<section>
<div class="head"><h2><span class="kind ${kind}">${kind}</span>${escapeHtml(title)}</h2><span class="quiet">${images} pictures of ${patients} patients</span></div>
<p class="says">${escapeHtml(says)}</p>
${figures.length === 0 ? '' : figuresHtml(figures)}
${tables.map(tableHtml).join('')}
${plots.length === 0 ? '' : `<div class="plots">${plots.map(plotSvg).join('')}</div>`}
${pictures === undefined || pictures.length === 0 ? '' : `<div class="pictures">${pictures.map(({ caption, pngBase64 }) => `<figure><img src="data:image/png;base64,${pngBase64}" alt="${escapeHtml(caption)}"><figcaption>${escapeHtml(caption)}</figcaption></figure>`).join('')}</div>`}
</section>`;
}

function figuresHtml(figures: readonly Figure[]): string {
  const rows = figures.map((figure) => {
    const [value, range] = splitText(figure);
    const method = figure.interval === undefined ? '' : (figure.by ?? '');
    return `<tr><th scope="row">${escapeHtml(figure.name)}</th><td class="value">${value}</td><td class="range">${range}</td><td class="quiet">${method}</td></tr>`;
  });
  return `<h3>Figures</h3><div class="scroll" tabindex="0" role="group" aria-label="Figures"><table><thead><tr><th scope="col">figure</th><th scope="col">value</th><th scope="col">95 % interval; count</th><th scope="col">interval by</th></tr></thead><tbody>${rows.join('')}</tbody></table></div>`;
}

function tableHtml({ title, columns, rows }: Table): string {
  const head = columns.map((column) => `<th scope="col">${escapeHtml(column)}</th>`).join('');
  const body = rows.map((row) => `<tr>${row.map(cellHtml).join('')}</tr>`).join('');
  return `<h3>${escapeHtml(title)}</h3><div class="scroll" tabindex="0" role="group" aria-label="${escapeHtml(title)}"><table><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table></div>`;
}

function cellHtml(cell: Cell, index: number): string {
  if (typeof cell !== 'object')
    return index === 0
      ? `<th scope="row">${escapeHtml(plainCell(cell))}</th>`
      : `<td>${escapeHtml(plainCell(cell))}</td>`;
  const [value, range] = splitText(cell);
  return `<td><span class="value">${value}</span>${range === '' ? '' : ` <span class="range">${range}</span>`}</td>`;
}

/** The number, and what stands in brackets behind it. */
function splitText(figure: Figure): [value: string, range: string] {
  const text = escapeHtml(figureText(figure));
  const bracket = text.indexOf(' (');
  return bracket < 0 ? [text, ''] : [text.slice(0, bracket), text.slice(bracket + 2, -1)];
}
