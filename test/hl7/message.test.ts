/** HL7 v2 messages as they are sent, not as they should be. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseMessage, standardDelimiters, writeMessage, type Delimiters } from '../../src/hl7/message.ts';

const lines = (...segments: string[]) => segments.map((segment) => `${segment}\r`).join('');
const parse = (text: string, encoding: BufferEncoding = 'utf8') => parseMessage(Buffer.from(text, encoding));
const first = (text: string, name: string) => parse(text).segments.find((segment) => segment.name === name)!;
const header = 'MSH|^~\\&|RIS|MAIN|WETREAD|AI|20260301101500||ORM^O01|42|P|2.3.1';

describe('reading', () => {
  it('numbers fields, repetitions, components and subcomponents as the standard does', () => {
    const message = parse(lines(header, 'PID|1||123^^^HOSP&1.2.3&ISO^MR~456^^^STATE^SS'));
    const pid = message.segments[1]!;
    expect(message.header.text(1)).toBe('|');
    expect(message.header.raw(2)).toBe('^~\\&');
    expect(message.header.text(3)).toBe('RIS');
    expect(message.header.text(9, 2)).toBe('O01');
    expect(pid.text(3)).toBe('123');
    expect(pid.text(3, 4, 2)).toBe('1.2.3');
    expect(pid.repetitions(3).map((one) => [one.text(1), one.text(5)])).toEqual([
      ['123', 'MR'],
      ['456', 'SS'],
    ]);
  });

  it('gives nothing for what is not there', () => {
    const pid = first(lines(header, 'PID|1'), 'PID');
    expect([pid.text(3), pid.text(3, 9, 9), pid.text(99), pid.raw(0), pid.repetitions(5)]).toEqual([
      '',
      '',
      '',
      'PID',
      [],
    ]);
  });

  it('uses the separators that the sender declares', () => {
    const message = parse(lines('MSH#:*!%#RIS#MAIN###20260301##ORU:R01#7#P#2.5', 'PID#1##9:::A%B*8'));
    expect(message.delimiters).toEqual({ field: '#', component: ':', repetition: '*', escape: '!', subcomponent: '%' });
    expect(message.header.text(9, 2)).toBe('R01');
    expect(message.segments[1]!.text(3, 4, 2)).toBe('B');
    expect(message.segments[1]!.repetitions(3)).toHaveLength(2);
  });

  it.each([
    ['a doubled escape character', 'MSH|^~\\\\&|A', '\\', '&'],
    ['a truncation character (2.7)', 'MSH|^~\\&#|A', '\\', '&'],
    ['no subcomponents', 'MSH|^~\\|A', '\\', ''],
    ['components only', 'MSH|^|A', '', ''],
  ])('copes with %s in MSH-2', (_what, text, escape, subcomponent) => {
    expect(parse(lines(text)).delimiters).toMatchObject({ escape, subcomponent });
    expect(parse(lines(text)).header.text(3)).toBe('A');
  });

  it('refuses more lines than any message has, and makes no object of each separator', () => {
    expect(() => parse(`${lines(header)}${'OBR\r'.repeat(60_000)}`)).toThrowError(
      expect.objectContaining({ code: 'request.too-large' }),
    );
    const pid = first(lines(header, `PID|||${'~'.repeat(100_000)}|${'\\'.repeat(100_000)}`), 'PID');
    expect(pid.repetitions(3)).toHaveLength(1000);
    expect(pid.text(4)).toHaveLength(65_536);
  });

  it('resolves escapes, and leaves a backslash that nobody escaped', () => {
    const obx = first(
      lines(
        header,
        'OBX|1|TX|a\\F\\b\\S\\c\\T\\d\\R\\e\\E\\f|\\H\\bold\\N\\ one\\.br\\two|\\X4C35\\|C:\\films\\new|\\Zown\\',
      ),
      'OBX',
    );
    expect(obx.text(3)).toBe('a|b^c&d~e\\f');
    expect(obx.text(4)).toBe('bold one\ntwo');
    expect(obx.text(5)).toBe('L5');
    expect(obx.text(6)).toBe('C:\\films\\new');
    expect(obx.text(7)).toBe('\\Zown\\');
  });

  it('reads the explicit null as empty', () => {
    expect(first(lines(header, 'OBR|1|""|F7'), 'OBR').text(2)).toBe('');
  });

  it.each([
    ['\r', 'carriage returns'],
    ['\n', 'line feeds'],
    ['\r\n', 'both'],
  ])('splits segments at %j', (end) => {
    const message = parse([header, 'PID|1||7', 'OBR|1||F'].join(end));
    expect(message.segments.map(({ name }) => name)).toEqual(['MSH', 'PID', 'OBR']);
    expect(message.segments[1]!.text(3)).toBe('7');
  });

  it('keeps a text that was broken into lines together', () => {
    const obx = first(`${header}\rOBX|1|TX|R^Report||First line\nSecond line: L4 on L5\nMRI of 2024||||||F\r`, 'OBX');
    expect(obx.text(5)).toBe('First line\nSecond line: L4 on L5\nMRI of 2024');
    expect(obx.text(11)).toBe('F');
  });

  it.each([
    ['UNICODE UTF-8', Buffer.from('Röntgen Lendenwirbelsäule', 'utf8'), 'Röntgen Lendenwirbelsäule'],
    ['8859/1', Buffer.from('Röntgen', 'latin1'), 'Röntgen'],
    ['8859/2', Buffer.from([0xa3, 0xf3, 0x64, 0xbc]), 'Łódź'],
    ['8859/5', Buffer.from([0xbf, 0xde, 0xef, 0xe1]), 'Пояс'],
    ['', Buffer.from('Röntgen', 'utf8'), 'Röntgen'],
    ['', Buffer.from('Röntgen', 'latin1'), 'Röntgen'],
    ['ASCII', Buffer.from('Lumbar', 'latin1'), 'Lumbar'],
    ['~ISO IR87', Buffer.from('\x1b$B9x\x1b(B', 'latin1'), '腰'],
    ['GB 18030-2000', Buffer.from([0xd1, 0xfc]), '腰'],
    ['of nobody', Buffer.from('Lumbar', 'latin1'), 'Lumbar'],
  ])('reads the character set %j', (charset, text, expected) => {
    const bytes = Buffer.concat([
      Buffer.from(`${header}||||||${charset}\rOBR|1|||LS^`, 'latin1'),
      text,
      Buffer.from('^L\rZDS|1.2.3\r', 'latin1'),
    ]);
    const message = parseMessage(bytes);
    expect(message.segments[1]!.text(4, 2)).toBe(expected);
    expect(message.segments[2]!.text(1)).toBe('1.2.3');
  });

  it('lets a byte order mark and blank lines before the header pass', () => {
    expect(parse(`\uFEFF${header}\r`).header.text(10)).toBe('42');
    expect(parse(`\r\n\r\n${header}\r`).header.text(10)).toBe('42');
  });

  it.each([
    '',
    'PID|1',
    'MSH',
    'MSHA^~\\&',
    'MSH\r',
    'MSH||^~\\&|A',
    'MSH|^^^^|A',
    'MSH|^~\\A|B',
    'MSH|^~SS&|A',
    '\x00\x01\x02',
    '{"a":1}',
  ])('refuses %j with its code', (text) => {
    expect(() => parse(text)).toThrowError(expect.objectContaining({ code: 'hl7.malformed' }));
  });

  it('throws nothing else, whatever the bytes are', () => {
    const readable = fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (bytes, begun) => {
      try {
        const message = parseMessage(begun ? Buffer.concat([Buffer.from('MSH|^~\\&|'), bytes]) : bytes);
        for (const segment of message.segments) for (let n = 0; n < 20; n += 1) segment.text(n, 2, 2);
      } catch (error) {
        return (error as { code?: unknown }).code === 'hl7.malformed';
      }
      return true;
    });
    expect(fc.check(readable, { numRuns: 2000 })).toMatchObject({ failed: false });
  });
});

describe('writing', () => {
  it('writes MSH-2 as it stands and leaves out what is empty at the end', () => {
    expect(
      writeMessage([
        ['MSH', { 3: 'WETREAD', 9: ['ORU', 'R01', ''], 10: '7', 12: '' }],
        ['PID', { 3: '' }],
      ]),
    ).toBe('MSH|^~\\&|WETREAD||||||ORU^R01|7\rPID\r');
  });

  it('what is written is read as it was meant, with any separators and any characters', () => {
    const punctuation = fc.uniqueArray(fc.constantFrom(...'|^~\\&#:*!%$+;@?'), { minLength: 5, maxLength: 5 });
    const words = fc.string({ unit: 'binary', maxLength: 12 }).filter((text) => text !== '""' && text.isWellFormed());
    const components = fc.array(fc.array(words, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 4 });
    const segments = fc.array(fc.array(fc.array(components, { minLength: 1, maxLength: 3 }), { maxLength: 5 }), {
      maxLength: 5,
    });
    fc.assert(
      fc.property(punctuation, segments, ([field, component, repetition, escape, subcomponent], given) => {
        const delimiters = { field, component, repetition, escape, subcomponent } as Delimiters;
        const text = writeMessage(
          [
            ['MSH', { 9: ['ORU', 'R01'], 18: 'UNICODE UTF-8' }],
            ...given.map(
              (fields) =>
                ['ZZZ', Object.fromEntries(fields.map((repeat, index) => [index + 1, { repeat }]))] as [string, {}],
            ),
          ],
          delimiters,
        );
        const message = parse(text);
        expect(message.delimiters).toEqual(delimiters);
        expect(message.segments).toHaveLength(given.length + 1);
        for (const [at, fields] of given.entries())
          for (const [number, repeats] of fields.entries())
            for (const [which, parts] of repeats.entries())
              for (const [one, subs] of parts.entries())
                for (const [sub, value] of subs.entries())
                  expect(message.segments[at + 1]!.repetitions(number + 1)[which]?.text(one + 1, sub + 1) ?? '').toBe(
                    value,
                  );
      }),
      { numRuns: 300 },
    );
  });

  it('a text cannot end its segment or its frame', () => {
    const written = writeMessage([['OBX', { 5: 'one\rPID|1\x0b\x1c\r\n|~' }]], standardDelimiters);
    expect(written).toBe('OBX|||||one\\X0D\\PID\\F\\1\\X0B\\\\X1C\\\\X0D\\\\X0A\\\\F\\\\R\\\r');
  });
});
