/** Settings: read once, wrong ones named, secrets never shown. */
import { describe, expect, test } from 'vitest';
import { readConfig, settings, shown } from '../src/config.ts';

describe('settings', () => {
  test('have working defaults: loopback, built-in database, CPU', () => {
    const config = readConfig({});
    expect(config.publicUrl).toBe('http://127.0.0.1:8080');
    expect(config.DATABASE_URL).toBeUndefined();
    expect(config.WETREAD_EXECUTION_PROVIDER).toBe('cpu');
    expect(config.WETREAD_CDS_OPEN).toBe(false);
  });

  test('cannot be changed after they were read', () => {
    const config = readConfig({});
    expect(() => Object.assign(config, { WETREAD_PORT: 1 })).toThrow(TypeError);
  });

  test.each([
    ['WETREAD_PORT', 'eighty'],
    ['WETREAD_FHIR_URL', 'ftp://chart.example/fhir'],
    ['DATABASE_URL', 'mysql://somewhere/db'],
    ['WETREAD_CDS_CLIENTS', '[{"issuer":"x"}]'],
    ['WETREAD_CDS_CLIENTS', 'not json'],
    [
      'WETREAD_SMART_ISSUERS',
      '[{"iss":"https://chart.example","clientId":"w","frameOrigins":["https://ehr.example/a"]}]',
    ],
    ['WETREAD_SMART_ISSUERS', '[{"iss":"https://chart.example","clientId":"w","frameOrigins":["*"]}]'],
    ['WETREAD_EXECUTION_PROVIDER', 'gpu'],
    ['WETREAD_EVENT_SECRET', 'short'],
  ])('name the variable when %s is %s', (name, value) => {
    expect(() => readConfig({ [name]: value })).toThrow(
      expect.objectContaining({ code: 'config.invalid', message: expect.stringContaining(name) }),
    );
  });

  test('refuse a misspelt name, which would otherwise silently do nothing', () => {
    expect(() => readConfig({ WETREAD_DICOMWEB_ULR: 'http://pacs.example' })).toThrow(/WETREAD_DICOMWEB_ULR/);
  });

  test('take an empty variable as not set, and drop trailing slashes of addresses', () => {
    const config = readConfig({ WETREAD_PORT: '', WETREAD_FHIR_URL: 'https://chart.example/fhir//' });
    expect(config.WETREAD_PORT).toBe(8080);
    expect(config.WETREAD_FHIR_URL).toBe('https://chart.example/fhir');
  });

  test('say where pages of an EHR live that frame the app, when that is not where its FHIR server is', () => {
    const issuers = [
      {
        iss: 'https://chart.example/fhir',
        clientId: 'w',
        frameOrigins: ['https://ehr.example/', 'https://b.example:8443'],
      },
      { iss: 'https://other.example/fhir', clientId: 'w' },
    ];
    const config = readConfig({ WETREAD_SMART_ISSUERS: JSON.stringify(issuers) });
    expect(config.WETREAD_SMART_ISSUERS[0]?.frameOrigins).toEqual(['https://ehr.example', 'https://b.example:8443']);
    expect(config.WETREAD_SMART_ISSUERS[1]).toEqual(issuers[1]);
  });

  test('each have a meaning to show', () => {
    expect(settings.filter(({ meaning }) => meaning === '')).toEqual([]);
  });

  test('whose names say so are secrets', () => {
    const secret = /SECRET$|AUTHORIZATION$|BASIC$|PASSWORD|DATABASE_URL/;
    for (const { name } of settings) expect([name, shown(name, 'x') === '(set)']).toEqual([name, secret.test(name)]);
  });

  test.each(['WETREAD_DICOMWEB_URL', 'WETREAD_FHIR_URL', 'WETREAD_INFERENCE_SERVER', 'WETREAD_UPS_URL'])(
    'hold no password in an address, which is printed: %s',
    (name) => {
      const read = () => readConfig({ [name]: 'http://user:hunter2@host:8000/base' });
      expect(read).toThrow(/holds a name or password/);
      expect(read).not.toThrow(/hunter2/);
    },
  );

  test('show secrets only as set', () => {
    expect(shown('DATABASE_URL', 'postgres://user:hunter2@db/wetread')).toBe('(set)');
    expect(shown('WETREAD_DICOMWEB_AUTHORIZATION', undefined)).toBe('(not set)');
  });
});
