/** Independent judges: python-hl7 reads the same values from the same messages, hl7apy finds the acknowledgements valid. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { WetreadError } from '../../src/domain/errors.ts';
import { acknowledgement } from '../../src/hl7/acknowledgement.ts';
import { parseMessage, writeMessage } from '../../src/hl7/message.ts';
import { header, lines, omi, orm, oru, patient } from '../events/hl7-messages.ts';

const python = process.env['HL7_JUDGES_PYTHON'] ?? 'python3';
const there = spawnSync(python, ['-c', 'import hl7, hl7apy']).status === 0;
if (!there && process.env['CI'] !== undefined)
  throw new Error('python modules hl7 and hl7apy are missing (.ci/run installs them)');
if (!there) process.stderr.write('SKIPPED: HL7 judges need the Python modules hl7 and hl7apy (HL7_JUDGES_PYTHON)\n');

type Judged = {
  readonly read: readonly {
    readonly name: string;
    readonly fields: readonly (readonly (readonly (readonly string[])[])[])[];
  }[][];
  readonly validate: readonly string[];
};
function judge(read: readonly string[], validate: readonly string[]): Judged {
  const { status, stdout, stderr } = spawnSync(python, [join(import.meta.dirname, 'judge.py')], {
    input: JSON.stringify({ read, validate }),
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as Judged;
}

describe.skipIf(!there)('independent judges', () => {
  it('python-hl7 reads every value of these messages as we do', () => {
    const messages = [
      orm({ accession: 'RG1', studyUid: '1.2.3', priority: 'S', service: 'X^XR \\T\\ spine \\S\\ L\\F\\4 \\E\\ L5^L' }),
      omi({ accession: 'RG2', studyUid: '1.2.7', priority: 'A' }),
      oru({ accession: 'RG3', studyUid: '1.2.8', report: 'Slip of L4 \\R\\ 18 %~second~third' }),
      lines('MSH|^~\\&|A&1.2&ISO||||20260301||ORU^R01|9|P|2.6', 'PID|1||1^^^H&1.2.3&ISO^MR~2^^^S^SS', 'OBR||||||||'),
      writeMessage([
        ['MSH', { 3: 'WETREAD', 9: ['ORU', 'R01', 'ORU_R01'], 10: '1', 11: 'P', 12: '2.5.1' }],
        ['OBX', { 3: ['a|b', ['c^d', 'e&f'], 'g~h'], 5: { repeat: ['one', ['two', 'three']] } }],
      ]),
    ];
    const { read } = judge(messages, []);
    let compared = 0;
    for (const [index, text] of messages.entries()) {
      const ours = parseMessage(Buffer.from(text));
      expect(ours.segments.map(({ name }) => name)).toEqual(read[index]!.map(({ name }) => name));
      for (const [at, { fields }] of read[index]!.entries())
        for (const [field, repetitions] of fields.entries())
          for (const [which, components] of repetitions.entries())
            for (const [component, subs] of components.entries())
              for (const [sub, value] of subs.entries()) {
                const segment = ours.segments[at]!;
                const given = segment.repetitions(field + 1)[which]?.text(component + 1, sub + 1) ?? '';
                // The separators themselves are one value, not components.
                const whole = segment.name === 'MSH' && field === 1 ? segment.raw(2) : given;
                expect([segment.name, field + 1, which, component + 1, sub + 1, whole]).toEqual([
                  segment.name,
                  field + 1,
                  which,
                  component + 1,
                  sub + 1,
                  value,
                ]);
                compared += 1;
              }
    }
    expect(compared).toBeGreaterThan(150);
  });

  it('hl7apy finds acknowledgements of each version valid, accepted and refused', () => {
    const refusal = {
      error: new WetreadError('hl7.unsupported', 'MSH-9.1'),
      condition: 'messageType',
      location: 'MSH^1^9',
    } as const;
    const versions = ['2.3.1', '2.4', '2.5', '2.5.1', '2.6'];
    const acknowledgements = versions.flatMap((version) => {
      const message = parseMessage(Buffer.from(lines(header('ORM^O01', { version }), patient())));
      return [acknowledgement(message, 'accepted')!, acknowledgement(message, 'refused', refusal)!];
    });
    expect(judge([], acknowledgements).validate).toEqual(acknowledgements.map(() => 'ok'));
  });
});
