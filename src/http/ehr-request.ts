/** Small JSON answers from an EHR: no redirects, a time limit and a size limit, whatever it sends. */
import { WetreadError } from '../domain/errors.ts';

const longestMs = 8_000;
const mostBytes = 512 * 1024;

export type EhrAnswer = { readonly status: number; readonly body: Readonly<Record<string, unknown>> };

export async function askEhr(url: string, init: RequestInit = {}): Promise<EhrAnswer> {
  try {
    // A redirect could lead the code, the assertion or the token to another host.
    const response = await fetch(url, { ...init, redirect: 'error', signal: AbortSignal.timeout(longestMs) });
    const body: unknown = JSON.parse(await boundedText(response));
    if (body === null || typeof body !== 'object' || Array.isArray(body)) throw new Error('not a JSON object');
    return { status: response.status, body: body as Record<string, unknown> };
  } catch (error) {
    throw new WetreadError('smart.authorization-failed', 'The EHR gave no usable answer.', { cause: error });
  }
}

async function boundedText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > mostBytes) throw new Error(`answer longer than ${mostBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
