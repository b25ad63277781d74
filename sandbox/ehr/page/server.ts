/** Talking to the hospital's own server. */
import type { HospitalEvent } from '../chart-contract.ts';

/** What went wrong, in words for the reader. */
export class NotDone extends Error {}

export async function ask<Answer>(path: string, body?: unknown): Promise<Answer> {
  const request: RequestInit =
    body === undefined
      ? {}
      : { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  const response = await fetch(`/ehr/api${path}`, request).catch(() => undefined);
  if (response === undefined) throw new NotDone('The hospital does not answer. Reload the page when it is back.');
  const answer = (await response.json()) as Answer & { readonly error?: string };
  if (!response.ok) throw new NotDone(answer.error ?? 'That did not work. Try again.');
  return answer;
}

/** The browser connects again by itself when the stream ends. */
export function listen(onEvent: (event: HospitalEvent) => void): void {
  const stream = new EventSource('/ehr/api/events');
  stream.addEventListener('message', ({ data }) => onEvent(JSON.parse(String(data)) as HospitalEvent));
}
