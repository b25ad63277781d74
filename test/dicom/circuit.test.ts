/** The circuit: an archive that does not answer is left alone for a while, and tried with one request. */
import { afterEach, describe, expect, test } from 'vitest';
import { circuit, type CircuitState } from '../../src/dicom/circuit.ts';
import { dicomwebArchive } from '../../src/dicom/dicomweb-archive.ts';
import { WetreadError } from '../../src/domain/errors.ts';
import { silentLogger } from '../../src/domain/log.ts';
import { answering, stopAnswering } from '../support/answering-server.ts';

afterEach(stopAnswering);

const away = new WetreadError('archive.unreachable', 'ECONNREFUSED');

function underTest() {
  let now = Date.parse('2026-03-01T00:00:00Z');
  const changes: CircuitState['kind'][] = [];
  const made = circuit({
    threshold: 3,
    openMs: 1000,
    longestOpenMs: 3000,
    onChange: ({ kind }) => void changes.push(kind),
    now: () => now,
  });
  return { made, changes, pass: (ms: number) => void (now += ms) };
}

describe('a circuit', () => {
  test('stays closed while any answer comes between failures', () => {
    const { made, changes } = underTest();
    for (let round = 0; round < 5; round += 1) {
      made.enter().failed(away);
      made.enter().failed(away);
      made.enter().answered();
    }
    expect(made.state()).toEqual({ kind: 'closed', failures: 0 });
    expect(changes).toEqual([]);
  });

  test('opens after repeated failures and says until when', () => {
    const { made, changes } = underTest();
    for (let failure = 0; failure < 3; failure += 1) made.enter().failed(away);
    expect(made.state()).toEqual({
      kind: 'open',
      failures: 3,
      retryAt: '2026-03-01T00:00:01.000Z',
      code: 'archive.unreachable',
    });
    expect(() => made.enter()).toThrow(expect.objectContaining({ code: 'archive.unreachable' }));
    expect(changes).toEqual(['open']);
  });

  test('lets one request try, and closes when that is answered', () => {
    const { made, changes, pass } = underTest();
    for (let failure = 0; failure < 3; failure += 1) made.enter().failed(away);
    pass(1000);
    const trying = made.enter();
    expect(() => made.enter()).toThrow(expect.objectContaining({ code: 'archive.unreachable' }));
    trying.answered();
    made.enter().answered();
    expect(changes).toEqual(['open', 'half-open', 'closed']);
  });

  test('stays open for twice as long after each failed try, up to a limit', () => {
    const { made, pass } = underTest();
    for (let failure = 0; failure < 3; failure += 1) made.enter().failed(away);
    for (const openMs of [1000, 2000, 3000, 3000]) {
      pass(openMs - 1);
      expect(() => made.enter()).toThrow('not asked again');
      pass(1);
      made.enter().failed(away);
    }
    pass(3000);
    made.enter().answered();
    // All is forgiven: the next opening is a short one.
    for (let failure = 0; failure < 3; failure += 1) made.enter().failed(away);
    pass(1000);
    made.enter().answered();
  });

  test('lets another request try when the first one was cancelled', () => {
    const { made, pass } = underTest();
    for (let failure = 0; failure < 3; failure += 1) made.enter().failed(away);
    pass(1000);
    made.enter().cancelled();
    expect(made.state().kind).toBe('open');
    made.enter().answered();
    expect(made.state().kind).toBe('closed');
  });

  test('is not opened by requests that began before and fail late', () => {
    const { made, pass } = underTest();
    const late = made.enter();
    for (let failure = 0; failure < 3; failure += 1) made.enter().failed(away);
    pass(1000);
    const trying = made.enter();
    late.failed(away);
    expect(made.state().kind).toBe('half-open');
    trying.answered();
    expect(made.state().kind).toBe('closed');
  });
});

describe('an archive behind it', () => {
  test('that is down is not asked any more, and found when it is back', async () => {
    let down = true;
    let now = 0;
    const { url, heard } = await answering((_, response) => response.writeHead(down ? 500 : 204).end());
    const changes: string[] = [];
    const answers: string[] = [];
    const archive = dicomwebArchive({
      baseUrl: url,
      circuit: { threshold: 2, openMs: 300, now: () => now, onChange: ({ kind }) => void changes.push(kind) },
      onAnswer: (outcome) => void answers.push(outcome),
      logger: silentLogger,
    });
    await expect(archive.probe()).rejects.toMatchObject({ code: 'archive.error', detail: 'status 500' });
    // Three tries of one request are one failure.
    expect(heard).toHaveLength(3);
    expect(archive.circuit()).toEqual({ kind: 'closed', failures: 1 });
    await expect(archive.probe()).rejects.toMatchObject({ code: 'archive.error' });
    await expect(archive.probe()).rejects.toMatchObject({
      code: 'archive.unreachable',
      detail: '2 failures in a row (archive.error); not asked again for a while',
    });
    expect(heard).toHaveLength(6);
    down = false;
    now = 300;
    await archive.probe();
    expect(changes).toEqual(['open', 'half-open', 'closed']);
    expect(archive.circuit()).toEqual({ kind: 'closed', failures: 0 });
    expect(answers).toEqual([...Array.from({ length: 6 }, () => 'archive.error'), 'ok']);
  });

  test('that only refuses, or does not have, is asked on', async () => {
    let status = 401;
    const { url, heard } = await answering((_, response) => response.writeHead(status).end());
    const archive = dicomwebArchive({ baseUrl: url, circuit: { threshold: 2 }, logger: silentLogger });
    for (status of [401, 403, 404, 406, 429]) await archive.probe().catch(() => {});
    expect(archive.circuit().kind).toBe('closed');
    expect(heard.length).toBeGreaterThanOrEqual(5);
  });
});
