/** What a clinician can do about a film, or a level on it, that could not be assessed. */
import type { NotAssessableReason } from '../../src/kit/hook.ts';

const texts: Readonly<Record<NotAssessableReason, string>> = {
  'wrong-view': 'A lateral film can be read.',
  'wrong-region': 'No model here reads this part of the body.',
  'poor-quality': 'A film with more contrast can be read.',
  'level-not-visible': 'What is cut off or hidden needs another film, or a look at this one.',
  'levels-uncertain':
    'Levels are counted upwards from the sacrum: a film with S1 in view can be counted. Until then no level is named.',
  'unusual-anatomy':
    'With six or four lumbar vertebrae, a transitional vertebra or a strong deformity, counting and measuring cannot be relied on: read the film as usual.',
  'unlike-training-data': 'The film differs from what the model was trained on: read it as usual.',
};

export const whatHelps = (reason: NotAssessableReason): string => texts[reason];
