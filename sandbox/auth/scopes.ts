/** Which of the asked scopes a client gets. */
import { readScope } from '../fhir/access.ts';
import { OAuthError } from './oauth-error.ts';
import type { Client } from './clients.ts';

/** RFC 6749, 3.3: a server may grant less than was asked, and then says so. Nothing at all is an error. */
export function grantedScopes(asked: string, client: Client): string {
  const granted = [...new Set(asked.split(' ').filter(Boolean))].filter((scope) =>
    client.scopes.some((limit) => within(scope, limit)),
  );
  if (granted.length === 0) throw new OAuthError('invalid_scope', 'none of these scopes is registered for this client');
  return granted.join(' ');
}

function within(scope: string, limit: string): boolean {
  if (scope === limit) return true;
  const [asked, allowed] = [readScope(scope), readScope(limit)];
  if (asked === undefined || allowed === undefined) return false;
  return (
    asked.level === allowed.level &&
    (allowed.type === '*' || allowed.type === asked.type) &&
    [...asked.letters].every((letter) => allowed.letters.includes(letter))
  );
}
