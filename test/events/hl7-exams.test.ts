/** What is understood of orders and results, field by field; docs/conformance.md says the same in a table. */
import { describe, expect, it } from 'vitest';
import { heardExams, kindOf, usualReading } from '../../src/events/hl7-exams.ts';
import { parseMessage } from '../../src/hl7/message.ts';
import { header, lines, omi, orm, oru, patient } from './hl7-messages.ts';

const exams = (text: string, reading = usualReading) => heardExams(parseMessage(Buffer.from(text)), reading);
const exam = (text: string, reading = usualReading) => {
  const found = exams(text, reading);
  expect(found).toHaveLength(1);
  return found[0]!;
};

describe('an order', () => {
  it('of version 2.3.1: numbers, accession in OBR-18, study in ZDS, region from the words', () => {
    expect(exam(orm({ accession: 'RG100', studyUid: '1.2.3.4', priority: 'S' }))).toEqual({
      source: 'hl7',
      numbers: ['placer:P1^HIS', 'filler:F1^RIS'],
      accession: 'RG100',
      studyUids: ['1.2.3.4'],
      recordNumber: '100234',
      region: 'lumbar-spine',
      priority: 'stat',
      state: 'ordered',
    });
  });

  it('of version 2.5.1: accession and study in IPC, priority in TQ1, region from a LOINC code', () => {
    expect(exam(omi({ accession: 'RG200', studyUid: '1.2.7', priority: 'A' }))).toMatchObject({
      accession: 'RG200',
      studyUids: ['1.2.7'],
      priority: 'stat',
      region: 'lumbar-spine',
      numbers: ['placer:P7^HIS', 'filler:F7^RIS'],
    });
  });

  it.each([
    ['ORC-7', 'ORC|NW|P1|F1||||^^^^^S', 'OBR|1|P1|F1|X^Chest X-ray', 'stat'],
    ['OBR-27', 'ORC|NW|P1|F1', `OBR|1|P1|F1|X^Chest X-ray${'|'.repeat(23)}1^^^^^A`, 'stat'],
    ['OBR-5', 'ORC|NW|P1|F1', 'OBR|1|P1|F1|X^Chest X-ray|STAT', 'stat'],
    ['OBR-5, in small letters', 'ORC|NW|P1|F1', 'OBR|1|P1|F1|X^Chest X-ray|asap', 'stat'],
    ['routine', 'ORC|NW|P1|F1||||^^^^^R', 'OBR|1|P1|F1|X^Chest X-ray', 'routine'],
    ['of another kind', 'ORC|NW|P1|F1||||^^^^^P', 'OBR|1|P1|F1|X^Chest X-ray', 'routine'],
    ['nowhere', 'ORC|NW|P1|F1', 'OBR|1|P1|F1|X^Chest X-ray', undefined],
  ])('has its priority in %s', (_where, order, request, priority) => {
    const found = exam(lines(header('ORM^O01'), patient(), order, request));
    expect(found.priority).toBe(priority);
    expect(found.region).toBe('chest');
  });

  it('a site may have codes of its own for "urgent"', () => {
    const urgent = orm({ priority: 'U' });
    expect(exam(urgent).priority).toBe('routine');
    expect(exam(urgent, { ...usualReading, statCodes: new Set(['U']) }).priority).toBe('stat');
  });

  it.each([
    ['CA', '', 'cancelled'],
    ['DC', '', 'cancelled'],
    ['OC', '', 'cancelled'],
    ['RP', '', 'cancelled'],
    ['SC', 'CA', 'cancelled'],
    ['NW', '', 'ordered'],
    ['XO', '', 'ordered'],
    ['SN', '', 'ordered'],
    ['SC', 'SC', 'ordered'],
    ['SC', 'HD', 'ordered'],
    ['SC', 'IP', 'done'],
    ['SC', 'CM', 'done'],
    ['SC', 'A', 'done'],
    ['XO', 'CM', 'done'],
  ])('control %s with status %j is %s', (control, status, state) => {
    expect(exam(orm({ control, status })).state).toBe(state);
  });

  it('a cancellation needs no OBR', () => {
    expect(exam(lines(header('ORM^O01'), patient(), 'ORC|CA|P1^HIS|F1^RIS'))).toMatchObject({
      numbers: ['placer:P1^HIS', 'filler:F1^RIS'],
      state: 'cancelled',
      region: 'other',
    });
  });

  it('several procedures in one message are several exams, each with its own study', () => {
    const found = exams(
      lines(
        header('OMI^O23', { version: '2.5.1' }),
        patient(),
        'ORC|NW|P1^HIS|F1^RIS',
        'TQ1|||||||||S',
        'OBR|1|P1^HIS|F1^RIS|A^Chest X-ray',
        'IPC|ACC1|RP|1.2.1',
        'ORC|NW|P1^HIS|F2^RIS',
        'OBR|2|P1^HIS|F2^RIS|B^MR lumbar spine',
        'IPC|ACC2|RP|1.2.2',
      ),
    );
    expect(found.map(({ accession, studyUids, priority, region }) => [accession, studyUids, priority, region])).toEqual(
      [
        ['ACC1', ['1.2.1'], 'stat', 'chest'],
        ['ACC2', ['1.2.2'], undefined, 'lumbar-spine'],
      ],
    );
  });

  it('one ZDS at the end holds for every step before it; several belong to their own', () => {
    const steps = ['ORC|NW|P1|F1', 'OBR|1|P1|F1|A^Lumbar spine', 'ORC|NW|P1|F2', 'OBR|2|P1|F2|A^Lumbar spine'];
    expect(exams(lines(header('ORM^O01'), patient(), ...steps, 'ZDS|1.2.9')).map(({ studyUids }) => studyUids)).toEqual(
      [['1.2.9'], ['1.2.9']],
    );
    const each = [...steps.slice(0, 2), 'ZDS|1.2.1', ...steps.slice(2), 'ZDS|1.2.2'];
    expect(exams(lines(header('ORM^O01'), patient(), ...each)).map(({ studyUids }) => studyUids)).toEqual([
      ['1.2.1'],
      ['1.2.2'],
    ]);
  });

  it('of the laboratory is none of ours', () => {
    expect(exams(orm({}).replace('|RAD\r', '|LAB\r'))).toEqual([]);
    expect(exams(orm({}).replace('|RAD\r', '|CH\r'))).toEqual([]);
    expect(exams(orm({}).replace('|RAD\r', '|MR\r'))).toHaveLength(1);
  });

  it('takes the accession number from where the site says, and no longer number for one', () => {
    const text = orm({ accession: 'OBR18', filler: 'FILLER9^RIS' });
    expect(exam(text).accession).toBe('OBR18');
    expect(exam(text, { ...usualReading, accessionFields: ['OBR-3'] }).accession).toBe('FILLER9');
    expect(exam(text, { ...usualReading, accessionFields: ['OBR-20', 'OBR-18'] }).accession).toBe('SPS1');
    expect(exam(orm({ accession: 'MUCH-TOO-LONG-FOR-DICOM', filler: 'F9' })).accession).toBe('F9');
    expect(exam(orm({ accession: '', filler: '' }))).not.toHaveProperty('accession');
  });

  it('takes the record number among the patient numbers by its type', () => {
    const withNumbers = (numbers: string) =>
      exam(lines(header('ORM^O01'), `PID|1||${numbers}`, 'ORC|NW|P1|F1', 'OBR|1|P1|F1|X')).recordNumber;
    expect(withNumbers('1^^^STATE^SS~2^^^HOSP^MR')).toBe('2');
    expect(withNumbers('1^^^STATE^SS~3^^^HOSP^PI')).toBe('3');
    expect(withNumbers('7')).toBe('7');
    expect(withNumbers('')).toBeUndefined();
  });
});

describe('a result', () => {
  it('that says images are available names the study, whatever its result status is', () => {
    expect(exam(oru({ accession: 'RG1', studyUid: '1.2.3', status: 'O' }))).toMatchObject({
      accession: 'RG1',
      studyUids: ['1.2.3'],
      state: 'done',
      priority: 'routine',
    });
  });

  it.each([
    ['RP with its application', 'OBX|1|RP|113014^DICOM Study^DCM||1.2.3^PACS^Application^DICOM||||||F'],
    ['by the other code', 'OBX|1|ST|110180^Study Instance UID^DCM||1.2.3||||||F'],
    ['by a local name', 'OBX|1|ST|StudyInstanceUID||1.2.3||||||F'],
    ['in ZDS', 'ZDS|1.2.3^PACS^Application^DICOM'],
  ])('names its study %s', (_how, segment) => {
    const text = lines(header('ORU^R01'), patient(), `OBR|1||F1|X^Lumbar spine${'|'.repeat(21)}F`, segment);
    expect(exam(text)).toMatchObject({ studyUids: ['1.2.3'], state: 'done' });
  });

  it('something else that looks like a UID is no study', () => {
    const text = lines(
      header('ORU^R01'),
      patient(),
      'OBR|1||F1|X',
      'OBX|1|ST|1234^Version^L||1.2.3',
      'OBX|2|ST|113014^DICOM Study^DCM||not a uid',
    );
    expect(exam(text).studyUids).toEqual([]);
  });

  it.each([
    ['F', 'done'],
    ['P', 'done'],
    ['R', 'done'],
    ['C', 'done'],
    ['', 'done'],
    ['O', 'ordered'],
    ['S', 'ordered'],
    ['I', 'ordered'],
    ['X', 'cancelled'],
  ])('with result status %j and no study is %s', (status, state) => {
    const text = lines(
      header('ORU^R01'),
      patient(),
      `OBR|1|P1|F1|X^Lumbar spine${'|'.repeat(21)}${status}`,
      'OBX|1|TX|R||Text',
    );
    expect(exam(text).state).toBe(state);
  });

  it('of several patients keeps each patient with its own exams', () => {
    const text = lines(header('ORU^R01'), patient('A1'), 'OBR|1||F1|X', patient('B2'), 'OBR|1||F2|X', 'OBR|2||F3|X');
    expect(exams(text).map(({ recordNumber, numbers }) => [recordNumber, numbers[0]])).toEqual([
      ['A1', 'filler:F1^'],
      ['B2', 'filler:F2^'],
      ['B2', 'filler:F3^'],
    ]);
  });
});

describe('message types', () => {
  it.each([
    ['ORM^O01', 'order'],
    ['ORM^O01^ORM_O01', 'order'],
    ['OMI^O23^OMI_O23', 'order'],
    ['OMG^O19^OMG_O19', 'order'],
    ['ORU^R01', 'result'],
    ['oru^r01', 'result'],
    ['ORU', 'result'],
    ['ORU^R03', 'unknown-event'],
    ['ADT^A01', 'unknown-type'],
    ['', 'unknown-type'],
  ])('%s is %s', (type, kind) => {
    expect(kindOf(parseMessage(Buffer.from(lines(header(type)))))).toBe(kind);
  });
});
