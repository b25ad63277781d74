/** SMART scopes as rights: who may read and write what, and for a patient-scoped token, of which patient. */
import { matchesSearchRequest, Operator } from '@medplum/core';
import type { Resource, ResourceType } from '@medplum/fhirtypes';
import { loadDefinitions } from './definitions.ts';
import type { Access, Interaction } from './repository.ts';

/** What an access token grants. */
export type Grant = {
  readonly scope: string;
  /** The patient in context; `patient/…` scopes mean this one. */
  readonly patient?: string;
};

type Scope = { readonly level: 'system' | 'user' | 'patient'; readonly type: string; readonly letters: string };

const letterOf: Record<Interaction, string> = { create: 'c', read: 'r', update: 'u', delete: 'd', search: 's' };
/** SMART 1 wrote words where SMART 2 writes letters. */
const words: Readonly<Record<string, string>> = { read: 'rs', write: 'cud', '*': 'cruds' };

/** One scope that gives rights to resources; undefined for `launch`, `openid` and the like. */
export function readScope(text: string): Scope | undefined {
  const match = /^(system|user|patient)\/([A-Z][A-Za-z]+|\*)\.(read|write|\*|c?r?u?d?s?)$/.exec(text);
  if (match === null || match[3] === '') return undefined;
  const [, level, type, permission] = match as unknown as [string, Scope['level'], string, string];
  return { level, type, letters: words[permission] ?? permission };
}

export function accessOf(grant: Grant): Access {
  const scopes = grant.scope
    .split(' ')
    .map(readScope)
    .filter((scope) => scope !== undefined)
    // A patient scope without a patient in context gives nothing.
    .filter(({ level }) => level !== 'patient' || grant.patient !== undefined);
  const granting = (interaction: Interaction, type: string) =>
    scopes.filter(
      (scope) => (scope.type === '*' || scope.type === type) && scope.letters.includes(letterOf[interaction]),
    );

  return {
    mayUse: (interaction, type) => granting(interaction, type).length > 0,
    mayTouch: (interaction, resource) => {
      const type = resource.resourceType;
      // Reading what a search found needs the right to search or to read.
      const scopes =
        interaction === 'read' ? [...granting('read', type), ...granting('search', type)] : granting(interaction, type);
      if (scopes.some(({ level }) => level !== 'patient')) return true;
      return scopes.length > 0 && grant.patient !== undefined && isAbout(resource, grant.patient);
    },
  };
}

/** Whether the resource is in the patient's compartment. Types that belong to no patient (Practitioner, Device) may be seen by all. */
export function isAbout(resource: Resource, patient: string): boolean {
  if (resource.resourceType === 'Patient') return resource.id === patient;
  const parameters = loadDefinitions().compartment.get(resource.resourceType);
  if (parameters === undefined) return sharedTypes.has(resource.resourceType);
  return parameters.some((code) =>
    matchesSearchRequest(resource, {
      resourceType: resource.resourceType,
      filters: [{ code, operator: Operator.EQUALS, value: `Patient/${patient}` }],
    }),
  );
}

const sharedTypes: ReadonlySet<ResourceType> = new Set([
  'Practitioner',
  'PractitionerRole',
  'Organization',
  'Location',
  'Device',
  'Medication',
]);
