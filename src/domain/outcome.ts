/** How the reading of a study ended. There is no fourth way. */
import type { ErrorCode } from './errors.ts';
import type { ReadingId } from './ids.ts';

export type SkipReason = 'no-pack-applies' | 'no-image' | 'unknown-modality';

/** Why a series was or was not given to a pack; shown to whoever asks why a study was not read. */
export type SelectionNote = {
  readonly seriesUid: string;
  readonly pack: string;
  readonly taken: boolean;
  readonly why: string;
};

export type Outcome =
  | {
      readonly kind: 'analysed';
      readonly readings: readonly ReadingId[];
      readonly selection: readonly SelectionNote[];
      readonly packFailures: readonly { readonly pack: string; readonly code: ErrorCode }[];
    }
  | { readonly kind: 'skipped'; readonly reason: SkipReason; readonly selection: readonly SelectionNote[] }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly detail?: string };
