/** Work that follows an answer: nobody waits for it, but its failure is seen and stopping waits until it is done. */
import { asWetreadError } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';

export type AfterAnswers = {
  run(what: string, task: () => Promise<unknown>): void;
  drain(): Promise<void>;
};

export function afterAnswers(logger: Logger): AfterAnswers {
  const underWay = new Set<Promise<void>>();
  return {
    run(what, task) {
      const done = Promise.resolve()
        .then(task)
        .then(
          () => undefined,
          (error: unknown) => logger.error(`${what} failed`, { code: asWetreadError(error).code, cause: error }),
        )
        .finally(() => underWay.delete(done));
      underWay.add(done);
    },
    async drain() {
      while (underWay.size > 0) await Promise.all(underWay);
    },
  };
}
