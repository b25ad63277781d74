/** What this FHIR server says it can do. */
import { globalSchema } from '@medplum/core';
import type { CapabilityStatement, CapabilityStatementRestResource, ResourceType } from '@medplum/fhirtypes';

const kept: readonly ResourceType[] = [
  'AllergyIntolerance',
  'Condition',
  'Device',
  'DiagnosticReport',
  'DocumentReference',
  'Encounter',
  'ImagingStudy',
  'MedicationRequest',
  'Observation',
  'Organization',
  'Patient',
  'Practitioner',
  'Provenance',
  'ServiceRequest',
  'Subscription',
  'Task',
];
const topicExtension =
  'http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/capabilitystatement-subscriptiontopic-canonical';

export function capabilityStatement(addresses: {
  readonly fhir: string;
  readonly authorize: string;
  readonly token: string;
  readonly topics: readonly string[];
}): CapabilityStatement {
  return {
    resourceType: 'CapabilityStatement',
    status: 'active',
    date: '2026-01-01',
    kind: 'instance',
    fhirVersion: '4.0.1',
    format: ['json'],
    patchFormat: ['application/json-patch+json'],
    software: { name: 'Wetread demo hospital' },
    implementation: { description: 'Fictional patients, for demonstration and tests', url: addresses.fhir },
    rest: [
      {
        mode: 'server',
        security: {
          cors: true,
          service: [
            {
              coding: [
                { system: 'http://terminology.hl7.org/CodeSystem/restful-security-service', code: 'SMART-on-FHIR' },
              ],
            },
          ],
          extension: [
            {
              url: 'http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris',
              extension: [
                { url: 'authorize', valueUri: addresses.authorize },
                { url: 'token', valueUri: addresses.token },
              ],
            },
          ],
        },
        interaction: [{ code: 'transaction' }, { code: 'batch' }],
        resource: kept.map((type) => resourceOf(type, addresses.topics)),
      },
    ],
  };
}

function resourceOf(type: ResourceType, topics: readonly string[]): CapabilityStatementRestResource {
  const parameters = Object.values(globalSchema.types[type]?.searchParams ?? {});
  return {
    type,
    interaction: (
      ['read', 'vread', 'update', 'patch', 'delete', 'history-instance', 'create', 'search-type'] as const
    ).map((code) => ({ code })),
    versioning: 'versioned',
    readHistory: true,
    updateCreate: true,
    conditionalCreate: true,
    conditionalUpdate: true,
    conditionalDelete: 'single',
    referencePolicy: ['literal', 'enforced'],
    searchParam: parameters
      .map(({ code, type }) => ({ name: code, type }))
      .toSorted((one, other) => one.name.localeCompare(other.name)),
    ...(type === 'Subscription'
      ? {
          extension: topics.map((topic) => ({ url: topicExtension, valueUri: topic })),
          operation: [
            {
              name: 'status',
              definition:
                'http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition/backport-subscription-status',
            },
            {
              name: 'events',
              definition:
                'http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition/backport-subscription-events',
            },
          ],
        }
      : {}),
  };
}
