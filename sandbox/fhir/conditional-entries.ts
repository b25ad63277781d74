/**
 * Conditions in a transaction, decided before it runs. The router decides them too, but refuses more than eight
 * entries beside a condition: it thinks of a database that others write to, and here nobody else writes meanwhile.
 */
import { badRequest, multipleMatches, OperationOutcomeError, parseSearchRequest, type WithId } from '@medplum/core';
import type { Bundle, BundleEntry, Resource } from '@medplum/fhirtypes';
import type { ChartRepository } from './repository.ts';

/** The same bundle without `ifNoneExist` and without `PUT Type?query`; references to what exists already point there. */
export async function withoutConditions(bundle: Bundle, draft: ChartRepository): Promise<Bundle> {
  const seen = new Set<string>();
  const existing = new Map<string, string>();
  const entry: BundleEntry[] = [];
  for (const one of bundle.entry ?? []) {
    const condition = conditionOf(one);
    if (condition === undefined) {
      entry.push(one);
      continue;
    }
    if (seen.has(condition))
      throw new OperationOutcomeError(badRequest(`Two entries under the same condition: ${condition}`));
    seen.add(condition);
    const match = await only(condition, draft);
    if (match !== undefined && one.fullUrl !== undefined)
      existing.set(one.fullUrl, `${match.resourceType}/${match.id}`);
    entry.push(decided(one, match));
  }
  return existing.size === 0 ? { ...bundle, entry } : pointedAt({ ...bundle, entry }, existing);
}

function conditionOf({ request }: BundleEntry): string | undefined {
  if (request?.method === 'POST' && request.ifNoneExist !== undefined) return `${request.url}?${request.ifNoneExist}`;
  return request?.method === 'PUT' && request.url.includes('?') ? request.url : undefined;
}

async function only(condition: string, draft: ChartRepository): Promise<WithId<Resource> | undefined> {
  const matches = await draft.searchResources({ ...parseSearchRequest(condition), count: 2 });
  if (matches.length > 1) throw new OperationOutcomeError(multipleMatches);
  return matches[0];
}

function decided(entry: BundleEntry, match: WithId<Resource> | undefined): BundleEntry {
  const { ifNoneExist: _decided, ...request } = entry.request!;
  const url = match === undefined ? request.url.split('?')[0]! : `${match.resourceType}/${match.id}`;
  if (match === undefined) return { ...entry, request: { ...request, method: 'POST', url } };
  // A conditional create that finds one answers 200 with it, as a read does.
  if (request.method === 'POST') return { request: { method: 'GET', url } };
  return { ...entry, request: { ...request, url }, resource: { ...entry.resource!, id: match.id } };
}

function pointedAt<Value>(value: Value, places: ReadonlyMap<string, string>): Value {
  if (typeof value === 'string') return (places.get(value) ?? value) as Value;
  if (Array.isArray(value)) return value.map((item) => pointedAt(item, places)) as Value;
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, child]) => [name, name === 'fullUrl' ? child : pointedAt(child, places)]),
  ) as Value;
}
