/** Reports in a real FHIR server: exactly one of each, whatever is repeated, raced, refused or cut off. */
import type { Bundle, DiagnosticReport, Observation } from 'fhir/r4.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/domain/log.ts';
import { fhirClient } from '../../src/fhir/client.ts';
import { fhirReport } from '../../src/outputs/fhir-report.ts';
import { testFhirServer, type TestFhirServer } from '../support/fhir-server.ts';
import { confirmed, gradeOne, normal, packSummary, rejected, study, twoSlips } from './readings.ts';

let server: TestFhirServer;
beforeEach(async () => {
  server = await testFhirServer();
});
afterEach(async () => {
  await server.stop();
});

const output = () =>
  fhirReport({
    client: fhirClient({ baseUrl: server.baseUrl, timeoutMs: 30_000, logger: silentLogger, retries: 1, retryMs: 5 }),
    publicUrl: 'http://127.0.0.1:8080',
    reportStatus: 'partial',
    packs: [packSummary],
    logger: silentLogger,
  });
const counts = async () => ({
  reports: (await server.all('DiagnosticReport')).length,
  observations: (await server.all('Observation')).length,
  devices: (await server.all('Device')).length,
  provenances: (await server.all('Provenance')).length,
});
const theReport = async (): Promise<DiagnosticReport> => {
  const reports = await server.all('DiagnosticReport');
  expect(reports).toHaveLength(1);
  return reports[0]!;
};
/** Every reference of the report and of the provenances leads to a resource that exists. */
async function nothingDangles(): Promise<void> {
  const [reports, observations, devices, provenances] = await Promise.all([
    server.all('DiagnosticReport'),
    server.all('Observation'),
    server.all('Device'),
    server.all('Provenance'),
  ]);
  const there = new Set(
    [...reports, ...observations, ...devices].map(({ resourceType, id }) => `${resourceType}/${id}`),
  );
  const references = [
    ...reports.flatMap(({ result = [] }) => result),
    ...observations.map(({ device }) => device!),
    ...provenances.flatMap(({ target, agent }) => [...target, ...agent.map(({ who }) => who)]),
  ].map(({ reference }) => reference!);
  expect(references.filter((reference) => !reference.startsWith('Practitioner/') && !there.has(reference))).toEqual([]);
}
const expectedGradeOne = { reports: 1, observations: 6, devices: 1, provenances: 1 };

describe('writing', () => {
  it('writes everything in one transaction, without conditions where the server refuses so many, and resolves the references inside it', async () => {
    await output().write(gradeOne, study);
    expect(await counts()).toEqual(expectedGradeOne);
    expect(
      server.requests.filter(({ method }) => method !== 'GET').map(({ method, path }) => `${method} ${path}`),
    ).toEqual(['POST ', 'POST ']);
    await nothingDangles();
    const report = await theReport();
    expect(report.identifier).toEqual([{ system: 'urn:ietf:rfc:3986', value: `urn:uuid:${gradeOne.id}` }]);
    expect(report.result).toHaveLength(6);
  });

  it('leaves everything as it is when the same reading is written again', async () => {
    await output().write(gradeOne, study);
    const before = await theReport();
    await output().write(gradeOne, study);
    expect(await counts()).toEqual(expectedGradeOne);
    expect((await theReport()).meta?.versionId).toBe(before.meta?.versionId);
  });

  it('shares one Device between the readings of one model version', async () => {
    await output().write(gradeOne, study);
    await output().write(normal, study);
    expect(await counts()).toEqual({ reports: 2, observations: 12, devices: 1, provenances: 2 });
  });

  it('turns the same report final after the review and adds who verified it', async () => {
    await output().write(gradeOne, study);
    const before = await theReport();
    await output().write(confirmed, study);
    const after = await theReport();
    expect(after.id).toBe(before.id);
    expect(after.status).toBe('final');
    expect(after.meta?.security?.map(({ code }) => code)).toEqual(['CLINAST_AIRPT']);
    expect(await counts()).toEqual({ ...expectedGradeOne, provenances: 3 });
    await nothingDangles();
  });

  it('withdraws a rejected suggestion', async () => {
    await output().write(gradeOne, study);
    await output().write(rejected, study);
    const withdrawn = (await server.all('Observation')).filter(({ status }) => status === 'entered-in-error');
    expect(withdrawn).toHaveLength(1);
    expect((await theReport()).result).not.toContainEqual({ reference: `Observation/${withdrawn[0]!.id}` });
  });

  it('does not take a review back when an older job comes late', async () => {
    await output().write(confirmed, study);
    await output().write(gradeOne, study);
    expect((await theReport()).status).toBe('final');
    expect((await server.all('Observation')).every(({ status }) => status === 'final')).toBe(true);
  });

  it('does not take a single verdict back either', async () => {
    const [first, second] = twoSlips.findings;
    await output().write(
      {
        ...twoSlips,
        findings: [
          {
            ...first!,
            verdict: {
              kind: 'confirmed',
              by: { reference: 'Practitioner/rad', display: 'Dr' },
              at: '2026-03-02T10:00:00.000Z',
            },
          },
          second!,
        ],
      },
      study,
    );
    await output().write(twoSlips, study);
    expect((await server.all('Observation')).map(({ status }) => status).sort()).toEqual(['final', 'preliminary']);
  });
});

describe('two writers at once', () => {
  for (const [how, ignores] of [
    ['a server that honours If-None-Exist', false],
    ['a server that ignores If-None-Exist', true],
  ] as const) {
    it(`leave one report on ${how}`, async () => {
      server.ignoreIfNoneExist = ignores;
      await Promise.all([
        output().write(gradeOne, study),
        output().write(gradeOne, study),
        output().write(gradeOne, study),
      ]);
      expect(await counts()).toEqual(expectedGradeOne);
      await nothingDangles();
    });

    it(`end with the review when they contradict each other, on ${how}`, async () => {
      server.ignoreIfNoneExist = ignores;
      await Promise.all([
        output().write(gradeOne, study),
        output().write(confirmed, study),
        output().write(gradeOne, study),
      ]);
      expect(await counts()).toEqual({ ...expectedGradeOne, provenances: 3 });
      expect((await theReport()).status).toBe('final');
      expect((await server.all('Observation')).every(({ status }) => status === 'final')).toBe(true);
      await nothingDangles();
    });
  }

  it('need no duplicates removed where If-None-Exist holds', async () => {
    // Small enough for this server to take the condition.
    await Promise.all([output().write(twoSlips, study), output().write(twoSlips, study)]);
    expect(await counts()).toEqual({ reports: 1, observations: 2, devices: 1, provenances: 1 });
    expect(
      server.requests
        .flatMap(({ body }) => (body as Bundle | undefined)?.entry ?? [])
        .every(({ request }) => request?.ifNoneExist !== undefined),
    ).toBe(true);
    await nothingDangles();
  });

  it('marks a duplicate as a mistake where deleting is not allowed', async () => {
    server.ignoreIfNoneExist = true;
    server.interfere = ({ method }) => (method === 'DELETE' ? { status: 405 } : undefined);
    await Promise.all([output().write(gradeOne, study), output().write(gradeOne, study)]);
    const reports = await server.all('DiagnosticReport');
    const standing = reports.filter(({ status }) => status !== 'entered-in-error');
    expect(standing).toHaveLength(1);
    expect(standing[0]!.status).toBe('partial');
    const named = (await server.all('Observation')).filter(({ identifier }) => identifier !== undefined);
    expect(named).toHaveLength(6);
    expect(new Set(standing[0]!.result!.map(({ reference }) => reference))).toEqual(
      new Set(named.map(({ id }) => `Observation/${id}`)),
    );
  });
});

describe('when things go wrong', () => {
  it('says chart.rejected, not to be repeated, when the server does not accept the report', async () => {
    server.interfere = ({ method }) =>
      method === 'POST'
        ? {
            status: 422,
            body: {
              resourceType: 'OperationOutcome',
              issue: [{ severity: 'error', code: 'invariant', diagnostics: 'no' }],
            },
          }
        : undefined;
    await expect(output().write(gradeOne, study)).rejects.toMatchObject({
      code: 'chart.rejected',
      row: { retry: false },
    });
    expect(await counts()).toEqual({ reports: 0, observations: 0, devices: 0, provenances: 0 });
  });

  it('is unreachable while the server is down, and writes once when it is back', async () => {
    await server.stop();
    await expect(output().write(gradeOne, study)).rejects.toMatchObject({
      code: 'chart.unreachable',
      row: { retry: true },
    });
    await server.start();
    await output().write(gradeOne, study);
    expect(await counts()).toEqual(expectedGradeOne);
  });

  it('leaves one report when the answer to the transaction is lost and the job runs again', async () => {
    server.interfere = ({ method }) => (method === 'POST' ? 'lose the answer' : undefined);
    await expect(output().write(gradeOne, study)).rejects.toMatchObject({ code: 'chart.unreachable' });
    expect(await counts()).toEqual(expectedGradeOne);
    server.interfere = () => undefined;
    await output().write(gradeOne, study);
    expect(await counts()).toEqual(expectedGradeOne);
  });

  it('completes what a crash in the middle left', async () => {
    await output().write(gradeOne, study);
    const [lost] = await server.all('DiagnosticReport');
    await fetch(`${server.baseUrl}/DiagnosticReport/${lost!.id}`, { method: 'DELETE' });
    await output().write(gradeOne, study);
    expect(await counts()).toEqual(expectedGradeOne);
    await nothingDangles();
  });

  it('writes resource by resource where there are no transactions', async () => {
    server.interfere = ({ method, path }) => (method === 'POST' && path === '' ? { status: 405 } : undefined);
    await output().write(gradeOne, study);
    await output().write(confirmed, study);
    expect(await counts()).toEqual({ ...expectedGradeOne, provenances: 3 });
    expect((await theReport()).status).toBe('final');
    await nothingDangles();
  });

  it('settles on a server that stores numbers its own way', async () => {
    await output().write(gradeOne, study);
    // As a server with decimals of fixed precision would hold it.
    const changed = (await server.all('Observation')).find(
      ({ component }) => component?.[0]?.valueQuantity !== undefined,
    ) as Observation & { id: string };
    server.interfere = () => undefined;
    const body = {
      ...changed,
      component: [
        { ...changed.component![0]!, valueQuantity: { ...changed.component![0]!.valueQuantity, value: 0.60001 } },
        ...changed.component!.slice(1),
      ],
    };
    await fetch(`${server.baseUrl}/Observation/${changed.id}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/fhir+json' },
      body: JSON.stringify(body),
    });
    server.requests.length = 0;
    await output().write(gradeOne, study);
    expect(server.requests.filter(({ method }) => method === 'POST')).toHaveLength(1);
    expect(await counts()).toEqual(expectedGradeOne);
  });

  it('stops when its signal says so', async () => {
    await expect(output().write(gradeOne, study, AbortSignal.abort(new Error('shutting down')))).rejects.toThrow(
      'shutting down',
    );
    expect(server.requests).toEqual([]);
  });
});
