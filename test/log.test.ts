/** The log: one JSON line per step, and nothing in it that names a person or opens a door. */
import { describe, expect, test } from 'vitest';
import { jsonLogger } from '../src/log.ts';

function lines(least: 'debug' | 'info' | 'warn' = 'debug') {
  const written: string[] = [];
  return { logger: jsonLogger(least, (line) => written.push(line)), written };
}

describe('the log', () => {
  test('leaves out names, tokens and record numbers, however deep they are', () => {
    const { logger, written } = lines();
    logger.info('step', {
      patientName: 'Ada Byron',
      authorization: 'Bearer abc',
      request: { access_token: 'xyz', mrn: '12345' },
      code: 'archive.error',
    });
    expect(written[0]).not.toMatch(/Ada|Byron|abc|xyz|12345/);
    expect(JSON.parse(written[0]!)).toMatchObject({ message: 'step', level: 'info', code: 'archive.error' });
  });

  test('does so in lists too', () => {
    const { logger, written } = lines();
    logger.info('step', {
      found: [{ patientName: 'Ada Byron', workitem: '2.25.4711' }],
      study: ['1.2.840.1'],
      exams: ['done'],
    });
    expect(written[0]).not.toMatch(/Ada|Byron|4711|1\.2\.840/);
    expect(JSON.parse(written[0]!)).toMatchObject({ exams: ['done'] });
  });

  test('shows a study as a hash that is the same on every line of this run', () => {
    const { logger, written } = lines();
    logger.with({ studyUid: '1.2.840.1' }).info('first');
    logger.info('second', { studyUid: '1.2.840.1' });
    const [first, second] = written.map((line) => JSON.parse(line).studyUid as string);
    expect(first).toBe(second);
    expect(first).not.toContain('1.2.840');
  });

  test('drops lines below the chosen level', () => {
    const { logger, written } = lines('warn');
    logger.info('quiet');
    logger.error('loud');
    expect(written).toHaveLength(1);
  });
});
