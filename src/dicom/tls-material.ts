/** The certificates that a connection to the archive is made with, read from files and checked before the first request. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { WetreadError } from '../domain/errors.ts';

export type TlsMaterial = {
  /** Instead of the authorities that Node trusts: whoever names its own wants no other. */
  readonly ca?: string | string[];
  readonly cert?: string;
  readonly key?: string;
};

/** `names` are those of the settings, for the messages. Throws `config.invalid`. */
export function readTlsMaterial(
  files: { readonly ca?: string | undefined; readonly cert?: string | undefined; readonly key?: string | undefined },
  names: { readonly ca: string; readonly cert: string; readonly key: string },
): TlsMaterial {
  if ((files.cert === undefined) !== (files.key === undefined))
    throw new WetreadError('config.invalid', `${names.cert} and ${names.key} go together`);
  const read = (what: 'ca' | 'cert' | 'key', path: string) => {
    try {
      return readFileSync(path, 'utf8');
    } catch (cause) {
      throw new WetreadError('config.invalid', `${names[what]} cannot be read`, { cause });
    }
  };
  const certificate = (what: 'ca' | 'cert', path: string) => {
    const text = read(what, path);
    try {
      return { text, first: new X509Certificate(text) };
    } catch (cause) {
      throw new WetreadError('config.invalid', `${names[what]} holds no certificate in PEM`, { cause });
    }
  };
  const ca = files.ca === undefined ? {} : { ca: certificate('ca', files.ca).text };
  if (files.cert === undefined || files.key === undefined) return ca;
  const own = certificate('cert', files.cert);
  const key = read('key', files.key);
  let fits;
  try {
    fits = own.first.checkPrivateKey(createPrivateKey(key));
  } catch {
    // Without its cause, which may quote the key.
    throw new WetreadError('config.invalid', `${names.key} holds no private key in PEM without a passphrase`);
  }
  if (!fits) throw new WetreadError('config.invalid', `${names.key} is not the key of ${names.cert}`);
  return { ...ca, cert: own.text, key };
}
