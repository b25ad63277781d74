/** A step of preprocessing as a sentence, for cards and explanations. */
import type { PreprocessStep } from '../../kit/model-pack.ts';

const filters = { area: 'by area', triangle: 'antialiased' } as const;

export function stepInWords(step: PreprocessStep): string {
  switch (step.step) {
    case 'region':
      return `cut out the region the pack names and bring it to ${step.height} × ${step.width} (${filters[step.filter]}, ${step.outside === 'zero' ? 'black' : 'the edge'} beyond the picture)`;
    case 'resample':
      return `bring to pixels of ${step.spacingMm} mm${step.sliceMm === undefined ? '' : ` and slices ${step.sliceMm} mm apart`} (${filters[step.filter]})`;
    case 'orient':
      return `mirror left to right${step.when === 'always' ? '' : ` when the header says ${step.when.replace('laterality-', '')}`}`;
    case 'invert':
      return 'turn black to white';
    case 'window':
      return step.percentiles === undefined
        ? `window ${step.from} to ${step.to}${step.unit === 'HU' ? ' HU' : ''}, stretched to 0 … 1`
        : `window from percentile ${step.percentiles[0]} to ${step.percentiles[1]} of the picture, stretched to 0 … 1`;
    case 'letterbox':
      return `fit into ${step.height} × ${step.width} keeping the aspect, zeros around (${filters[step.filter]})`;
    case 'resize':
      return step.shortestSide === undefined
        ? `resize to ${step.height} × ${step.width} (${filters[step.filter]})`
        : `resize until the shorter side is ${step.shortestSide} (${filters[step.filter]})`;
    case 'centre-crop':
      return `keep the middle ${step.height} × ${step.width}`;
    case 'pad':
      return `pad to ${step.height === undefined ? (step.square === true ? 'a square' : `a multiple of ${step.multipleOf}`) : `${step.height} × ${step.width}`} with ${step.value}`;
    case 'normalise':
      return {
        picture: "subtract the picture's mean and divide by its standard deviation",
        fixed: `subtract ${String(step.mean)} and divide by ${String(step.sd)}`,
        range: "stretch the picture's own range to 0 … 1",
      }[step.by];
    case 'scale':
      return `multiply by ${step.by}${step.plus === 0 ? '' : ` and add ${step.plus}`}`;
    case 'stack':
      return `stack ${step.take === 'all' ? 'all slices' : `${Object.values(step.take)[0]} slices (${Object.keys(step.take)[0]})`} as ${step.as}`;
    case 'both-facings':
      return 'read it twice: as it is, and mirrored left to right';
  }
}
