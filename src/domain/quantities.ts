/** What can be measured, in words: names are open, so that a pack may measure what nobody here thought of. */

/** UCUM units that measurements come in; `1` is a ratio. */
export type Unit = '%' | 'mm' | '1' | 'deg';

export type QuantityWords = {
  readonly unit: Unit;
  /** As a chart names it. */
  readonly says: string;
  /** As a card names it; the level stands beside it. */
  readonly short: string;
};

const known = {
  slip: { unit: 'mm', says: 'Slip of the upper vertebra against the lower', short: 'Slip' },
  'slip-percent': {
    unit: '%',
    says: 'Slip in percent of the lower end plate',
    short: 'Slip, as part of the vertebra below',
  },
  'anterior-posterior-height-ratio': {
    unit: '1',
    says: 'Ratio of anterior to posterior vertebral height',
    short: 'Anterior to posterior height',
  },
  'middle-posterior-height-ratio': {
    unit: '1',
    says: 'Ratio of middle to posterior vertebral height',
    short: 'Middle to posterior height',
  },
  'posterior-height-ratio-to-neighbours': {
    unit: '1',
    says: 'Ratio of posterior vertebral height to the neighbours',
    short: 'Posterior height to that of the neighbours',
  },
  'anterior-height': { unit: 'mm', says: 'Anterior vertebral height', short: 'Anterior height' },
  'middle-height': { unit: 'mm', says: 'Middle vertebral height', short: 'Middle height' },
  'posterior-height': { unit: 'mm', says: 'Posterior vertebral height', short: 'Posterior height' },
  'height-loss': {
    unit: '%',
    says: 'Loss of vertebral height against what is usual at the level, at its lowest place',
    short: 'Height loss',
  },
  'anterior-height-loss': {
    unit: '%',
    says: 'Loss of anterior vertebral height against what is usual at the level',
    short: 'Anterior height loss',
  },
  'middle-height-loss': {
    unit: '%',
    says: 'Loss of vertebral height between front and back wall against what is usual at the level',
    short: 'Middle height loss',
  },
  'posterior-height-loss': {
    unit: '%',
    says: 'Loss of posterior vertebral height against what is usual at the level',
    short: 'Posterior height loss',
  },
} as const satisfies Readonly<Record<string, QuantityWords>>;

export type KnownQuantity = keyof typeof known;

/** Lower case words with hyphens: they become codes in the chart. */
export const quantityName = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/;

/** A quantity that the table does not have is called by its own name. */
export function quantityWords(name: string): Omit<QuantityWords, 'unit'> & { readonly unit?: Unit } {
  if (Object.hasOwn(known, name)) return known[name as KnownQuantity];
  const words = name.replaceAll('-', ' ');
  const says = words.charAt(0).toUpperCase() + words.slice(1);
  return { says, short: says };
}
