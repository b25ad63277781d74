/** Fetches JSON from a configured system without trusting it: a time limit, a size limit, no redirects. */

export type Fetch = typeof globalThis.fetch;

export type BoundedAnswer = { readonly status: number; readonly body: unknown };

export async function boundedJson(
  url: string,
  options: {
    readonly fetch: Fetch;
    readonly headers: Readonly<Record<string, string>>;
    readonly maxBytes: number;
    readonly signal: AbortSignal;
  },
): Promise<BoundedAnswer> {
  const response = await options.fetch(url, {
    headers: options.headers,
    signal: options.signal,
    // A redirect would carry the token, or our trust in the key, to an address nobody allowed.
    redirect: 'error',
  });
  const body = await limitedText(response, options.maxBytes);
  return { status: response.status, body: response.ok ? JSON.parse(body) : undefined };
}

async function limitedText(response: Response, maxBytes: number): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  // Leaving the loop by the error cancels the body.
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) throw new RangeError(`answer is longer than ${maxBytes} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
