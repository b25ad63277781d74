/** Plots as SVG: they print sharply, need no script, and carry their numbers as text. */
import type { Plot } from './report.ts';

const size = 360;
const left = 52;
const bottom = 44;
const top = 12;
const right = 16;
const width = size - left - right;
const height = size - top - bottom;

/** Okabe and Ito's colours, in an order that stays apart in grey print too. */
const colours = [
  '#0072b2',
  '#d55e00',
  '#009e73',
  '#cc79a7',
  '#5b4b00',
  '#56b4e9',
  '#7a3b00',
  '#333333',
  '#b08900',
  '#6a51a3',
];
const dashes = ['', '6 3', '2 3', '8 3 2 3'];

export function plotSvg(plot: Plot): string {
  switch (plot.kind) {
    case 'curve':
      return curve(plot);
    case 'dots':
      return dots(plot);
    case 'matrix':
      return matrix(plot);
  }
}

export const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (sign) => `&#${sign.codePointAt(0)};`);

type Scale = { readonly from: number; readonly to: number };
const unit: Scale = { from: 0, to: 1 };
const placeX = (value: number, { from, to }: Scale): number => left + ((value - from) / (to - from)) * width;
const placeY = (value: number, { from, to }: Scale): number => top + height - ((value - from) / (to - from)) * height;
const round = (value: number): string => value.toFixed(1);

function curve(plot: Extract<Plot, { kind: 'curve' }>): string {
  const xScale = { from: 0, to: plot.longestX ?? 1 };
  const lines = plot.series.map(({ points }, index) => {
    const path = thinned(points)
      .map(([x, y]) => `${round(placeX(x, xScale))},${round(placeY(y, unit))}`)
      .join(' ');
    const dash = dashes[Math.floor(index / colours.length) % dashes.length]!;
    const stroke = `stroke="${colours[index % colours.length]}"${dash ? ` stroke-dasharray="${dash}"` : ''}`;
    const marks =
      points.length > 12
        ? ''
        : points
            .map(
              ([x, y]) =>
                `<circle cx="${round(placeX(x, xScale))}" cy="${round(placeY(y, unit))}" r="3" fill="${colours[index % colours.length]}"/>`,
            )
            .join('');
    return `<polyline fill="none" stroke-width="2" stroke-linejoin="round" ${stroke} points="${path}"/>${marks}`;
  });
  const diagonal = plot.diagonal
    ? `<line class="guide" x1="${left}" y1="${top + height}" x2="${left + width}" y2="${top}"/>`
    : '';
  const marked = plot.marked ? pointer(plot.marked, xScale) : '';
  return figure(
    plot.title,
    axes(plot.x, plot.y, xScale, unit) + diagonal + lines.join('') + marked,
    legend(plot.series.map(({ name }) => name)),
  );
}

function pointer({ at, label }: { at: readonly [number, number]; label: string }, xScale: Scale): string {
  const [x, y] = [placeX(at[0], xScale), placeY(at[1], unit)];
  // The words stand where the curve is not: below and beside, turned inwards at the right edge.
  const anchor = x > left + width * 0.6 ? 'end' : 'start';
  const dx = anchor === 'end' ? -8 : 8;
  return `<circle cx="${round(x)}" cy="${round(y)}" r="5" fill="none" stroke="#111" stroke-width="2"/><text x="${round(x + dx)}" y="${round(Math.min(y + 20, top + height - 6))}" text-anchor="${anchor}">${escapeHtml(label)}</text>`;
}

/** A thousand points look like three hundred, and weigh three times as much. */
function thinned(points: readonly (readonly [number, number])[]): (readonly [number, number])[] {
  const step = Math.ceil(points.length / 400);
  return points.filter((_, index) => index % step === 0 || index === points.length - 1);
}

function dots(plot: Extract<Plot, { kind: 'dots' }>): string {
  const xs = plot.points.map(([x]) => x);
  const ys = plot.points.map(([, y]) => y);
  const whole = niceScale([...xs, ...ys]);
  const [xScale, yScale] = plot.equality ? [whole, whole] : [niceScale(xs), niceScale(ys)];
  const equal = plot.equality
    ? `<line class="guide" x1="${left}" y1="${top + height}" x2="${left + width}" y2="${top}"/>`
    : '';
  const marks = plot.points.map(
    ([x, y]) =>
      `<circle cx="${round(placeX(x, xScale))}" cy="${round(placeY(y, yScale))}" r="2.5" fill="${colours[0]}" fill-opacity=".45"/>`,
  );
  return figure(plot.title, axes(plot.x, plot.y, xScale, yScale) + equal + marks.join(''));
}

function axes(x: string, y: string, xScale: Scale, yScale: Scale): string {
  const ticks = (scale: Scale): number[] =>
    Array.from({ length: 5 }, (_, index) => scale.from + (index * (scale.to - scale.from)) / 4);
  const write = (value: number): string => String(Number(value.toPrecision(3)));
  const vertical = ticks(xScale).map((value) => {
    const at = round(placeX(value, xScale));
    return `<line class="grid" x1="${at}" y1="${top}" x2="${at}" y2="${top + height}"/><text x="${at}" y="${top + height + 18}" text-anchor="middle">${write(value)}</text>`;
  });
  const horizontal = ticks(yScale).map((value) => {
    const at = placeY(value, yScale);
    return `<line class="grid" x1="${left}" y1="${round(at)}" x2="${left + width}" y2="${round(at)}"/><text x="${left - 8}" y="${round(at + 4)}" text-anchor="end">${write(value)}</text>`;
  });
  const names =
    `<text x="${left + width / 2}" y="${size - 6}" text-anchor="middle">${escapeHtml(x)}</text>` +
    `<text transform="translate(12 ${top + height / 2}) rotate(-90)" text-anchor="middle">${escapeHtml(y)}</text>`;
  return vertical.join('') + horizontal.join('') + names;
}

function niceScale(values: readonly number[]): Scale {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const span = high - low || Math.abs(high) || 1;
  const step = 10 ** Math.floor(Math.log10(span)) / 2;
  return { from: Math.floor(low / step) * step, to: Math.ceil(high / step) * step || step };
}

function matrix({ title, labels, counts }: Extract<Plot, { kind: 'matrix' }>): string {
  const rows = labels.map((label, index) => {
    const row = counts[index]!;
    const whole = row.reduce((sum, count) => sum + count, 0);
    const cells = row.map((count, column) => {
      const part = whole === 0 ? 0 : count / whole;
      // Right answers blue, wrong ones orange; the number stands in every cell, so colour is never alone, and never too dark for it.
      const tone = column === index ? '0 114 178' : '213 94 0';
      return `<td style="background:rgb(${tone} / ${(0.6 * part).toFixed(2)})">${count || '·'}</td>`;
    });
    return `<tr><th scope="row">${escapeHtml(label)}</th>${cells.join('')}</tr>`;
  });
  const head = labels.map((label) => `<th scope="col"><span>${escapeHtml(label)}</span></th>`).join('');
  return `<figure class="matrix"><figcaption>${escapeHtml(title)}</figcaption><div class="scroll" tabindex="0" role="group" aria-label="${escapeHtml(title)}"><table><thead><tr><td></td>${head}</tr></thead><tbody>${rows.join('')}</tbody></table></div></figure>`;
}

function figure(title: string, inner: string, below = ''): string {
  return `<figure><figcaption>${escapeHtml(title)}</figcaption><svg viewBox="0 0 ${size} ${size}" role="img" aria-label="${escapeHtml(title)}">${inner}</svg>${below}</figure>`;
}

function legend(names: readonly string[]): string {
  if (names.length < 2) return '';
  const entries = names.map(
    (name, index) => `<li><span style="background:${colours[index % colours.length]}"></span>${escapeHtml(name)}</li>`,
  );
  return `<ul class="legend">${entries.join('')}</ul>`;
}
