/** What an EHR says of its authorization server (SMART App Launch 2.2, `.well-known/smart-configuration`). */
import { createRemoteJWKSet } from 'jose';
import { z } from 'zod';
import { WetreadError } from '../domain/errors.ts';
import { askEhr } from './ehr-request.ts';

const httpUrl = z.url({ protocol: /^https?$/ });
const configuration = z.object({
  issuer: z.string().min(1),
  jwks_uri: httpUrl,
  authorization_endpoint: httpUrl,
  token_endpoint: httpUrl,
  code_challenge_methods_supported: z.array(z.string()),
});

export type EhrAuthorization = {
  readonly issuer: string;
  readonly authorizationEndpoint: string;
  readonly tokenEndpoint: string;
  readonly keys: ReturnType<typeof createRemoteJWKSet>;
};

const rememberedMs = 10 * 60_000;

/** Only for issuers on the allow-list: the address comes from a query parameter. */
export function smartDiscovery(now: () => number = Date.now): (iss: string) => Promise<EhrAuthorization> {
  const remembered = new Map<string, { readonly until: number; readonly found: EhrAuthorization }>();
  return async (iss) => {
    const known = remembered.get(iss);
    if (known !== undefined && known.until > now()) return known.found;
    const found = await discover(iss);
    remembered.set(iss, { until: now() + rememberedMs, found });
    return found;
  };
}

async function discover(iss: string): Promise<EhrAuthorization> {
  const { status, body } = await askEhr(`${iss}/.well-known/smart-configuration`, {
    headers: { accept: 'application/json' },
  });
  const parsed = configuration.safeParse(body);
  if (status !== 200 || !parsed.success) {
    throw new WetreadError('smart.authorization-failed', "The EHR's SMART configuration cannot be used.", {
      cause: parsed.error,
    });
  }
  const { issuer, jwks_uri, authorization_endpoint, token_endpoint, code_challenge_methods_supported } = parsed.data;
  if (!code_challenge_methods_supported.includes('S256')) {
    throw new WetreadError('smart.authorization-failed', 'The EHR does not support PKCE with S256.');
  }
  // An EHR reached by https may not send the code or the assertion in the clear.
  const addresses = [jwks_uri, authorization_endpoint, token_endpoint];
  if (iss.startsWith('https:') && addresses.some((address) => !address.startsWith('https:'))) {
    throw new WetreadError('smart.authorization-failed', 'The EHR names an address that is not https.');
  }
  return {
    issuer,
    authorizationEndpoint: authorization_endpoint,
    tokenEndpoint: token_endpoint,
    keys: createRemoteJWKSet(new URL(jwks_uri), { timeoutDuration: 5_000 }),
  };
}
