/** What an EHR tells at the end of a launch: which patient, which user, and what the card pointed at. */
import { z } from 'zod';
import { WetreadError } from '../domain/errors.ts';
import { findingId, isFhirId, isUid, isUuid, patientId, studyUid, type PatientId } from '../domain/ids.ts';
import type { AppSession } from '../domain/ports.ts';
import { askEhr } from './ehr-request.ts';
import type { Banner } from './sessions.ts';

const tokenAnswer = z.object({
  access_token: z.string().min(1),
  token_type: z.string().regex(/^bearer$/i),
  id_token: z.string().min(1),
  patient: z.string().refine(isFhirId, 'is not a FHIR id'),
  appContext: z.unknown().optional(),
  fhirContext: z.unknown().optional(),
});
export type TokenAnswer = z.infer<typeof tokenAnswer> & { readonly patient: PatientId };

export function readTokenAnswer(body: unknown): TokenAnswer {
  const result = tokenAnswer.safeParse(body);
  if (!result.success) {
    const field = result.error.issues[0]?.path.join('.') ?? '';
    const missing =
      field === 'patient' ? 'The EHR did not say which patient is open.' : `The EHR sent no usable ${field}.`;
    throw new WetreadError('smart.authorization-failed', missing);
  }
  return { ...result.data, patient: patientId(result.data.patient) };
}

/** The card's `appContext`: JSON as text or already an object. Whatever else it holds is ignored; it only chooses what is shown first. */
export function readAppContext(given: unknown): AppSession['opens'] {
  let context = given;
  if (typeof given === 'string') {
    if (given.length > 4_096) return undefined;
    try {
      context = JSON.parse(given);
    } catch {
      return undefined;
    }
  }
  if (context === null || typeof context !== 'object') return undefined;
  const { finding, study } = context as Record<string, unknown>;
  if (typeof finding === 'string' && isUuid(finding)) return { finding: findingId(finding) };
  if (typeof study === 'string' && isUid(study)) return { study: studyUid(study) };
  return undefined;
}

/** `Practitioner/123` from SMART's `fhirUser`, which is an absolute address on the EHR's own server. */
export function readFhirUser(claim: unknown, iss: string): string {
  const reference = typeof claim === 'string' && claim.startsWith(`${iss}/`) ? claim.slice(iss.length + 1) : claim;
  if (typeof reference === 'string' && /^(Practitioner|PractitionerRole)\/[A-Za-z0-9.-]{1,64}$/.test(reference)) {
    return reference;
  }
  // A verdict needs a named professional: patients and their relatives cannot review.
  throw new WetreadError('smart.authorization-failed', 'The EHR did not say which clinician you are.');
}

/** Reads the chart with the launch's own access token, for the few seconds that token is held. */
export function chartOf(iss: string, accessToken: string) {
  const read = async (reference: string): Promise<Readonly<Record<string, unknown>> | undefined> => {
    try {
      const { status, body } = await askEhr(`${iss}/${reference}`, {
        headers: { accept: 'application/fhir+json', authorization: `Bearer ${accessToken}` },
      });
      return status === 200 ? body : undefined;
    } catch {
      // Names are a courtesy; a launch does not fail for want of them.
      return undefined;
    }
  };

  return {
    async banner(patient: PatientId): Promise<Banner> {
      const found = await read(`Patient/${patient}`);
      if (found?.['resourceType'] !== 'Patient') return {};
      const display = humanName(found['name']);
      const { birthDate, gender } = found;
      return {
        ...(display === undefined ? {} : { display }),
        ...(typeof birthDate === 'string' && /^\d{4}(-\d\d){0,2}$/.test(birthDate) ? { birthDate } : {}),
        ...(typeof gender === 'string' && /^(male|female|other|unknown)$/.test(gender) ? { sex: gender } : {}),
      };
    },

    async nameOf(reference: string): Promise<string | undefined> {
      const found = await read(reference);
      if (found?.['resourceType'] !== 'PractitionerRole') return humanName(found?.['name']);
      const { display } = (found['practitioner'] ?? {}) as { display?: unknown };
      return typeof display === 'string' ? display.slice(0, 200) : undefined;
    },

    /** SMART 2.2 `fhirContext`: the ImagingStudy the EHR has open, when a card did not say more. */
    async studyIn(fhirContext: unknown): Promise<AppSession['opens']> {
      const references = Array.isArray(fhirContext)
        ? fhirContext.map((entry: { reference?: unknown } | null) => entry?.reference)
        : [];
      const reference = references.find(
        (one): one is string => typeof one === 'string' && /^ImagingStudy\/[A-Za-z0-9.-]{1,64}$/.test(one),
      );
      const identifiers = reference === undefined ? undefined : (await read(reference))?.['identifier'];
      const values = Array.isArray(identifiers) ? identifiers.map((one: { value?: unknown } | null) => one?.value) : [];
      const uid = values
        .map((value) => /^urn:oid:(.+)$/.exec(String(value))?.[1])
        .find((one) => one !== undefined && isUid(one));
      return uid === undefined ? undefined : { study: studyUid(uid) };
    },
  };
}

const humanNames = z
  .array(
    z.object({
      use: z.string().optional(),
      text: z.string().optional(),
      prefix: z.array(z.string()).optional(),
      given: z.array(z.string()).optional(),
      family: z.string().optional(),
    }),
  )
  .min(1);

function humanName(names: unknown): string | undefined {
  const parsed = humanNames.safeParse(names);
  if (!parsed.success) return undefined;
  const name = parsed.data.find(({ use }) => use === 'official') ?? parsed.data[0]!;
  const text = name.text ?? [...(name.prefix ?? []), ...(name.given ?? []), name.family].filter(Boolean).join(' ');
  return text === '' ? undefined : text.slice(0, 200);
}
