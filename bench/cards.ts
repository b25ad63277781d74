/** How fast cards are answered from stored findings, beside a bare Express handler that returns the same bytes. */
import autocannon from 'autocannon';
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey } from 'jose';
import { fork, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Start } from './cards-server.ts';
import type { BenchRow } from './row.ts';

export const publicUrl = 'http://wetread.bench';
const path = '/cds-services/wetread-patient-view';
const patients = 200;
/** Few: an EHR's server keeps a handful open, and a queue in the client would be measured as latency. */
const connections = 10;

/** Rounds, one server after the other in each, so that whatever else the machine does hits both alike. */
const rounds = 3;

export async function benchCards(): Promise<BenchRow[]> {
  const ehr = await signingClient();
  const cards = await served({ serve: 'cards', issuer: ehr.issuer, publicUrl, patients });
  try {
    const bare = await served({ serve: 'bare', bytes: await oneAnswer(cards.url, (await ehr.tokens('RS384', 1))[0]!) });
    try {
      return await measured(ehr, cards.url, bare.url);
    } finally {
      await bare.close();
    }
  } finally {
    await cards.close();
    await ehr.close();
  }
}

async function measured(
  ehr: Awaited<ReturnType<typeof signingClient>>,
  cards: string,
  bare: string,
): Promise<BenchRow[]> {
  const warmUp = await ehr.tokens('RS384', 2_000);
  await load(cards, warmUp);
  // The bare handler gets the same requests, tokens and all, and looks at none of it.
  await load(bare, warmUp);

  const steady = { rsa: nothing, elliptic: nothing, bare: nothing };
  const full = { rsa: nothing, elliptic: nothing, bare: nothing };
  for (let round = 0; round < rounds; round += 1) {
    const many = await ehr.tokens('RS384', 2_000);
    full.rsa = both(full.rsa, await load(cards, many));
    full.bare = both(full.bare, await load(bare, many));
    full.elliptic = both(full.elliptic, await load(cards, await ehr.tokens('ES384', 1_000)));
    const few = await ehr.tokens('RS384', 400);
    steady.rsa = both(steady.rsa, await load(cards, few, { rate: 100 }));
    steady.bare = both(steady.bare, await load(bare, few, { rate: 100 }));
    steady.elliptic = both(steady.elliptic, await load(cards, await ehr.tokens('ES384', 400), { rate: 100 }));
  }

  const latency = (name: string, one: Measured, at: number, target?: number): BenchRow => {
    const value = percentile(one.latenciesMs, at);
    return {
      name: `card latency ${name}, 100 requests/s`,
      value,
      unit: 'ms',
      limit: percentile(steady.bare.latenciesMs, at),
      limitName: 'bare Express',
      ...(target === undefined ? {} : { target: `< ${target} ms`, pass: value < target }),
    };
  };
  const throughput = (name: string, one: Measured, target?: number): BenchRow => {
    const ratio = perSecond(one) / perSecond(full.bare);
    return {
      name: `cards answered, ${name}`,
      value: Math.round(perSecond(one)),
      unit: 'requests/s',
      limit: Math.round(perSecond(full.bare)),
      limitName: 'bare Express',
      ratio,
      ...(target === undefined ? {} : { target: `≥ ${target}`, pass: ratio >= target }),
    };
  };
  return [
    latency('p50, RS384', steady.rsa, 0.5),
    latency('p99, RS384', steady.rsa, 0.99, 50),
    latency('p99, ES384', steady.elliptic, 0.99, 50),
    throughput('RS384 tokens', full.rsa, 0.25),
    // One ES384 signature costs about 0.8 ms of a core to check; nothing of that can be kept, as each token is used once.
    throughput('ES384 tokens', full.elliptic),
  ];
}

/** An EHR with a key of each kind. Tokens are signed beforehand, as signing is its work and not ours. */
export async function signingClient() {
  const [rsa, elliptic] = await Promise.all([generateKeyPair('RS384'), generateKeyPair('ES384')]);
  const keys = [
    { ...(await exportJWK(rsa.publicKey)), kid: 'RS384', alg: 'RS384' },
    { ...(await exportJWK(elliptic.publicKey)), kid: 'ES384', alg: 'ES384' },
  ];
  const server = createServer((_request, response) => void response.end(JSON.stringify({ keys })));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const privateKeys: Readonly<Record<string, CryptoKey>> = { RS384: rsa.privateKey, ES384: elliptic.privateKey };

  const sign = (alg: string): Promise<string> =>
    new SignJWT({ jti: randomUUID() })
      .setProtectedHeader({ alg, kid: alg, typ: 'JWT' })
      .setIssuer(issuer)
      .setAudience(`${publicUrl}${path}`)
      .setIssuedAt()
      .setExpirationTime('10m')
      .sign(privateKeys[alg]!);

  return {
    issuer,
    async tokens(alg: 'RS384' | 'ES384', count: number): Promise<string[]> {
      const tokens: string[] = [];
      while (tokens.length < count) {
        tokens.push(
          ...(await Promise.all(Array.from({ length: Math.min(200, count - tokens.length) }, () => sign(alg)))),
        );
      }
      return tokens;
    },
    close: async () => void server.close(),
  };
}

async function served(start: Start): Promise<{ readonly url: string; close(): Promise<void> }> {
  const child: ChildProcess = fork(join(import.meta.dirname, 'cards-server.ts'));
  child.send(start);
  const port = await Promise.race([
    once(child, 'message').then(([told]) => told as number),
    once(child, 'exit').then(([code]) => Promise.reject(new Error(`the bench server ended with ${code}`))),
  ]);
  return {
    url: `http://127.0.0.1:${port}`,
    async close() {
      const ended = once(child, 'exit');
      child.disconnect();
      await ended;
    },
  };
}

const headersWith = (token: string) => ({ 'content-type': 'application/json', authorization: `Bearer ${token}` });

/** As an EHR sends it, with the prefetch that discovery asks for. */
const bodyOf = (id: string): string => {
  return JSON.stringify({
    hook: 'patient-view',
    hookInstance: randomUUID(),
    context: { userId: 'Practitioner/example', patientId: id },
    prefetch: { patient: { resourceType: 'Patient', id, gender: 'female', birthDate: '1961-04-02' } },
  });
};

async function oneAnswer(url: string, token: string): Promise<string> {
  const response = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: headersWith(token),
    body: bodyOf('patient-0'),
  });
  const bytes = await response.text();
  const { cards } = JSON.parse(bytes) as { cards?: unknown[] };
  if (response.status !== 200 || cards?.length !== 1) throw new Error(`not one card: ${response.status} ${bytes}`);
  return bytes;
}

type Measured = { readonly tookMs: number; readonly latenciesMs: readonly number[] };

const nothing: Measured = { tookMs: 0, latenciesMs: [] };
const both = (one: Measured, other: Measured): Measured => ({
  tookMs: one.tookMs + other.tookMs,
  latenciesMs: [...one.latenciesMs, ...other.latenciesMs],
});
const perSecond = ({ tookMs, latenciesMs }: Measured): number => (latenciesMs.length * 1000) / tookMs;

/** One request with each token, as fast as the connections take them or so many per second; about one patient, or each in turn. */
export async function load(
  url: string,
  tokens: readonly string[],
  { rate, patient }: { rate?: number; patient?: string } = {},
): Promise<Measured> {
  const latenciesMs: number[] = [];
  let sent = 0;
  const started = performance.now();
  let ended = started;
  await new Promise<void>((resolve, reject) => {
    const run = autocannon(
      {
        url: `${url}${path}`,
        method: 'POST',
        connections,
        amount: tokens.length,
        ...(rate === undefined ? {} : { overallRate: rate }),
        requests: [
          {
            method: 'POST',
            path,
            setupRequest: (request) => {
              const number = sent++;
              return {
                ...request,
                headers: headersWith(tokens[number % tokens.length]!),
                body: bodyOf(patient ?? `patient-${number % patients}`),
              };
            },
          },
        ],
      },
      (error, result) => {
        if (error !== null && error !== undefined) return reject(error as Error);
        if (result.non2xx + result.errors > 0)
          return reject(new Error(`${result.non2xx} refused, ${result.errors} failed`));
        resolve();
      },
    );
    run.on('response', (_client, _status, _bytes, milliseconds) => {
      latenciesMs.push(milliseconds);
      ended = performance.now();
    });
  });
  return { tookMs: ended - started, latenciesMs };
}

export function percentile(values: readonly number[], at: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const value = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * at))] ?? Number.NaN;
  return Math.round(value * 100) / 100;
}
