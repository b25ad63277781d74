/** OAuth 2 client credentials for the archive (RFC 6749 4.4): one token at a time, renewed before it expires. */
import { z } from 'zod';
import { WetreadError } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';
import { textOfBody } from './archive-answer.ts';
import type { ArchiveAuthorization } from './archive-http.ts';
import type { Transport } from './archive-transport.ts';
import { mediaType } from './multipart.ts';

/** How the client proves who it is (RFC 6749 2.3.1, RFC 7523 2.2). */
export type ClientProof =
  | { readonly method: 'client_secret_basic' | 'client_secret_post'; readonly secret: string }
  /** Makes a signed assertion for one use at this token endpoint. */
  | { readonly method: 'private_key_jwt'; assertion(audience: string): Promise<string> };

export type ClientCredentialsOptions = {
  readonly tokenUrl: string;
  readonly clientId: string;
  readonly proof: ClientProof;
  readonly scope?: string | undefined;
  readonly transport: Transport;
  readonly logger: Logger;
  readonly now?: () => number;
};

/** A token is not used in its last seconds: it must still be valid when the request arrives. */
const marginMs = 30_000;
/** RFC 6749 5.1 only recommends `expires_in`. */
const unstatedLifeSeconds = 60;
const maxAnswerBytes = 64 * 1024;

const tokenAnswer = z.looseObject({
  // RFC 6750 2.1: anything else would not survive in a header.
  access_token: z.string().regex(/^[\w.~+/-]+=*$/),
  token_type: z.string().regex(/^bearer$/i),
  expires_in: z.coerce.number().positive().optional(),
});

export function clientCredentials(options: ClientCredentialsOptions): ArchiveAuthorization {
  const { tokenUrl, clientId, transport, logger, now = Date.now } = options;
  let held: { readonly header: string; readonly goodUntil: number } | undefined;
  let renewal: Promise<string> | undefined;

  async function renew(): Promise<string> {
    const asked = now();
    const { headers, form } = await proven(options);
    const answer = await transport(tokenUrl, {
      method: 'POST',
      headers: { ...headers, accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' },
      body: oneChunk(form.toString()),
    });
    const body = jsonOf(await textOfBody(answer, maxAnswerBytes), answer.headers.get('content-type'));
    const token = tokenAnswer.safeParse(body);
    if (answer.status === 200 && token.success) {
      const lifeMs = (token.data.expires_in ?? unstatedLifeSeconds) * 1000;
      const header = `Bearer ${token.data.access_token}`;
      held = { header, goodUntil: asked + lifeMs - Math.min(marginMs, lifeMs / 2) };
      return header;
    }
    const reason = oauthError(body);
    logger.error('no access token for the archive', { status: answer.status, reason, clientId });
    throw new WetreadError(
      answer.status >= 500 || answer.status === 429 ? 'archive.unreachable' : 'archive.refused',
      `the token endpoint answered HTTP ${answer.status} ${reason}`.trim(),
    );
  }

  return {
    async header() {
      if (held !== undefined && now() < held.goodUntil) return held.header;
      // Everybody who needs a token now waits for the same request.
      renewal ??= renew().finally(() => {
        renewal = undefined;
      });
      return renewal;
    },
    refused(header) {
      // Ten requests refused together must not throw away the fresh token that the first of them got.
      if (held?.header === header) held = undefined;
    },
  };
}

async function proven({ tokenUrl, clientId, scope, proof }: ClientCredentialsOptions) {
  const form = new URLSearchParams({ grant_type: 'client_credentials', ...(scope === undefined ? {} : { scope }) });
  const headers: Record<string, string> = {};
  switch (proof.method) {
    case 'client_secret_basic':
      headers['authorization'] =
        `Basic ${Buffer.from(`${formEncoded(clientId)}:${formEncoded(proof.secret)}`).toString('base64')}`;
      break;
    case 'client_secret_post':
      form.set('client_id', clientId);
      form.set('client_secret', proof.secret);
      break;
    case 'private_key_jwt':
      form.set('client_id', clientId);
      form.set('client_assertion_type', 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer');
      form.set('client_assertion', await proof.assertion(tokenUrl));
  }
  return { headers, form };
}

/** RFC 6749 2.3.1: both halves are form-encoded before they become Basic credentials. */
const formEncoded = (text: string): string => new URLSearchParams([['', text]]).toString().slice(1);

async function* oneChunk(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}

function jsonOf(text: string, contentType: string | null): unknown {
  if (!mediaType(contentType ?? 'application/json').endsWith('json')) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** RFC 6749 5.2: a code of letters and underscores; anything else in that place is not repeated. */
function oauthError(body: unknown): string {
  const code = (body as { error?: unknown } | undefined)?.error;
  return typeof code === 'string' && /^[a-z_]{1,40}$/.test(code) ? code : '';
}
