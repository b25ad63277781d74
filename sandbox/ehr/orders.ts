/** Imaging orders: a draft while it is chosen, a ServiceRequest when it is signed. */
import { randomInt, randomUUID } from 'node:crypto';
import type { WithId } from '@medplum/core';
import type { Bundle, ServiceRequest } from '@medplum/fhirtypes';
import { accessionSystem } from './identifiers.ts';
import { codeOf, type Exam } from './exams.ts';

export type OrderForm = {
  readonly exam: Exam;
  readonly reason: string;
  readonly patient: string;
  readonly encounter?: string;
  /** `Practitioner/…` and the name. */
  readonly requester: { readonly reference: string; readonly display: string };
  /** The draft's id, kept from choosing to signing, so that a CDS service sees one order and not two. */
  readonly id: string;
  readonly accession: string;
  readonly priority?: 'routine' | 'urgent' | 'asap' | 'stat';
};

export const newOrderId = (): string => randomUUID();
export const newAccession = (): string => `RG${new Date().getFullYear()}${randomInt(1_000_000, 10_000_000)}`;

export function orderOf(form: OrderForm, status: 'draft' | 'active'): WithId<ServiceRequest> {
  return {
    resourceType: 'ServiceRequest',
    id: form.id,
    identifier: [accessionOf(form.accession)],
    status,
    intent: 'order',
    ...(form.priority === undefined ? {} : { priority: form.priority }),
    category: [{ coding: [{ system: 'http://snomed.info/sct', code: '363679005', display: 'Imaging' }] }],
    code: codeOf(form.exam),
    subject: { reference: `Patient/${form.patient}` },
    ...(form.encounter === undefined ? {} : { encounter: { reference: `Encounter/${form.encounter}` } }),
    authoredOn: new Date().toISOString(),
    requester: form.requester,
    ...(form.reason === '' ? {} : { reasonCode: [{ text: form.reason }] }),
  };
}

/** A suggestion that somebody accepted: a draft of this hospital's own, with its number, which nobody has signed. */
export function draftOf(
  proposed: ServiceRequest,
  { patient, encounter }: { readonly patient: string; readonly encounter?: string },
): WithId<ServiceRequest> {
  const { category, code, reasonCode, bodySite, note } = proposed;
  return {
    resourceType: 'ServiceRequest',
    id: newOrderId(),
    identifier: [accessionOf(newAccession())],
    status: 'draft',
    intent: 'proposal',
    ...(category === undefined ? {} : { category }),
    ...(code === undefined ? {} : { code }),
    ...(bodySite === undefined ? {} : { bodySite }),
    ...(reasonCode === undefined ? {} : { reasonCode }),
    ...(note === undefined ? {} : { note }),
    subject: { reference: `Patient/${patient}` },
    ...(encounter === undefined ? {} : { encounter: { reference: `Encounter/${encounter}` } }),
    authoredOn: new Date().toISOString(),
  };
}

/** Signed: from now on it is this person's order. */
export const signed = (draft: WithId<ServiceRequest>, requester: OrderForm['requester']): WithId<ServiceRequest> => ({
  ...draft,
  status: 'active',
  intent: 'order',
  authoredOn: new Date().toISOString(),
  requester,
});

const accessionOf = (value: string) => ({
  type: {
    coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0203', code: 'ACSN', display: 'Accession ID' }],
  },
  system: accessionSystem,
  value,
});

/** `draftOrders` of order-select and order-sign. */
export const draftBundle = (order: ServiceRequest): Bundle => ({
  resourceType: 'Bundle',
  type: 'collection',
  entry: [{ resource: order }],
});
