/** The public keys of one CDS client, fetched when needed and not more often than that. */
import { createLocalJWKSet, errors, type CryptoKey, type JSONWebKeySet, type JWSHeaderParameters } from 'jose';
import { WetreadError } from '../domain/errors.ts';
import { boundedJson, type Fetch } from './bounded-json.ts';

export type KeySet = {
  /** Throws `cds.token-invalid` for a key the client does not have, `cds.keys-unavailable` when nobody can say. */
  keyFor(header: JWSHeaderParameters): Promise<CryptoKey>;
  /** Fetches again, unless that was done a moment ago. True when the keys are new. */
  refresh(): Promise<boolean>;
};

/** Keys are asked for again after this long, so that a withdrawn key stops working. */
const maxAgeMs = 10 * 60_000;
/** Tokens with invented key ids do not make us hammer the client's server. */
const cooldownMs = 30_000;
/** After a failure: soon enough for a client that is just starting. */
const retryMs = 2_000;
const timeoutMs = 3_000;
const maxBytes = 256 * 1024;

export function keySetAt(url: string, { fetch, now }: { readonly fetch: Fetch; readonly now: () => number }): KeySet {
  let keys: ReturnType<typeof createLocalJWKSet> | undefined;
  let fetchedAt = -Infinity;
  let failedAt = -Infinity;
  let underWay: Promise<void> | undefined;

  const load = async (): Promise<void> => {
    try {
      const { status, body } = await boundedJson(url, {
        fetch,
        headers: { accept: 'application/jwk-set+json, application/json' },
        maxBytes,
        signal: AbortSignal.timeout(timeoutMs),
      });
      if (status !== 200) throw new Error(`status ${status}`);
      keys = createLocalJWKSet(body as JSONWebKeySet);
      fetchedAt = now();
    } catch (cause) {
      failedAt = now();
      throw new WetreadError('cds.keys-unavailable', undefined, { cause });
    }
  };
  const fetchOnce = (): Promise<void> => (underWay ??= load().finally(() => (underWay = undefined)));

  const refresh = async (): Promise<boolean> => {
    if (now() - fetchedAt < cooldownMs || now() - failedAt < retryMs) return false;
    await fetchOnce();
    return true;
  };

  const current = async (): Promise<NonNullable<typeof keys>> => {
    if (keys !== undefined && now() - fetchedAt < maxAgeMs) return keys;
    if (underWay === undefined && now() - failedAt < retryMs) throw new WetreadError('cds.keys-unavailable');
    await fetchOnce();
    return keys!;
  };

  const keyFor = async (header: JWSHeaderParameters): Promise<CryptoKey> => {
    const known = await current();
    try {
      return await known(header);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || !(await refresh())) throw unknownKey(error);
      return keys!(header).catch((again: unknown) => {
        throw unknownKey(again);
      });
    }
  };

  return { keyFor, refresh };
}

const unknownKey = (cause: unknown): WetreadError =>
  new WetreadError('cds.token-invalid', 'kid: no such key', { cause });
