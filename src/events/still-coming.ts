/** While a sender goes on sending, its studies are not complete: said to the inbox now and then, not with every piece. */
import type { Inbox } from '../domain/inbox.ts';
import type { StudyUid } from '../domain/ids.ts';
import type { Logger } from '../domain/log.ts';

export type Sending = {
  readonly studies: Set<StudyUid>;
  /** Something came from this sender. */
  heard(): void;
};

export function stillComing(
  inbox: Pick<Inbox, 'stillComing'>,
  { everyMs, logger }: { readonly everyMs: number; readonly logger: Logger },
): Sending {
  const studies = new Set<StudyUid>();
  let said = Date.now();
  return {
    studies,
    heard() {
      const now = Date.now();
      if (studies.size === 0 || now - said < everyMs) return;
      said = now;
      inbox
        .stillComing(studies)
        .catch((error: unknown) => logger.warn('it could not be noted that a study is still coming', { cause: error }));
    },
  };
}
