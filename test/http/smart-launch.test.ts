/** The SMART launch against a real OpenID provider on loopback: what goes right, and every way it must not go. */
import express from 'express';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { silentLogger, type Logger } from '../../src/domain/log.ts';
import type { AuditEntry } from '../../src/domain/ports.ts';
import { listen, type RunningServer } from '../../src/http/server.ts';
import { appSessions, type AppSessions } from '../../src/http/sessions.ts';
import { smartLaunch } from '../../src/http/smart-launch.ts';
import { openStore, type Store } from '../../src/store/open-store.ts';
import { defaultStrangerRules, strangerRefusals } from '../../src/store/stranger-refusals.ts';
import { testDatabase } from '../support/postgres.ts';
import { ehrForTests, type Lies } from './ehr-for-tests.ts';

let store: Store;
let service: RunningServer;
let url: string;
let ehr: Awaited<ReturnType<typeof ehrForTests>>;
let sessions: AppSessions;
const audited: AuditEntry[] = [];
const audit = { record: async (entry: AuditEntry) => void audited.push(entry) };
const logged: string[] = [];
const logger: Logger = {
  ...silentLogger,
  warn: (message, fields) => void logged.push(JSON.stringify([message, fields])),
};
const clock = { ahead: 0 };

beforeAll(async () => {
  store = await openStore({ databaseUrl: await testDatabase(), dataDir: '.', outputs: [], logger: silentLogger });
  const keys = await generateKeyPair('ES384', { extractable: true });
  const jwks = { keys: [{ ...(await exportJWK(keys.publicKey)), kid: 'wetread-1', alg: 'ES384' }] };
  // The launch needs to know its own address before it is built: the port is taken first.
  const app = express();
  service = await listen(app, { host: '127.0.0.1', port: 0 });
  url = `http://127.0.0.1:${service.port}`;
  ehr = await ehrForTests({ id: 'wetread-app', jwks, redirectUri: `${url}/app/callback` });
  const now = () => Date.now() + clock.ahead;
  sessions = appSessions({ store: store.sessions, now });
  app.use(
    smartLaunch({
      issuers: [{ iss: ehr.iss, clientId: 'wetread-app' }],
      clientAssertion: (clientId, audience) =>
        new SignJWT()
          .setProtectedHeader({ alg: 'ES384', kid: 'wetread-1' })
          .setIssuer(clientId)
          .setSubject(clientId)
          .setAudience(audience)
          .setJti(crypto.randomUUID())
          .setIssuedAt()
          .setExpirationTime('4m')
          .sign(keys.privateKey),
      publicUrl: url,
      sessions,
      audit,
      // Every refusal of these tests is one that the audit shows at once.
      strangers: strangerRefusals({
        audit,
        logger: silentLogger,
        rules: { ...defaultStrangerRules, oneByOne: 1_000, oneByOneInAll: 1_000 },
      }),
      logger,
      now,
    }),
  );
});
afterAll(async () => {
  await ehr?.close();
  await service?.close();
  await store?.close();
});
beforeEach(() => {
  clock.ahead = 0;
  audited.length = 0;
  logged.length = 0;
  Object.assign(ehr, { lies: {}, appContext: undefined, fhirContext: undefined });
});

type Hop = { readonly status: number; readonly to: string; readonly cookies: string; readonly answer: Response };

async function hop(address: string, cookies = ''): Promise<Hop> {
  const answer = await fetch(address, { redirect: 'manual', headers: cookies === '' ? {} : { cookie: cookies } });
  const set = answer.headers.getSetCookie().map((cookie) => cookie.split(';')[0]);
  return { status: answer.status, to: answer.headers.get('location') ?? '', cookies: set.join('; '), answer };
}

/** Chart → /app/launch → the EHR's login → back at our door. */
async function untilCallback(launch = 'launch-1'): Promise<{ callback: string; cookies: string }> {
  const begun = await hop(`${url}/app/launch?iss=${encodeURIComponent(ehr.iss)}&launch=${launch}`);
  expect(begun.status).toBe(302);
  const login = await hop(begun.to);
  return { callback: login.to, cookies: begun.cookies };
}

async function launched(): Promise<Hop> {
  const { callback, cookies } = await untilCallback();
  return hop(callback, cookies);
}

const codeIn = (address: string): string => /#code=(.+)$/.exec(address)?.[1] ?? '';

async function refused(step: Hop, status: number, code: string): Promise<string> {
  const page = await step.answer.text();
  expect([step.status, step.answer.headers.get('content-type')]).toEqual([status, 'text/html; charset=utf-8']);
  expect(page).toContain(code);
  expect(page).toContain('What to do:');
  expect(audited.at(-1)).toEqual({ action: 'refused', actor: 'anonymous', code });
  return page;
}

describe('a launch', () => {
  test('asks the EHR with PKCE, an unguessable state, a nonce, the audience and only reading scopes', async () => {
    await untilCallback();
    const asked = ehr.authorizations.at(-1)!;
    expect(asked).toMatchObject({
      response_type: 'code',
      client_id: 'wetread-app',
      redirect_uri: `${url}/app/callback`,
      launch: 'launch-1',
      aud: ehr.iss,
      code_challenge_method: 'S256',
      code_challenge: expect.stringMatching(/^[A-Za-z0-9_-]{43}$/),
      state: expect.stringMatching(/^[A-Za-z0-9_-]{43}$/),
      nonce: expect.stringMatching(/^[A-Za-z0-9_-]{43}$/),
    });
    const scopes = asked['scope']!.split(' ');
    expect(scopes).toEqual(expect.arrayContaining(['launch', 'openid', 'fhirUser', 'patient/ImagingStudy.rs']));
    expect(scopes.filter((scope) => /\.[a-z]*[cud]|\*|offline/.test(scope.replace('openid', '')))).toEqual([]);
    expect(new Set([asked['state'], asked['nonce'], asked['code_challenge']]).size).toBe(3);
  });

  test('ends at the app with a code that opens a session of this patient and this user', async () => {
    ehr.appContext = JSON.stringify({ finding: '11111111-1111-8111-8111-111111111111' });
    const back = await launched();
    expect(back.status).toBe(302);
    expect(back.to).toMatch(new RegExp(`^${url}/app/#code=[A-Za-z0-9_-]{43}$`));
    expect(await sessions.redeem(codeIn(back.to))).toMatchObject({
      session: {
        patientId: 'ada',
        reviewer: { reference: 'Practitioner/lin', display: 'Dr Lin Wei' },
        opens: { finding: '11111111-1111-8111-8111-111111111111' },
      },
      banner: { display: 'Ada Marsh', birthDate: '1958-03-12', sex: 'female' },
    });
    expect(audited).toEqual([{ action: 'launch', actor: 'Practitioner/lin', patientId: 'ada', subject: ehr.iss }]);
    // The verifier was shown to the token endpoint and only there.
    expect(ehr.exchanges.at(-1)).toMatchObject({
      code_verifier: expect.stringMatching(/^[A-Za-z0-9_-]{43}$/),
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    });
    expect(JSON.stringify(ehr.authorizations.at(-1))).not.toContain(ehr.exchanges.at(-1)!['code_verifier']);
  });

  test.each([
    ['an object', { study: '1.2.3.10' }, { study: '1.2.3.10' }],
    ['JSON text', '{"study":"1.2.3.10"}', { study: '1.2.3.10' }],
    ['nonsense', '{"study":', undefined],
    ['a path', { study: '../../1.2.3' }, undefined],
    ['a finding that is no id', { finding: "' or 1=1" }, undefined],
    ['a list', ['1.2.3'], undefined],
    ['a number', 7, undefined],
    ['very long text', `{"study":"${'1'.repeat(5_000)}"}`, undefined],
  ])('takes from an appContext that is %s only what it can be sure of', async (_what, appContext, opens) => {
    ehr.appContext = appContext;
    const opened = await sessions.redeem(codeIn((await launched()).to));
    expect(opened).toBeDefined();
    expect(opened?.session.opens).toEqual(opens);
  });

  test('without appContext opens the ImagingStudy that the EHR has in context', async () => {
    ehr.fhirContext = [{ reference: 'Encounter/1' }, { reference: 'ImagingStudy/7' }];
    expect((await sessions.redeem(codeIn((await launched()).to)))?.session.opens).toEqual({ study: '1.2.3.10' });
  });

  test('asks for the SMART configuration once, not at each launch', async () => {
    await launched();
    const before = ehr.discoveries;
    await launched();
    await launched();
    expect(ehr.discoveries).toBe(before);
  });

  test('leaves no token, code or name in the log', async () => {
    ehr.lies = { tokenStatus: 400 };
    const { callback, cookies } = await untilCallback();
    await hop(callback, cookies);
    expect(logged.length).toBeGreaterThan(0);
    const secrets = [
      ...new URL(callback).searchParams.values(),
      'the-access-token',
      'Marsh',
      cookies.split('=')[1]!.split(';')[0]!,
    ];
    for (const secret of secrets) expect(logged.join()).not.toContain(secret);
  });
});

describe('is refused with a readable page', () => {
  test.each([['http://evil.example/fhir'], [''], ['http://127.0.0.1:1/fhir'], ['javascript:alert(1)']])(
    'from the unknown issuer %j, which is never asked anything',
    async (iss) => {
      const before = ehr.discoveries;
      const step = await hop(`${url}/app/launch?iss=${encodeURIComponent(iss)}&launch=x`);
      expect(await refused(step, 403, 'smart.issuer-not-trusted')).toContain('not configured');
      expect(ehr.discoveries).toBe(before);
    },
  );

  test('with two issuers at once', async () => {
    const step = await hop(`${url}/app/launch?iss=${encodeURIComponent(ehr.iss)}&iss=http://evil.example&launch=x`);
    expect(await refused(step, 403, 'smart.issuer-not-trusted')).toContain('not configured');
  });

  test('without a launch', async () => {
    const step = await hop(`${url}/app/launch?iss=${encodeURIComponent(ehr.iss)}`);
    expect(await refused(step, 400, 'smart.launch-expired')).toContain('sent no launch');
  });

  test('with a state nobody remembers, one used before, and one too old', async () => {
    await refused(await hop(`${url}/app/callback?state=${'x'.repeat(43)}&code=1`), 400, 'smart.launch-expired');

    const { callback, cookies } = await untilCallback();
    expect((await hop(callback, cookies)).status).toBe(302);
    await refused(await hop(callback, cookies), 400, 'smart.launch-expired');

    const late = await untilCallback();
    clock.ahead = 10 * 60_000 + 1;
    await refused(await hop(late.callback, late.cookies), 400, 'smart.launch-expired');
  });

  test('when another browser comes back with it', async () => {
    const { callback } = await untilCallback();
    const page = await refused(await hop(callback, 'wetread_launch_0=stolen'), 400, 'smart.launch-expired');
    expect(page).toContain('another browser');
    const own = await untilCallback();
    const theirs = await untilCallback();
    await refused(await hop(own.callback, theirs.cookies), 400, 'smart.launch-expired');
  });

  test.each<[string, Lies, string]>([
    ['the nonce is another launch’s', { nonce: 'another' }, 'The proof of who you are is not valid.'],
    ['the id_token is of another issuer', { issuer: 'http://evil.example' }, 'The proof of who you are is not valid.'],
    ['the id_token is for another client', { audience: 'somebody-else' }, 'The proof of who you are is not valid.'],
    ['the id_token is signed by a stranger', { strangersKey: true }, 'The proof of who you are is not valid.'],
    ['the id_token is not signed', { algorithm: 'none' }, 'The proof of who you are is not valid.'],
    [
      'the id_token is signed with the public key as a secret',
      { algorithm: 'HS256' },
      'The proof of who you are is not valid.',
    ],
    ['the id_token is over', { expired: true }, 'The proof of who you are is not valid.'],
    ['there is no user', { fhirUser: null }, 'The EHR did not say which clinician you are.'],
    ['the user is a patient', { fhirUser: 'Patient/ada' }, 'The EHR did not say which clinician you are.'],
    [
      'the user lives on another server',
      { fhirUser: 'http://evil.example/fhir/Practitioner/lin' },
      'The EHR did not say which clinician you are.',
    ],
    ['there is no patient', { patient: null }, 'The EHR did not say which patient is open.'],
    ['the patient is no id', { patient: '../Patient/ben' }, 'The EHR did not say which patient is open.'],
    ['the token endpoint refuses', { tokenStatus: 400 }, 'The EHR did not grant access.'],
    [
      'the answer names another authorization server',
      { answeringIssuer: 'http://evil.example' },
      'The answer came from another server.',
    ],
  ])('when %s', async (_what, lies, says) => {
    ehr.lies = lies;
    const step = await launched();
    const page = await refused(step, 502, 'smart.authorization-failed');
    expect(page).toContain(says);
    expect(page).toContain('Open the application from the chart again.');
    expect(step.to).toBe('');
  });

  test('when the EHR knows no PKCE with S256', async () => {
    // Past what is remembered of its configuration.
    clock.ahead = 11 * 60_000;
    ehr.lies = { pkce: ['plain'] };
    const step = await hop(`${url}/app/launch?iss=${encodeURIComponent(ehr.iss)}&launch=x`);
    expect(await refused(step, 502, 'smart.authorization-failed')).toContain('PKCE');
  });

  test('with what the EHR said, and none of its markup', async () => {
    ehr.lies = { callbackError: 'access_denied' };
    expect(await refused(await launched(), 502, 'smart.authorization-failed')).toContain('It said: access_denied.');
    ehr.lies = { callbackError: '<script>alert(1)</script>' };
    expect(await refused(await launched(), 502, 'smart.authorization-failed')).not.toContain('<script>');
  });
});

test('only the EHRs that launch the app may frame it, and scripts come from here alone', async () => {
  const { headers } = (await hop(`${url}/app/launch?iss=unknown&launch=x`)).answer;
  const policy = headers.get('content-security-policy') ?? '';
  expect(policy).toContain(`frame-ancestors ${ehr.base}`);
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("script-src 'self' 'wasm-unsafe-eval'");
  expect(policy).not.toMatch(/'unsafe-inline'|'unsafe-eval'|\*/);
  expect(headers.get('referrer-policy')).toBe('no-referrer');
  expect(headers.get('cache-control')).toBe('no-store');
});
