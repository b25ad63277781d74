/** Things that are given once and taken once: launch contexts from the EHR, and authorization codes. */
import { randomBytes } from 'node:crypto';

/** What the EHR had open when somebody followed a link to the app. */
export type LaunchContext = {
  readonly patient: string;
  /** `Practitioner/…`: whoever sits at the EHR. */
  readonly user: string;
  readonly userName: string;
  readonly clientId: string;
  readonly encounter?: string;
  readonly fhirContext?: readonly { readonly reference: string }[];
  readonly appContext?: string;
  readonly intent?: string;
};

export type IssuedCode = {
  readonly clientId: string;
  readonly redirectUri: string;
  readonly codeChallenge: string;
  readonly scope: string;
  readonly nonce?: string;
  readonly launch: LaunchContext;
};

/** Unguessable names for values that live for a short time. */
export function shortLived<Value>(lifeMs: number, now: () => number = Date.now) {
  const held = new Map<string, { readonly value: Value; readonly until: number }>();
  return {
    put(value: Value): string {
      for (const [name, { until }] of held) if (until < now()) held.delete(name);
      const name = randomBytes(32).toString('base64url');
      held.set(name, { value, until: now() + lifeMs });
      return name;
    },
    take(name: string): Value | undefined {
      const found = held.get(name);
      held.delete(name);
      return found === undefined || found.until < now() ? undefined : found.value;
    },
  };
}
