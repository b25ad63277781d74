/** The one place where thrown errors become HTTP answers. */
import type { ErrorRequestHandler, RequestHandler } from 'express';
import { asWetreadError, WetreadError } from '../domain/errors.ts';
import type { Logger } from '../domain/log.ts';

/** What every address answers when something is wrong. */
export type ErrorBody = {
  readonly code: string;
  readonly message: string;
  readonly next: string;
  readonly detail?: string;
};

/** body-parser marks its errors with a type; those are the sender's faults, not ours. */
function fromParser(error: unknown): WetreadError | undefined {
  const type = (error as { type?: unknown } | null)?.type;
  if (type === 'entity.too.large') return new WetreadError('request.too-large');
  if (type === 'entity.parse.failed') return new WetreadError('request.malformed', 'the body is not JSON');
  if (typeof type === 'string' && /^(encoding|charset|request|entity)\./.test(type))
    return new WetreadError('request.malformed');
  return undefined;
}

export function errorHandler(logger: Logger): ErrorRequestHandler {
  return (thrown, request, response, next) => {
    const error = fromParser(thrown) ?? asWetreadError(thrown);
    const unexpected = error.row.status >= 500;
    logger[unexpected ? 'error' : 'info']('request failed', {
      code: error.code,
      method: request.method,
      route: request.route?.path ?? request.baseUrl,
      ...(unexpected ? { cause: error.cause ?? error } : {}),
    });
    // Headers are gone already: the only honest end is a broken connection, so that the client does not take half for all.
    if (response.headersSent) return next(thrown);
    response.status(error.row.status).json(errorBody(error));
  };
}

export function errorBody(error: WetreadError): ErrorBody {
  // What an unexpected error says may quote data: it goes to the log, not to the caller.
  const open = error.detail !== undefined && error.code !== 'internal.unexpected';
  return { code: error.code, message: error.row.says, next: error.row.next, ...(open ? { detail: error.detail } : {}) };
}

export const notFound: RequestHandler = (_request, _response, next) => next(new WetreadError('request.not-found'));
