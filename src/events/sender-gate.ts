/** Who may send objects by STOW-RS: a bearer secret, or a name and password (HTTP Basic), as senders can do the one or the other. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { RequestHandler } from 'express';
import { WetreadError } from '../domain/errors.ts';

export type SenderSecrets = {
  readonly bearer?: string;
  /** `name:password` */
  readonly basic?: string;
};

/** The sender's name for the log and the index, once it is let in. */
export const senderName = (response: { locals: Record<string, unknown> }): string => String(response.locals['sender']);

export function sendersOnly({ bearer, basic }: SenderSecrets): RequestHandler {
  const known = [
    ...(bearer === undefined ? [] : [{ name: 'bearer', digest: digest(`bearer ${bearer}`) }]),
    ...(basic === undefined
      ? []
      : [
          {
            name: basic.split(':', 1)[0]!,
            digest: digest(`basic ${Buffer.from(basic, 'utf8').toString('base64')}`),
          },
        ]),
  ];
  return (request, response, next) => {
    const [, scheme = '', token = ''] = /^(Bearer|Basic) +(\S+)$/i.exec(request.headers.authorization ?? '') ?? [];
    const given = digest(`${scheme.toLowerCase()} ${token}`);
    // Digests have one length, so neither a secret's content nor its length shows in the time this takes.
    const sender = known.find((one) => timingSafeEqual(one.digest, given));
    if (sender === undefined) {
      if (bearer !== undefined) response.append('WWW-Authenticate', 'Bearer');
      if (basic !== undefined) response.append('WWW-Authenticate', 'Basic realm="wetread"');
      return next(new WetreadError('request.unauthenticated'));
    }
    response.locals['sender'] = sender.name;
    next();
  };
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
