/** What clinicians did with cards: kept against the findings, so that an overridden card does not come back. */
import { WetreadError } from '../domain/errors.ts';
import type { AuditTrail, CardFeedback, FeedbackStore } from '../domain/ports.ts';
import type { AfterAnswers } from './after-answers.ts';
import type { CdsClient } from './client-trust.ts';
import type { FeedbackRequest } from './wire.ts';

type Parts = { readonly feedback: FeedbackStore; readonly audit: AuditTrail; readonly after: AfterAnswers };

/** Clients repeat feedback when unsure: a repeat changes nothing and is answered like the first. */
export async function storeFeedback(
  service: string,
  entries: FeedbackRequest['feedback'],
  client: CdsClient,
  { feedback, audit, after }: Parts,
): Promise<void> {
  const known = await Promise.all(entries.map((entry) => feedback.record(asCardFeedback(service, entry))));
  for (const [index, { card }] of entries.entries()) {
    if (known[index]) after.run('audit', () => audit.record({ action: 'feedback', actor: client.name, subject: card }));
  }
  // What is known was kept; a card this service never served is a mistake the client should hear of.
  const stranger = entries.find((_, index) => !known[index]);
  if (stranger !== undefined)
    throw new WetreadError('request.not-found', `feedback.card: ${stranger.card} was not served here`);
}

function asCardFeedback(service: string, entry: FeedbackRequest['feedback'][number]): CardFeedback {
  const { reason, userComment } = entry.overrideReason ?? {};
  const why = {
    ...(reason?.code === undefined ? {} : { code: reason.code }),
    ...(userComment === undefined ? {} : { comment: userComment }),
  };
  return {
    service,
    card: entry.card,
    outcome: entry.outcome,
    at: entry.outcomeTimestamp,
    acceptedSuggestions: entry.acceptedSuggestions.map(({ id }) => id),
    ...(Object.keys(why).length === 0 ? {} : { overrideReason: why }),
  };
}
