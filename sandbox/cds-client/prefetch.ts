/** Prefetch templates of a service, filled with what the chart holds (CDS Hooks 2.0.1, "Prefetch Template"). */
import { getStatus, OperationOutcomeError, parseSearchRequest } from '@medplum/core';
import type { Resource } from '@medplum/fhirtypes';
import type { ChartRepository } from '../fhir/repository.ts';

export type HookContext = Readonly<Record<string, unknown>> & { readonly userId: string; readonly patientId: string };

/** A key is left out when it cannot be provided; null says that the chart has no such resource. */
export async function prefetched(
  templates: Readonly<Record<string, string>>,
  context: HookContext,
  charts: ChartRepository,
): Promise<Record<string, Resource | null>> {
  const filled: Record<string, Resource | null> = {};
  for (const [key, template] of Object.entries(templates)) {
    const query = filledIn(template, context);
    const data = query === undefined ? undefined : await answerTo(query, charts);
    if (data !== undefined) filled[key] = data;
  }
  return filled;
}

function filledIn(template: string, context: HookContext): string | undefined {
  let complete = true;
  const query = template.replaceAll(/\{\{\s*([\w.]+)\s*\}\}/g, (_, token: string) => {
    const value = valueOf(token, context);
    if (typeof value === 'string') return encodeURIComponent(value).replaceAll('%2F', '/');
    complete = false;
    return '';
  });
  return complete ? query : undefined;
}

function valueOf(token: string, context: HookContext): unknown {
  if (token.startsWith('context.')) return context[token.slice('context.'.length)];
  const [userType, userId] = context.userId.split('/');
  const tokenType = {
    userPractitionerId: 'Practitioner',
    userPractitionerRoleId: 'PractitionerRole',
    userPatientId: 'Patient',
  }[token];
  return tokenType === userType ? userId : undefined;
}

async function answerTo(query: string, charts: ChartRepository): Promise<Resource | null | undefined> {
  try {
    if (query.includes('?')) return await charts.search(parseSearchRequest(query));
    const [type = '', id = ''] = query.split('/');
    return await charts.readResource(type, id);
  } catch (error) {
    if (!(error instanceof OperationOutcomeError)) throw error;
    return [404, 410].includes(getStatus(error.outcome)) ? null : undefined;
  }
}
