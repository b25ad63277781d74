/** What CDS Hooks clients send and get: CDS Hooks 2.0.1, letting pass what 3.0 adds. */
import type { FhirResource } from 'fhir/r4.d.ts';
import { z } from 'zod';
import { WetreadError } from '../domain/errors.ts';
import type { WireCard } from '../kit/card.ts';

const text = z.string().min(1);
const httpUrl = z.url({ protocol: /^https?$/ });

/** A FHIR resource as far as it is looked at before a hook does: it has a type. */
const resource = z.custom<FhirResource>(
  (value) => typeof (value as { resourceType?: unknown } | null)?.resourceType === 'string',
  'is neither a resource nor null',
);

export const cdsRequest = z
  .object({
    hook: text,
    hookInstance: z.guid(),
    fhirServer: httpUrl.optional(),
    fhirAuthorization: z
      .object({
        access_token: text,
        token_type: z.literal('Bearer'),
        expires_in: z.number(),
        scope: z.string(),
        subject: text,
        patient: z.string().optional(),
      })
      .optional(),
    context: z.record(z.string(), z.unknown()),
    // null is an answer ("there is no such data"); a missing key is not.
    prefetch: z.record(z.string(), resource.nullable()).optional(),
  })
  .refine(({ fhirServer, fhirAuthorization }) => fhirAuthorization === undefined || fhirServer !== undefined, {
    path: ['fhirServer'],
    error: 'is required with fhirAuthorization',
  });
export type CdsRequest = z.output<typeof cdsRequest>;

const coding = z.object({ code: z.string().optional(), system: z.string().optional(), display: z.string().optional() });

export const feedbackRequest = z.object({
  feedback: z
    .array(
      z.object({
        card: z.guid(),
        outcome: z.enum(['accepted', 'overridden']),
        outcomeTimestamp: z.iso.datetime({ offset: true }),
        acceptedSuggestions: z.array(z.object({ id: text })).default([]),
        overrideReason: z
          .object({ reason: coding.optional(), userComment: z.string().max(4_000).optional() })
          .optional(),
      }),
    )
    .min(1)
    .max(100),
});
export type FeedbackRequest = z.output<typeof feedbackRequest>;

export type DiscoveredService = {
  readonly id: string;
  readonly hook: string;
  readonly title: string;
  readonly description: string;
  readonly prefetch?: Readonly<Record<string, string>>;
  readonly usageRequirements?: string;
};

export type CdsResponse = { readonly cards: readonly WireCard[] };

/** The value in the schema's type; otherwise `request.malformed` with the first field that is wrong, and never its content. */
export function parsed<Schema extends z.ZodType>(schema: Schema, value: unknown, where: string): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const field = [where, ...(issue?.path ?? [])].map(String).filter(Boolean).join('.');
  throw new WetreadError('request.malformed', `${field || 'body'}: ${issue?.message ?? 'is not valid'}`);
}
