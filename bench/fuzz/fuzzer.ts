/** What one file of this folder offers: damaged inputs of one format, and a judgement of what became of each. */
import { WetreadError } from '../../src/domain/errors.ts';

/**
 * `refused`: by an error of the table. `same`: read, and as before the damage. `other`: read, and what is different is what the damage
 * says, as an independent reader confirms; `unproven` where no independent reader could say (bytes inside a lossy codestream).
 */
export type Verdict =
  | { readonly kind: 'refused'; readonly code: string }
  | { readonly kind: 'same' | 'other' | 'unproven' }
  | { readonly kind: 'fault'; readonly what: string };

export type Fuzzer = {
  readonly name: string;
  /** How many inputs make up a whole run. */
  readonly inputs: number;
  /** The same seed makes the same input. */
  attempt(seed: number): Promise<Verdict>;
  /** The input itself, for whoever looks into a fault. */
  input(seed: number): { readonly about: string; readonly bytes: Uint8Array };
};

export const fault = (what: string): Verdict => ({ kind: 'fault', what });

/** Errors of the table whose code begins with one of these are what a damaged input may end in; anything else thrown is a fault. */
export function refusal(thrown: unknown, allowed: readonly string[]): Verdict {
  if (thrown instanceof WetreadError && allowed.some((prefix) => thrown.code.startsWith(prefix)))
    return { kind: 'refused', code: thrown.code };
  return fault(`threw ${thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)}`);
}
