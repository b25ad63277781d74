/** What the three processes of the ct-memory bench call the same. */
export const ctStudy = '1.2.826.0.1.3680043.10.511.8800';
/** All of one length: one is written over the other. */
export const ctSeries = { plain: `${ctStudy}.1`, compressed: `${ctStudy}.2`, enhanced: `${ctStudy}.3` } as const;

export type CtArchive = { readonly baseUrl: string };
export type CtFetched = {
  readonly pictures: number;
  readonly seconds: number;
  /** High-water mark of the resident memory, decoding threads included. */
  readonly peakMb: number;
  /** Of the same process before the first byte was asked for. */
  readonly startMb: number;
  readonly meanGrey: number;
};
