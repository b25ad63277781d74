/** One call of one hook: context checked, prefetch filled, handler asked, cards on their way. */
import { WetreadError } from '../domain/errors.ts';
import type { PatientId } from '../domain/ids.ts';
import type { Logger } from '../domain/log.ts';
import type {
  AuditTrail,
  FeedbackStore,
  OrderBook,
  PackSummary,
  ReadingStore,
  StudyRegister,
} from '../domain/ports.ts';
import { cardMaker, type Card, type WireCard } from '../kit/card.ts';
import type { HookServices } from '../kit/hook.ts';
import { hookContexts } from '../kit/hook-context.ts';
import type { AfterAnswers } from './after-answers.ts';
import type { Fetch } from './bounded-json.ts';
import type { CdsClient } from './client-trust.ts';
import type { LoadedHook } from './load-hooks.ts';
import { fillPrefetch, type FhirLimits } from './prefetch.ts';
import { parsed, type CdsRequest } from './wire.ts';

type Parts = {
  readonly readings: ReadingStore;
  readonly studies: StudyRegister;
  readonly orders: OrderBook;
  readonly feedback: FeedbackStore;
  readonly audit: AuditTrail;
  readonly packs: readonly PackSummary[];
  readonly publicUrl: string;
  readonly after: AfterAnswers;
  readonly logger: Logger;
  readonly fetch: Fetch;
  readonly limits: FhirLimits;
  readonly now: () => Date;
};

export type Answer = {
  readonly cards: readonly WireCard[];
  /** Called when the answer is on its way: the audit must not make the clinician wait. */
  served(): void;
};

/** Cards whose uuid was stored by this process; their uuids are stable, so once is enough. */
const rememberedCards = 50_000;

export function invoker(
  { id, hook }: LoadedHook,
  parts: Parts,
): (request: CdsRequest, client: CdsClient) => Promise<Answer> {
  const packs = new Map(parts.packs.map((pack) => [`${pack.name} ${pack.version}`, pack]));
  const stored = new Set<string>();
  const services: HookServices = {
    readings: parts.readings,
    studies: parts.studies,
    orders: parts.orders,
    dismissed: (patient) => parts.feedback.dismissed(patient, id),
    model: ({ name, version }) => packs.get(`${name} ${version}`),
    card: cardMaker(id),
    appLink: (label, opens) => ({
      type: 'smart',
      label,
      url: `${parts.publicUrl}/app/launch`,
      appContext: JSON.stringify(opens),
    }),
    afterAnswer: parts.after.run,
    now: parts.now,
    logger: parts.logger,
  };

  /** Before the answer, so that feedback always finds its card. */
  const remember = async (cards: readonly Card[], patientId: PatientId): Promise<void> => {
    const unknown = cards.filter(({ wire }) => !stored.has(wire.uuid));
    await Promise.all(
      unknown.map(({ wire, findings }) =>
        parts.feedback.cardServed({ uuid: wire.uuid, service: id, patientId, findings }),
      ),
    );
    if (stored.size > rememberedCards) stored.clear();
    for (const { wire } of unknown) stored.add(wire.uuid);
  };

  return async (request, client) => {
    if (request.hook !== hook.hook)
      throw new WetreadError('request.malformed', `hook: this service answers ${hook.hook}`);
    const context = parsed(hookContexts[hook.hook], request.context, 'context');
    const prefetch = await fillPrefetch(hook, request, client, parts);
    const cards = await hook.handle({ ...services, context, prefetch } as Parameters<typeof hook.handle>[0]);
    await remember(cards, context.patientId);
    return {
      cards: cards.map(({ wire }) => wire),
      served() {
        const actor = 'userId' in context ? `${client.name} ${context.userId}` : client.name;
        for (const { wire, findings, studies } of cards) {
          const subject = [`card/${wire.uuid}`, ...findings.map((finding) => `finding/${finding}`), ...studies].join(
            ' ',
          );
          parts.after.run('audit', () =>
            parts.audit.record({ action: 'card-served', actor, patientId: context.patientId, subject }),
          );
        }
      },
    };
  };
}
