/** What each hook of the CDS Hooks library sends as `context`, checked. */
import type { Bundle } from 'fhir/r4.d.ts';
import { z } from 'zod';
import { isFhirId, patientId } from '../domain/ids.ts';

const fhirId = z.string().refine(isFhirId, 'is not a FHIR id');
const patient = fhirId.transform(patientId);
/** `Practitioner/…`, `PractitionerRole/…`, `Patient/…` or `RelatedPerson/…`. */
const user = z
  .string()
  .regex(/^[A-Z][A-Za-z]{1,63}\/[A-Za-z0-9.-]{1,64}$/, 'is not a reference such as Practitioner/123');
const reference = z.string().regex(/^[A-Z][A-Za-z]{1,63}\/[A-Za-z0-9.-]{1,64}$/, 'is not a reference');
/** Orders stay as they came: a draft may be incomplete, and each hook looks only at what it understands. */
const draftOrders = z.custom<Bundle>(
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    (value as Bundle).resourceType === 'Bundle' &&
    Array.isArray((value as Bundle).entry ?? []),
  'is not a Bundle',
);

/** Context fields per hook, as of CDS Hooks 2.0.1 and its hook library; unknown fields are let pass, as later versions add some. */
export const hookContexts = {
  'patient-view': z.object({ userId: user, patientId: patient, encounterId: fhirId.optional() }),
  'order-select': z.object({
    userId: user,
    patientId: patient,
    encounterId: fhirId.optional(),
    selections: z.array(z.string()),
    draftOrders,
  }),
  'order-sign': z.object({ userId: user, patientId: patient, encounterId: fhirId.optional(), draftOrders }),
  /** 1.1: has no userId. */
  'order-dispatch': z.object({ patientId: patient, dispatchedOrders: z.array(reference).min(1), performer: reference }),
  'encounter-start': z.object({ userId: user, patientId: patient, encounterId: fhirId }),
  'encounter-discharge': z.object({ userId: user, patientId: patient, encounterId: fhirId }),
} as const;

export type HookName = keyof typeof hookContexts;
export type HookContext<Hook extends HookName> = Readonly<z.output<(typeof hookContexts)[Hook]>>;

export const isHookName = (name: string): name is HookName => Object.hasOwn(hookContexts, name);
