/** What a resource must be like before the hospital keeps it: R4's structure and codes, no empty values, no script in the narrative. */
import { OperationOutcomeError, validateResource } from '@medplum/core';
import type { OperationOutcomeIssue, Resource } from '@medplum/fhirtypes';
import { loadDefinitions } from './definitions.ts';

/** Throws an OperationOutcome (HTTP 422) that names every fault. */
export function assertValid(resource: Resource): void {
  const issues = [
    ...structureIssues(resource),
    ...codeIssues(resource),
    ...emptyIssues(resource, resource.resourceType),
    ...narrativeIssues(resource),
  ];
  if (issues.some(({ severity }) => severity === 'error' || severity === 'fatal')) throw unprocessable(issues);
}

/** `business-rule` is the id that @medplum/core answers with 422. */
export const unprocessable = (issues: OperationOutcomeIssue[]): OperationOutcomeError =>
  new OperationOutcomeError({ resourceType: 'OperationOutcome', id: 'business-rule', issue: issues });

export const fault = (
  code: OperationOutcomeIssue['code'],
  text: string,
  expression: string,
): OperationOutcomeIssue => ({ severity: 'error', code, details: { text }, expression: [expression] });

function structureIssues(resource: Resource): OperationOutcomeIssue[] {
  try {
    return validateResource(resource);
  } catch (thrown) {
    if (thrown instanceof OperationOutcomeError) return thrown.outcome.issue;
    throw thrown;
  }
}

/** @medplum/core does not look at required bindings; R4's JSON schema lists their codes. */
function codeIssues(resource: Resource): OperationOutcomeIssue[] {
  const { schema } = loadDefinitions();
  const issues: OperationOutcomeIssue[] = [];
  const walk = (value: unknown, definition: string, path: string): void => {
    if (Array.isArray(value)) {
      value.forEach((item, index) => walk(item, definition, `${path}[${index}]`));
      return;
    }
    if (value === null || typeof value !== 'object') return;
    const type =
      definition === 'ResourceList' ? String((value as { resourceType?: unknown }).resourceType) : definition;
    for (const [name, child] of Object.entries(value)) {
      const property = schema[type]?.properties?.[name];
      const node = property?.items ?? property;
      if (node?.enum !== undefined) {
        const wrong = [child].flat().find((code) => typeof code === 'string' && !node.enum!.includes(code));
        if (wrong !== undefined) {
          issues.push(fault('code-invalid', `"${wrong}" is not one of ${node.enum.join(', ')}`, `${path}.${name}`));
        }
      } else if (node?.$ref !== undefined) {
        walk(child, node.$ref.replace('#/definitions/', ''), `${path}.${name}`);
      }
    }
  };
  walk(resource, resource.resourceType, resource.resourceType);
  return issues;
}

/** FHIR R4, 2.6.2: "Objects are never empty", and no property is null outside an array of primitives. */
function emptyIssues(value: unknown, path: string): OperationOutcomeIssue[] {
  if (value === '' || (typeof value === 'object' && value !== null && Object.keys(value).length === 0)) {
    return [fault('structure', 'is empty; leave it out instead', path)];
  }
  if (Array.isArray(value)) {
    return value.flatMap((item, index) => (item === null ? [] : emptyIssues(item, `${path}[${index}]`)));
  }
  if (value === null) return [fault('structure', 'is null; leave it out instead', path)];
  if (typeof value !== 'object') return [];
  return Object.entries(value).flatMap(([name, child]) => emptyIssues(child, `${path}.${name}`));
}

/** R4, 2.4.0: narrative is the basic part of XHTML. Chapters 7 to 11 (without forms and objects), 9 and 15 of HTML 4.0. */
const narrativeTags = new Set(
  'a abbr acronym address b big blockquote br caption cite code col colgroup dd del dfn div dl dt em h1 h2 h3 h4 h5 h6 hr i img ins kbd li ol p pre q samp small span strong sub sup table tbody td tfoot th thead tr tt ul var'.split(
    ' ',
  ),
);

function narrativeIssues(resource: Resource): OperationOutcomeIssue[] {
  const all = [resource, ...((resource as { contained?: Resource[] }).contained ?? [])];
  return all.flatMap((one) => {
    const div = (one as { text?: { div?: unknown } }).text?.div;
    if (typeof div !== 'string') return [];
    const reason = unsafeIn(div);
    return reason === undefined ? [] : [fault('invalid', `narrative: ${reason}`, `${one.resourceType}.text.div`)];
  });
}

function unsafeIn(div: string): string | undefined {
  if (!/^\s*<div[\s>]/.test(div) || !/<\/div>\s*$/.test(div)) return 'is not one <div>';
  for (const [tag, name, attributes = ''] of div.matchAll(/<\/?([^\s/>]*)([^>]*)>?/g)) {
    if (!tag.endsWith('>')) return 'a tag is not closed';
    if (!narrativeTags.has(String(name))) return `<${name}> is not allowed`;
    if (/\son[a-z]*\s*=/i.test(` ${attributes}`)) return 'event attributes are not allowed';
    if (
      /(javascript|vbscript|data)\s*:/i.test(attributes) &&
      !/src\s*=\s*["']data:image\/(png|gif|jpeg);base64,/i.test(attributes)
    ) {
      return 'links to script are not allowed';
    }
  }
  return undefined;
}
