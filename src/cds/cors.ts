/** Lets browser-based CDS clients call, from the origins a site has listed and from no other. */
import type { RequestHandler } from 'express';

export function allowedOrigins(origins: readonly string[]): RequestHandler {
  const allowed = new Set(origins.map((origin) => new URL(origin).origin));
  return (request, response, next) => {
    response.vary('Origin');
    const { origin } = request.headers;
    const known = origin !== undefined && allowed.has(origin);
    if (known) response.set('Access-Control-Allow-Origin', origin);
    if (request.method !== 'OPTIONS') return next();
    if (known) {
      response.set({
        'Access-Control-Allow-Methods': 'GET, POST',
        'Access-Control-Allow-Headers': 'Authorization, Content-Type',
        'Access-Control-Max-Age': '600',
      });
    }
    response.status(204).end();
  };
}
