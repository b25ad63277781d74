/** Checks a JWT's signature with the cheaper of two ways: RSA on the spot, elliptic curves on another thread. */
import { KeyObject, verify, type webcrypto } from 'node:crypto';
import type { CryptoKey } from 'jose';

/** Asymmetric only, and only what the specification recommends unless a site says more: `none` and HMAC cannot be configured. */
export type CdsAlgorithm = 'ES384' | 'RS384' | 'ES256' | 'RS256';

const hashes: Readonly<Record<CdsAlgorithm, string>> = {
  ES384: 'sha384',
  RS384: 'sha384',
  ES256: 'sha256',
  RS256: 'sha256',
};

/** RFC 7518 3.3. */
const shortestRsaBits = 2048;

/** Keys as Node's crypto wants them; a key set hands out the same objects until it is fetched anew. */
const nodeKeys = new WeakMap<CryptoKey, KeyObject>();

function nodeKey(key: CryptoKey): KeyObject {
  const known = nodeKeys.get(key);
  if (known !== undefined) return known;
  const made = KeyObject.from(key as webcrypto.CryptoKey);
  nodeKeys.set(key, made);
  return made;
}

/**
 * `chosen` was picked for `alg` by the key set, so that its kind and curve fit.
 * WebCrypto hands every check to another thread, which costs more than an RSA check itself (25 µs); an ES384 check
 * takes 0.8 ms and would hold up all other answers.
 */
export async function signatureMatches(alg: CdsAlgorithm, chosen: CryptoKey, token: string): Promise<boolean> {
  const lastDot = token.lastIndexOf('.');
  const signed = Buffer.from(token.slice(0, lastDot), 'latin1');
  const signature = Buffer.from(token.slice(lastDot + 1), 'base64url');
  const key = nodeKey(chosen);
  if (alg === 'RS384' || alg === 'RS256') {
    if ((key.asymmetricKeyDetails?.modulusLength ?? 0) < shortestRsaBits) return false;
    return verify(hashes[alg], signed, key, signature);
  }
  return new Promise((resolve) => {
    // A signature of the wrong length is an error to OpenSSL, and to us a signature that does not match.
    verify(hashes[alg], signed, { key, dsaEncoding: 'ieee-p1363' }, signature, (error, matches) =>
      resolve(error === null && matches),
    );
  });
}
