/** A shared secret on the addresses that may start work. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { RequestHandler } from 'express';
import { WetreadError } from '../domain/errors.ts';

export function bearerOnly(secret: string): RequestHandler {
  const expected = digest(secret);
  return (request, _response, next) => {
    const [, token] = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '') ?? [];
    // Digests have one length, so neither the secret's content nor its length shows in the time this takes.
    const known = token !== undefined && timingSafeEqual(digest(token), expected);
    next(known ? undefined : new WetreadError('request.unauthenticated'));
  };
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
