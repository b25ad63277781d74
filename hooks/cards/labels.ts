/** What every card of ours says of itself, and the reasons a clinician may give for putting one away. */
import { prose, type Markdown } from '../../src/kit/markdown.ts';
import type { CardDraft, HookServices, OverrideReason, Reading } from '../../src/kit/hook.ts';

const topics = {
  suggestion: 'AI suggestion, not reviewed',
  'not-read': 'Image not read by AI',
  pending: 'Image being read by AI',
  'earlier-imaging': 'Earlier imaging',
} as const;

export const sourceOf = (topic: keyof typeof topics): CardDraft['source'] => ({
  label: 'Wetread imaging AI',
  topic: { system: 'urn:wetread:card-topic', code: topic, display: topics[topic] },
});

export const unreviewed = 'AI suggestion, not yet reviewed';

/** Putting a card away is no verdict on the picture: that is given in the app, by a named person. */
export const overrideReasons: readonly OverrideReason[] = [
  { system: 'urn:wetread:override-reason', code: 'known', display: 'Already known' },
  { system: 'urn:wetread:override-reason', code: 'not-relevant', display: 'Not relevant to this visit' },
  { system: 'urn:wetread:override-reason', code: 'doubtful', display: 'I do not think this is right' },
];

export const researchUseOnly: Markdown = prose`**Research use only. Not a medical device.**`;

/** Who spoke: model, version, what it was trained on. Its limits are a page in the app, one click away; a card is read in seconds. */
export function modelParagraph({ pack }: Reading, { model }: Pick<HookServices, 'model'>): Markdown {
  const about = model(pack);
  const trained =
    about === undefined ? 'not known here: this version is no longer installed' : withoutFullStop(about.trainedOn);
  const kind = about?.demonstration === true ? 'Demonstration model' : 'Model';
  return prose`${kind}: ${pack.title}, version ${pack.version}. Trained on: ${trained}.`;
}

const withoutFullStop = (text: string): string => text.trim().replace(/\.$/, '');
