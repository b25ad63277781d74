/** Orders that other systems number, found in a real FHIR server. */
import type { ServiceRequest } from 'fhir/r4.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/domain/log.ts';
import { fhirClient } from '../../src/fhir/client.ts';
import { findOrder } from '../../src/fhir/find-order.ts';
import { testFhirServer, type TestFhirServer } from '../support/fhir-server.ts';

const mrn = 'http://hospital.example/mrn';
const accession = 'http://hospital.example/accession';
let chart: TestFhirServer;
const ids: Record<string, string> = {};
const find = (wanted: Partial<Parameters<ReturnType<typeof findOrder>>[0]>) =>
  findOrder({
    client: fhirClient({ baseUrl: chart.baseUrl, timeoutMs: 30_000, logger: silentLogger }),
    identifierSystems: { patient: mrn, accession },
  })({ orderNumbers: [], ...wanted });

beforeAll(async () => {
  chart = await testFhirServer();
  for (const number of ['M1', 'M2', 'M3', 'M3'])
    ids[number] = (await chart.put({ resourceType: 'Patient', identifier: [{ system: mrn, value: number }] })).id;
  const order = async (
    name: string,
    patient: string,
    identifier: ServiceRequest['identifier'] & {},
    status: ServiceRequest['status'] = 'active',
  ) => {
    ids[name] = (
      await chart.put<ServiceRequest>({
        resourceType: 'ServiceRequest',
        status,
        intent: 'order',
        subject: { reference: `Patient/${ids[patient]}` },
        identifier,
      })
    ).id;
  };
  await order('o1', 'M1', [{ system: accession, value: 'A1' }]);
  await order('o2', 'M1', [{ system: 'urn:x', value: 'P2' }]);
  await order('o3', 'M2', [{ system: 'urn:x', value: 'P2' }]);
  await order('o4', 'M1', [{ system: accession, value: 'A4' }], 'entered-in-error');
});
afterAll(() => chart.stop());

describe('an order of another system', () => {
  it('is found by its accession number', async () => {
    expect(await find({ accession: 'A1' })).toEqual({ patientId: ids['M1'], order: `ServiceRequest/${ids['o1']}` });
    expect(await find({ accession: 'A1', recordNumber: 'M1' })).toMatchObject({ order: `ServiceRequest/${ids['o1']}` });
  });

  it('is found by its order number for a patient who is known, and for nobody otherwise', async () => {
    expect(await find({ orderNumbers: ['P2'], recordNumber: 'M2' })).toEqual({
      patientId: ids['M2'],
      order: `ServiceRequest/${ids['o3']}`,
    });
    expect(await find({ orderNumbers: ['P2'] })).toBeUndefined();
  });

  it('of one patient is not taken for another’s', async () => {
    expect(await find({ accession: 'A1', recordNumber: 'M2' })).toEqual({ patientId: ids['M2'] });
  });

  it('that was entered in error, or that the chart does not have, is none', async () => {
    expect(await find({ accession: 'A4', recordNumber: 'M1' })).toEqual({ patientId: ids['M1'] });
    expect(await find({ accession: 'A9' })).toBeUndefined();
  });

  it('of a record number that two patients carry is nobody’s', async () => {
    await expect(find({ accession: 'A1', recordNumber: 'M3' })).rejects.toMatchObject({
      code: 'chart.patient-unknown',
    });
  });
});
