/** The one way to make a card: every limit of CDS Hooks 2.0.1 ("Card Attributes") is kept or refused here. */
import { z } from 'zod';
import { uuidOf } from '../domain/identity.ts';
import type { FindingId, StudyUid } from '../domain/ids.ts';
import { type Markdown } from './markdown.ts';

/** "One-sentence, <140-character summary message." */
export const longestSummary = 139;

const text = z.string().min(1);
/** "No empty or null values": a property that has nothing to say is left out. */
const oneOrMore = <Schema extends z.ZodType>(schema: Schema) => z.array(schema).min(1).readonly();
const webUrl = z.url({ protocol: /^https?$/ });

const coding = z.strictObject({ system: text.optional(), code: text, display: text.optional() });
const overrideReason = z.strictObject({ system: text.optional(), code: text, display: text });
const resource = z.looseObject({ resourceType: text });

const action = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('create'), description: text, resource }),
  z.strictObject({ type: z.literal('update'), description: text, resource: resource.and(z.looseObject({ id: text })) }),
  z.strictObject({ type: z.literal('delete'), description: text, resourceId: text }),
]);

const suggestion = z.strictObject({
  label: text,
  uuid: z.guid().optional(),
  isRecommended: z.boolean().optional(),
  actions: oneOrMore(action).optional(),
});

const link = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('absolute'), label: text, url: webUrl, autolaunchable: z.boolean().optional() }),
  z.strictObject({
    type: z.literal('smart'),
    label: text,
    url: webUrl,
    appContext: text.optional(),
    autolaunchable: z.boolean().optional(),
  }),
]);

/** A card as it goes over the wire. */
export const wireCard = z
  .strictObject({
    uuid: z.guid(),
    summary: text.max(longestSummary),
    indicator: z.enum(['info', 'warning', 'critical']),
    detail: text.optional(),
    source: z.strictObject({ label: text, url: webUrl.optional(), icon: webUrl.optional(), topic: coding.optional() }),
    suggestions: oneOrMore(suggestion).optional(),
    selectionBehavior: z.enum(['at-most-one', 'any']).optional(),
    overrideReasons: oneOrMore(overrideReason).optional(),
    links: oneOrMore(link).optional(),
  })
  .refine((card) => (card.suggestions === undefined) === (card.selectionBehavior === undefined), {
    path: ['selectionBehavior'],
    error: 'goes with suggestions, and only with them',
  })
  .refine(
    (card) =>
      card.selectionBehavior !== 'at-most-one' ||
      (card.suggestions ?? []).filter(({ isRecommended }) => isRecommended).length <= 1,
    { path: ['suggestions'], error: 'only one may be recommended when at most one can be chosen' },
  );

export type WireCard = z.output<typeof wireCard>;
export type Indicator = WireCard['indicator'];
export type Coding = z.output<typeof coding>;
export type OverrideReason = z.output<typeof overrideReason>;
export type Suggestion = z.output<typeof suggestion>;
export type Link = z.output<typeof link>;

/** What a card speaks of. The same service speaking of the same things in the same state is the same card, however often the chart is opened. */
export type CardSubject = {
  readonly findings?: readonly FindingId[];
  readonly studies?: readonly StudyUid[];
  /** `unreviewed`, `pending`, `failed` …: a new state is a new card. */
  readonly state: string;
};

export type CardDraft = {
  readonly about: CardSubject;
  /** Plain text; cut at a word when it is too long. */
  readonly summary: string;
  readonly indicator: Indicator;
  readonly detail?: Markdown;
  readonly source: { readonly label: string; readonly url?: string; readonly icon?: string; readonly topic?: Coding };
  readonly links?: readonly Link[];
  readonly overrideReasons?: readonly OverrideReason[];
  readonly suggestions?: readonly Suggestion[];
  readonly selectionBehavior?: 'at-most-one' | 'any';
};

/** A finished card, with what it speaks of: feedback on its uuid leads back to these findings. */
export type Card = {
  readonly wire: WireCard;
  readonly findings: readonly FindingId[];
  readonly studies: readonly StudyUid[];
};

/** Makes the cards of one service. Throws a TypeError that names the field when a card breaks the specification. */
export function cardMaker(service: string): (draft: CardDraft) => Card {
  return ({ about, summary, detail, suggestions, ...rest }) => {
    const findings = about.findings ?? [];
    const studies = about.studies ?? [];
    if (findings.length + studies.length === 0) throw new TypeError('card.about: names no finding and no study');
    const uuid = uuidOf('card', service, about.state, [...findings].sort().join(), [...studies].sort().join());
    const result = wireCard.safeParse(
      filled({
        uuid,
        summary: shortened(summary, longestSummary),
        detail: detail?.text,
        // Feedback names the suggestions that were accepted by their uuid: the same at every opening, as the card's.
        suggestions: suggestions?.map((one) => ({ uuid: uuidOf('suggestion', uuid, one.label), ...one })),
        ...rest,
      }),
    );
    if (!result.success) {
      const [issue] = result.error.issues;
      throw new TypeError(`card.${issue?.path.join('.')}: ${issue?.message}`);
    }
    return { wire: result.data, findings, studies };
  };
}

/** The value without whatever is undefined, null, or an empty text, list or object. */
function filled(value: unknown): unknown {
  if (Array.isArray(value)) {
    const items = value.map(filled).filter((item) => item !== undefined);
    return items.length > 0 ? items : undefined;
  }
  if (value !== null && typeof value === 'object') {
    const entries = Object.entries(value)
      .map(([name, item]) => [name, filled(item)] as const)
      .filter(([, item]) => item !== undefined);
    return entries.length > 0 ? Object.fromEntries(entries) : undefined;
  }
  return value === null || value === '' ? undefined : value;
}

// oxlint-disable-next-line no-control-regex -- a summary is one line of plain text
const breaking = /[\s\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g;

/** Cut at a word, with an ellipsis, so that the whole has at most `longest` UTF-16 units. */
export function shortened(long: string, longest: number): string {
  const line = long.toWellFormed().replace(breaking, ' ').trim();
  if (line.length <= longest) return line;
  const room = line.slice(0, longest);
  const lastSpace = room.lastIndexOf(' ');
  // One endless word is cut inside, but never between the two halves of a character.
  const cut = lastSpace > 0 ? room.slice(0, lastSpace) : room.slice(0, longest - 1).replace(/[\ud800-\udbff]$/, '');
  return `${cut.replace(/[\s,;:.–-]+$/, '')}…`;
}
