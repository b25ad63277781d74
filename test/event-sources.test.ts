/** What of the configuration is refused before anything listens, and what is made of it. */
import { describe, expect, it } from 'vitest';
import { readConfig } from '../src/config.ts';
import { silentLogger } from '../src/domain/log.ts';
import { theHl7 } from '../src/event-sources.ts';

const hl7 = (environment: NodeJS.ProcessEnv) =>
  theHl7(readConfig(environment), { exams: { hear: async () => 'new' }, onHeard: () => {}, logger: silentLogger });
const reason = async (environment: NodeJS.ProcessEnv): Promise<string> => {
  try {
    const source = await hl7({ WETREAD_HL7_PORT: '0', ...environment });
    return source === undefined ? 'none' : 'made';
  } catch (error) {
    return (error as Error).message;
  }
};

describe('HL7 messages', () => {
  it('are not heard unless a port is set', async () => {
    expect(await hl7({})).toBeUndefined();
    expect(await hl7({ WETREAD_HL7_PORT: '0' })).toBeDefined();
  });

  it('are not heard from a whole network without knowing who sends', async () => {
    expect(await reason({ WETREAD_HL7_HOST: '0.0.0.0' })).toContain('WETREAD_HL7_ADDRESSES');
    expect(await reason({ WETREAD_HL7_HOST: '10.0.0.1' })).toContain('WETREAD_HL7_ADDRESSES');
    expect(await reason({ WETREAD_HL7_HOST: '0.0.0.0', WETREAD_HL7_ADDRESSES: '10.1.0.0/16' })).toBe('made');
    for (const host of ['localhost', '127.0.0.2', '::1']) expect(await reason({ WETREAD_HL7_HOST: host })).toBe('made');
  });

  it('over TLS need certificate and key, and files that are there', async () => {
    expect(await reason({ WETREAD_HL7_TLS_CERT_FILE: 'a.pem' })).toContain('belong together');
    expect(await reason({ WETREAD_HL7_TLS_CLIENT_CA_FILE: 'ca.pem' })).toContain('WETREAD_HL7_TLS_CERT_FILE');
    expect(
      await reason({ WETREAD_HL7_TLS_CERT_FILE: '/nowhere/a.pem', WETREAD_HL7_TLS_KEY_FILE: '/nowhere/a.key' }),
    ).toContain('WETREAD_HL7_TLS_CERT_FILE: the file cannot be read');
  });

  it('hold the accession number in fields that there are', () => {
    expect(readConfig({ WETREAD_HL7_ACCESSION_FIELDS: 'OBR-20, OBR-3' }).WETREAD_HL7_ACCESSION_FIELDS).toEqual([
      'OBR-20',
      'OBR-3',
    ]);
    expect(() => readConfig({ WETREAD_HL7_ACCESSION_FIELDS: 'OBR20' })).toThrow(/WETREAD_HL7_ACCESSION_FIELDS/);
  });
});

describe('topics of subscriptions', () => {
  it('are about imaging studies unless they say otherwise', () => {
    const topics = 'https://a.example/t, ServiceRequest=https://a.example/o,DiagnosticReport=https://a.example/r';
    expect(readConfig({ WETREAD_SUBSCRIPTION_TOPIC: topics }).WETREAD_SUBSCRIPTION_TOPIC).toEqual([
      { type: 'ImagingStudy', url: 'https://a.example/t' },
      { type: 'ServiceRequest', url: 'https://a.example/o' },
      { type: 'DiagnosticReport', url: 'https://a.example/r' },
    ]);
    expect(readConfig({}).WETREAD_SUBSCRIPTION_TOPIC).toEqual([]);
    expect(() => readConfig({ WETREAD_SUBSCRIPTION_TOPIC: 'orders' })).toThrow(/WETREAD_SUBSCRIPTION_TOPIC/);
  });
});
