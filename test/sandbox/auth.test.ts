/** The demo hospital's authorization server: a launch that goes well, and everything that must be refused. */
import { createRemoteJWKSet, exportSPKI, generateKeyPair, jwtVerify } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  assertionType,
  authorize,
  authorizeRequest,
  codeForm,
  fhirCaller,
  form,
  json,
  startTestHospital,
  type TestHospital,
} from './hospital.ts';

let hospital: TestHospital;
beforeAll(async () => {
  hospital = await startTestHospital();
});
afterAll(async () => hospital?.stop());

const launchFor = async (patient = 'patient-okafor', more: Record<string, unknown> = {}) =>
  (await json(`${hospital.url}/ehr/api/launch`, { patient, ...more })).body as { launch: string; url: string };
const request = async () => authorizeRequest({ ...hospital, launch: (await launchFor()).launch });
/** A code that is good, and the form that would exchange it. */
async function exchange() {
  const asked = await request();
  const { code } = await authorize(hospital.url, asked.parameters);
  return codeForm({ ...hospital, code, verifier: asked.verifier });
}

describe('a launch', () => {
  test('tells the app who is signed in, which patient is open and what the card pointed at', async () => {
    const studies = fhirCaller(hospital.fhir, await hospital.backendToken('system/ImagingStudy.cruds'));
    const study = await studies('POST', '/ImagingStudy', {
      resourceType: 'ImagingStudy',
      status: 'available',
      subject: { reference: 'Patient/patient-brandt' },
    });
    const { status, body } = await hospital.launchedToken('patient-brandt', {
      appContext: '{"finding":"abc"}',
      imagingStudy: study.body.id!,
    });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      token_type: 'Bearer',
      patient: 'patient-brandt',
      encounter: 'brandt-visit-today',
      appContext: '{"finding":"abc"}',
      fhirContext: [{ reference: `ImagingStudy/${study.body.id}` }],
      need_patient_banner: false,
      intent: 'review',
    });
    const { payload, protectedHeader } = await jwtVerify(
      String(body['id_token']),
      createRemoteJWKSet(new URL(`${hospital.url}/auth/jwks`)),
      { issuer: `${hospital.url}/auth`, audience: 'wetread-app' },
    );
    expect(protectedHeader.alg).toBe('ES384');
    expect(payload).toMatchObject({
      fhirUser: `${hospital.fhir}/Practitioner/practitioner-vasquez`,
      nonce: 'the-nonce',
      name: 'Dr Elena Vasquez',
    });
  });

  test('opens only the app that is registered', async () => {
    const { status } = await json(`${hospital.url}/ehr/api/launch`, {
      patient: 'patient-okafor',
      url: 'https://elsewhere.example/app/launch',
    });
    expect(status).toBe(403);
  });

  test('comes with the issuer of the answer and the state that was sent', async () => {
    const asked = await request();
    const answer = await authorize(hospital.url, asked.parameters);
    expect(answer.state).toBe(asked.parameters['state']);
    expect(new URL(answer.location!).searchParams.get('iss')).toBe(`${hospital.url}/auth`);
  });

  test.each([
    ['no PKCE', { code_challenge: '' }, 'invalid_request'],
    ['PKCE in the clear', { code_challenge_method: 'plain' }, 'invalid_request'],
    ['a state that can be guessed', { state: 'abc' }, 'invalid_request'],
    ['another FHIR server as aud', { aud: 'https://elsewhere.example/fhir' }, 'invalid_request'],
    ['a launch nobody offered', { launch: 'made-up' }, 'invalid_request'],
    ['another response type', { response_type: 'token' }, 'unsupported_response_type'],
    ['scopes that are not registered', { scope: 'system/*.cruds' }, 'invalid_scope'],
  ])('with %s is refused in the redirect', async (_, spoiled, error) => {
    const asked = await request();
    const answer = await authorize(hospital.url, { ...asked.parameters, ...spoiled });
    expect([answer.status, answer.error, answer.code]).toEqual([302, error, '']);
  });

  test.each([
    ['another address', { redirect_uri: 'https://elsewhere.example/app/callback' }],
    ['a longer address', { redirect_uri: 'REGISTERED/more' }],
    ['an unknown client', { client_id: 'somebody' }],
    ['the backend client', { client_id: 'wetread' }],
  ])('with %s is refused without any redirect', async (_, spoiled) => {
    const asked = await request();
    const parameters: Record<string, string> = { ...asked.parameters, ...spoiled };
    parameters['redirect_uri'] = parameters['redirect_uri']!.replace('REGISTERED', asked.parameters['redirect_uri']!);
    const answer = await authorize(hospital.url, parameters);
    expect([answer.status, answer.location, answer.body['error']]).toEqual([400, null, 'invalid_request']);
  });

  test('can be used once', async () => {
    const asked = await request();
    expect((await authorize(hospital.url, asked.parameters)).error).toBeNull();
    expect((await authorize(hospital.url, asked.parameters)).error).toBe('invalid_request');
  });
});

describe('a code', () => {
  test('is not given to another verifier, and is spent by the attempt', async () => {
    const good = await exchange();
    const wrong = await form(hospital.tokenEndpoint, { ...good, code_verifier: 'x'.repeat(43) });
    expect([wrong.status, wrong.body['error']]).toEqual([400, 'invalid_grant']);
    const again = {
      ...good,
      client_assertion: await hospital.listener.assertion('wetread-app', hospital.tokenEndpoint),
    };
    expect((await form(hospital.tokenEndpoint, again)).body['error']).toBe('invalid_grant');
  });

  test('that is used twice ends the token it gave', async () => {
    const good = await exchange();
    const first = await form(hospital.tokenEndpoint, good);
    const chart = fhirCaller(hospital.fhir, String(first.body['access_token']));
    expect((await chart('GET', '/Patient/patient-okafor')).status).toBe(200);
    const again = {
      ...good,
      client_assertion: await hospital.listener.assertion('wetread-app', hospital.tokenEndpoint),
    };
    expect((await form(hospital.tokenEndpoint, again)).body['error']).toBe('invalid_grant');
    expect((await chart('GET', '/Patient/patient-okafor')).status).toBe(401);
  });

  test('is not given for another redirect address', async () => {
    const answer = await form(hospital.tokenEndpoint, {
      ...(await exchange()),
      redirect_uri: `${hospital.listener.url}/app/other`,
    });
    expect(answer.body['error']).toBe('invalid_grant');
  });

  test('is not given to another client', async () => {
    const good = await exchange();
    const answer = await form(hospital.tokenEndpoint, {
      ...good,
      client_id: 'wetread',
      client_assertion: await hospital.listener.assertion('wetread', hospital.tokenEndpoint),
    });
    expect([answer.status, answer.body['error']]).toEqual([400, 'unauthorized_client']);
  });
});

describe('a client', () => {
  const ask = async (assertion: string) =>
    form(hospital.tokenEndpoint, {
      grant_type: 'client_credentials',
      scope: 'system/Patient.rs',
      client_assertion_type: assertionType,
      client_assertion: assertion,
    });
  const assertion = (...given: Parameters<TestHospital['listener']['assertion']>) =>
    hospital.listener.assertion(...given);

  test('that proves itself gets a token that says so', async () => {
    const { status, body } = await ask(await assertion('wetread', hospital.tokenEndpoint));
    expect(status).toBe(200);
    expect(body).toMatchObject({ token_type: 'Bearer', scope: 'system/Patient.rs', expires_in: 300 });
    const introspect = `${hospital.url}/auth/introspect`;
    const about = await form(introspect, {
      token: String(body['access_token']),
      client_assertion_type: assertionType,
      client_assertion: await assertion('wetread', introspect),
    });
    expect(about.body).toMatchObject({
      active: true,
      client_id: 'wetread',
      scope: 'system/Patient.rs',
      aud: hospital.fhir,
    });
  });

  test('with a proof that was used before is refused', async () => {
    const once = await assertion('wetread', hospital.tokenEndpoint);
    expect((await ask(once)).status).toBe(200);
    expect((await ask(once)).body['error']).toBe('invalid_client');
  });

  test('that signs with its public key as a shared secret is refused', async () => {
    const { publicKey } = await generateKeyPair('ES384', { extractable: true });
    const secret = new TextEncoder().encode(await exportSPKI(publicKey));
    const answer = await ask(await assertion('wetread', hospital.tokenEndpoint, { alg: 'HS256', key: secret }));
    expect([answer.status, answer.body['error']]).toEqual([401, 'invalid_client']);
  });

  test('that does not sign at all is refused', async () => {
    const [, claims] = (await assertion('wetread', hospital.tokenEndpoint)).split('.');
    const unsigned = `${Buffer.from('{"alg":"none","typ":"JWT","kid":"test-key"}').toString('base64url')}.${claims}.`;
    expect((await ask(unsigned)).body['error']).toBe('invalid_client');
  });

  test('that signs with a key it has not published is refused', async () => {
    const { privateKey } = await generateKeyPair('ES384');
    expect((await ask(await assertion('wetread', hospital.tokenEndpoint, { key: privateKey }))).status).toBe(401);
  });

  test.each([
    ['for another address', { aud: 'https://elsewhere.example/token' }],
    ['that lives too long', { exp: Math.floor(Date.now() / 1000) + 3600 }],
    ['that has expired', { exp: Math.floor(Date.now() / 1000) - 60 }],
    ['of another subject', { sub: 'somebody' }],
    ['of an unknown client', { iss: 'somebody', sub: 'somebody' }],
    ['without an id', { jti: undefined as never }],
  ])('with a proof %s is refused', async (_, claims) => {
    const answer = await ask(await assertion('wetread', hospital.tokenEndpoint, { claims }));
    expect([answer.status, answer.body['error']]).toEqual([401, 'invalid_client']);
  });

  test('does not get another grant than its own', async () => {
    const answer = await form(hospital.tokenEndpoint, {
      grant_type: 'client_credentials',
      scope: 'patient/*.rs',
      client_assertion_type: assertionType,
      client_assertion: await assertion('wetread-app', hospital.tokenEndpoint),
    });
    expect(answer.body['error']).toBe('unauthorized_client');
    const password = await form(hospital.tokenEndpoint, {
      grant_type: 'password',
      client_assertion_type: assertionType,
      client_assertion: await assertion('wetread', hospital.tokenEndpoint),
    });
    expect(password.body['error']).toBe('unsupported_grant_type');
  });
});
