/** What a browser may do with the app's pages, and which EHR may frame them. */
import type { RequestHandler } from 'express';

export type FrameOptions = {
  /** The EHRs that may launch the app; `frameOrigins` where their pages live elsewhere than their FHIR server. */
  readonly issuers: readonly { readonly iss: string; readonly frameOrigins?: readonly string[] }[];
};

export function securityHeaders({ issuers }: FrameOptions): RequestHandler {
  const mayFrame = [...new Set(issuers.flatMap(({ iss, frameOrigins }) => frameOrigins ?? [new URL(iss).origin]))];
  const policy = [
    "default-src 'none'",
    // The picture codecs are WebAssembly; Cornerstone starts its decoders as blob workers when bundled.
    "script-src 'self' 'wasm-unsafe-eval'",
    "worker-src 'self' blob:",
    "connect-src 'self' data: blob:",
    "img-src 'self' data: blob:",
    "style-src 'self'",
    "font-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    `frame-ancestors ${mayFrame.length === 0 ? "'none'" : mayFrame.join(' ')}`,
  ].join('; ');

  return (_request, response, next) => {
    response.setHeader('Content-Security-Policy', policy);
    response.setHeader('X-Content-Type-Options', 'nosniff');
    // The one-time code is in the fragment and launch parameters are in the query: neither may leave by a Referer.
    response.setHeader('Referrer-Policy', 'no-referrer');
    response.setHeader('Permissions-Policy', 'camera=(), microphone=(), geolocation=(), payment=(), usb=()');
    response.setHeader('Cross-Origin-Resource-Policy', 'same-origin');
    response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
    next();
  };
}
