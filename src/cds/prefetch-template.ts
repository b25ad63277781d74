/** Prefetch templates: `Patient/{{context.patientId}}` with a request's values filled in (CDS Hooks 2.0.1, "Prefetch Template"). */
import type { HookName } from '../kit/hook-context.ts';
import { hookContexts } from '../kit/hook-context.ts';

const token = /\{\{\s*([^{}]*?)\s*\}\}/g;

/** Tokens that stand for the user, by the kind of user the token is for. */
const userTokens: ReadonlyMap<string, string> = new Map([
  ['userPractitionerId', 'Practitioner'],
  ['userPractitionerRoleId', 'PractitionerRole'],
  ['userPatientId', 'Patient'],
  ['userRelatedPersonId', 'RelatedPerson'],
]);

/** What is wrong with a template, or undefined. Checked once, at the start. */
export function faultOfTemplate(query: string, hook: HookName): string | undefined {
  // Relative, and either one resource or a search of one type: nothing that could leave the client's FHIR server.
  if (!/^[A-Z][A-Za-z]+(\/[^?/#]+|\?[^#]+)$/.test(query) && !/^\{\{context\.\w+\}\}$/.test(query)) {
    return 'is neither Type/id nor Type?search';
  }
  for (const [, name = ''] of query.matchAll(token)) {
    const field = /^context\.(\w+)$/.exec(name)?.[1];
    const known = field === undefined ? userTokens.has(name) : Object.hasOwn(hookContexts[hook].shape, field);
    if (!known) return `{{${name}}} is not known to ${hook}`;
  }
  return query.replace(token, '').includes('{{') ? 'has an open {{' : undefined;
}

/** The query with this request's values; undefined when a token has none (no encounter, or a user of another kind). */
export function filledIn(query: string, context: Readonly<Record<string, unknown>>): string | undefined {
  let missing = false;
  const text = query.replace(token, (_, name: string) => {
    const value = valueOf(name, context);
    if (value === undefined) missing = true;
    return value ?? '';
  });
  return missing ? undefined : text;
}

function valueOf(name: string, context: Readonly<Record<string, unknown>>): string | undefined {
  const type = userTokens.get(name);
  if (type !== undefined) {
    const [userType, id] = String(context['userId'] ?? '').split('/');
    return userType === type ? encoded(id) : undefined;
  }
  return encoded(context[name.slice('context.'.length)]);
}

/** Only plain values at the root of the context may be used; what they hold cannot add a path or a parameter. */
function encoded(value: unknown): string | undefined {
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') return undefined;
  const text = String(value);
  if (text === '' || text.split('/').some((part) => part === '.' || part === '..')) return undefined;
  // `Practitioner/123` is a value of context.userId: its slash stays.
  return encodeURIComponent(text).replaceAll('%2F', '/');
}
