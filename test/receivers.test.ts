/** What the configuration may open for senders, and what it may not. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readConfig } from '../src/config.ts';
import type { ReceivedObjects } from '../src/domain/inbox.ts';
import { silentLogger } from '../src/domain/log.ts';
import { inboxInWords, receives, theReceivers } from '../src/receivers.ts';

const folder = mkdtempSync(join(tmpdir(), 'wetread-receivers-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const configured = (environment: NodeJS.ProcessEnv) => readConfig({ WETREAD_DATA_DIR: folder, ...environment });
const opened = (environment: NodeJS.ProcessEnv) =>
  theReceivers(configured(environment), {
    // Nothing is received here.
    received: {} as ReceivedObjects,
    announce: async () => 'known',
    logger: silentLogger,
  });

describe('receivers', () => {
  it('are shut unless somebody is named who may send', () => {
    const shut = opened({});
    expect([shut.routers, shut.dimse]).toEqual([[], undefined]);
    expect(receives(configured({}))).toBe(false);
    expect(opened({ WETREAD_STOW_SECRET: 'a-secret-of-some-length' }).routers).toHaveLength(1);
    expect(opened({ WETREAD_DIMSE_PORT: '11112', WETREAD_DIMSE_CALLERS: 'CT1@10.1.2.3' }).dimse).toBeDefined();
  });

  it.each([
    ['a port that nobody may call', {}, /WETREAD_DIMSE_CALLERS/],
    [
      'every address on a network',
      { WETREAD_DIMSE_CALLERS: '*@*', WETREAD_DIMSE_HOST: '0.0.0.0' },
      /lets every address in/,
    ],
    [
      'a certificate without its key',
      { WETREAD_DIMSE_CALLERS: 'A@10.0.0.1', WETREAD_DIMSE_TLS_CERT_FILE: 'x' },
      /go together/,
    ],
  ])('are not opened with %s', (_what, environment, says) => {
    expect(() => opened({ WETREAD_DIMSE_PORT: '11112', ...environment })).toThrow(says);
  });

  it('that cannot be opened are told of by doctor as well', async () => {
    await expect(inboxInWords(configured({ WETREAD_DIMSE_PORT: '11112' }))).rejects.toThrow(/WETREAD_DIMSE_CALLERS/);
  });

  it.each([
    ['WETREAD_DIMSE_CALLERS', 'CT1'],
    ['WETREAD_DIMSE_CALLERS', 'CT1@10.0.0.0/40'],
    ['WETREAD_DIMSE_CALLERS', 'A-TITLE-THAT-IS-TOO-LONG@10.0.0.1'],
    ['WETREAD_DIMSE_AET', 'TWO WORDS'],
    ['WETREAD_STOW_BASIC', 'modality:short'],
    ['WETREAD_STOW_SECRET', 'short'],
  ])('%s is not %s', (name, value) => {
    expect(() => configured({ [name]: value })).toThrow(name);
  });

  it('say in words what may be sent where', async () => {
    const words = await inboxInWords(
      configured({
        WETREAD_STOW_SECRET: 'a-secret-of-some-length',
        WETREAD_DIMSE_PORT: '104',
        WETREAD_DIMSE_CALLERS: '*@127.0.0.1',
      }),
    );
    expect(words).toMatch(/STOW-RS at http:.*dicom-web-in, C-STORE as WETREAD on 127\.0\.0\.1:104; \d+ GB free/);
    await expect(
      inboxInWords(configured({ WETREAD_STOW_SECRET: 'a-secret-of-some-length', WETREAD_INBOX_FREE_MB: '1e12' })),
    ).rejects.toMatchObject({ code: 'inbox.full' });
  });
});
