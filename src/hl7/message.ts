/** HL7 v2 messages (chapter 2, "ER7"): segments, fields, repetitions, components, subcomponents and escapes, read and written. */
import { WetreadError } from '../domain/errors.ts';
import { decodeText } from './charset.ts';

/** MSH-1 and MSH-2. An empty one is not used by the sender. */
export type Delimiters = {
  readonly field: string;
  readonly component: string;
  readonly repetition: string;
  readonly escape: string;
  readonly subcomponent: string;
};

export const standardDelimiters: Delimiters = {
  field: '|',
  component: '^',
  repetition: '~',
  escape: '\\',
  subcomponent: '&',
};

/** One repetition of a field. Numbers count from 1, as in the standard; what is not there is empty. */
export type Repetition = {
  readonly raw: string;
  text(component?: number, subcomponent?: number): string;
};

export type Segment = {
  readonly name: string;
  /** The field as it was sent, escapes and all. */
  raw(field: number): string;
  /** Of the first repetition; escapes resolved. HL7's "delete this" (`""`) is empty as well. */
  text(field: number, component?: number, subcomponent?: number): string;
  /** None for an empty field. */
  repetitions(field: number): readonly Repetition[];
};

export type Hl7Message = {
  readonly delimiters: Delimiters;
  readonly header: Segment;
  readonly segments: readonly Segment[];
};

/** A segment's name is followed by the field separator or by nothing; everything else is a line of somebody's text. */
const segmentName = /^[A-Z][A-Z0-9]{2}$/;

/** Printable ASCII, and nothing that a value is made of. */
const separator = /^[!-/:-@[-`{-~]$/;

/** Eight megabytes of separators would otherwise become millions of objects, and everybody waits while they are made. */
const mostLines = 50_000;
const mostRepetitions = 1_000;
const longestText = 65_536;

/**
 * Throws `hl7.malformed` when the bytes do not begin with a message header that can be used, `request.too-large` for too
 * many lines. Headers of batches (BHS, FHS) name their separators alike.
 */
export function parseMessage(bytes: Uint8Array, headerName = 'MSH'): Hl7Message {
  // Delimiters and the name of the character set are ASCII in every set that MLLP can carry.
  const ascii = new TextDecoder('latin1').decode(bytes.subarray(0, 4096)).replace(/^(\xef\xbb\xbf)?[\r\n\s]*/, '');
  const delimiters = delimitersOf(ascii, headerName);
  const declared = ascii.split(/[\r\n]/, 1)[0]!.split(delimiters.field)[17] ?? '';
  const text = decodeText(bytes, declared, delimiters.repetition)
    .replace(/^\uFEFF/, '')
    .trimStart();
  const segments = linesOf(text, delimiters.field).map((line) => segment(line, delimiters));
  return { delimiters, header: segments[0]!, segments };
}

function delimitersOf(text: string, headerName: string): Delimiters {
  if (!text.startsWith(headerName)) throw malformed(`it does not begin with ${headerName}`);
  const field = text[3] ?? '';
  if (!separator.test(field)) throw malformed(`${headerName}-1 is no separator`);
  const end = text.indexOf(field, 4);
  const declared = (end === -1 ? text.slice(4) : text.slice(4, end)).split(/[\r\n]/, 1)[0]!;
  const [component = '', repetition = '', escape = ''] = declared;
  // A sender that doubles the escape character, as a programming language does, means `&` all the same.
  let fourth = 3;
  while (fourth < declared.length && declared[fourth] === escape) fourth += 1;
  // After the fourth comes the truncation character of version 2.7, which nothing here needs.
  const subcomponent = declared[fourth] ?? '';
  const used = [field, component, repetition, escape, subcomponent].filter((one) => one !== '');
  if (component === '' || used.some((one) => !separator.test(one)) || new Set(used).size !== used.length)
    throw malformed(`${headerName}-2 does not name separators`);
  return { field, component, repetition, escape, subcomponent };
}

/** Segments end with a carriage return; senders that end them with line feeds, or break a text in the middle, are understood. */
function linesOf(text: string, field: string): string[] {
  const lines: string[] = [];
  const given = text.split(/\r\n|\r|\n/, mostLines + 1);
  if (given.length > mostLines) throw new WetreadError('request.too-large', `more than ${mostLines} lines`);
  for (const line of given) {
    const starts = segmentName.test(line.slice(0, 3)) && (line.length === 3 || line[3] === field);
    if (starts) lines.push(line);
    else if (line !== '' && lines.length > 0) lines[lines.length - 1] += `\n${line}`;
  }
  return lines;
}

const isHeader = (name: string): boolean => name === 'MSH' || name === 'BHS' || name === 'FHS';

function segment(line: string, delimiters: Delimiters): Segment {
  const name = line.slice(0, 3);
  const header = isHeader(name);
  // Split when first asked for: reports carry whole documents in segments that nobody reads.
  let parts: readonly string[] | undefined;
  const raw = (field: number): string => {
    parts ??= line.split(delimiters.field);
    if (header && field === 1) return delimiters.field;
    return parts[header ? field - 1 : field] ?? '';
  };
  const repetitions = (field: number): readonly Repetition[] => {
    const given = raw(field);
    if (given === '') return [];
    // The separators themselves stand in MSH-2.
    const whole = (header && field === 2) || delimiters.repetition === '';
    return (whole ? [given] : given.split(delimiters.repetition, mostRepetitions)).map((one) =>
      repetition(one, delimiters),
    );
  };
  return {
    name,
    raw,
    repetitions,
    text: (field, component, subcomponent) => repetitions(field)[0]?.text(component, subcomponent) ?? '',
  };
}

function repetition(raw: string, delimiters: Delimiters): Repetition {
  return {
    raw,
    text(component = 1, subcomponent = 1) {
      const inside = part(raw, delimiters.component, component);
      const value = part(inside, delimiters.subcomponent, subcomponent);
      return value === '""' ? '' : unescaped(value.slice(0, longestText), delimiters);
    },
  };
}

function part(text: string, separator: string, number: number): string {
  if (separator === '') return number === 1 ? text : '';
  return text.split(separator, number)[number - 1] ?? '';
}

/** A whole field as one text: for free text of senders that do not escape their separators. */
export const unescaped = (text: string, delimiters: Delimiters): string => {
  const { escape } = delimiters;
  if (escape === '' || !text.includes(escape)) return text;
  const pattern = new RegExp(`\\${escape}([^\\${escape}]*)\\${escape}`, 'g');
  return text.replaceAll(pattern, (sequence, code: string) => meaning(code, delimiters) ?? sequence);
};

function meaning(code: string, delimiters: Delimiters): string | undefined {
  switch (code) {
    case 'F':
      return delimiters.field;
    case 'S':
      return delimiters.component;
    case 'T':
      return delimiters.subcomponent;
    case 'R':
      return delimiters.repetition;
    case 'E':
      return delimiters.escape;
    // Highlighting begins and ends.
    case 'H':
    case 'N':
      return '';
    case '.br':
    case '.sp':
      return '\n';
  }
  if (/^X([0-9A-Fa-f]{2})+$/.test(code)) return decodeText(Buffer.from(code.slice(1), 'hex'), '', '');
  // Anything else stays as it is: most of it is a backslash that its sender forgot to escape.
  return undefined;
}

/** A text; components, each a text or its subcomponents; several repetitions; or a field as it already stands on the wire. */
export type FieldValue =
  | string
  | readonly (string | readonly string[])[]
  | { readonly repeat: readonly (string | readonly (string | readonly string[])[])[] }
  | { readonly raw: string };

/** Name and fields by their numbers in the standard. MSH-1 and MSH-2 are written by themselves. */
export type WrittenSegment = readonly [name: string, fields: Readonly<Record<number, FieldValue>>];

export function writeMessage(segments: readonly WrittenSegment[], delimiters = standardDelimiters): string {
  return segments.map((one) => `${writeSegment(one, delimiters)}\r`).join('');
}

function writeSegment([name, fields]: WrittenSegment, delimiters: Delimiters): string {
  const { field, component, repetition, escape, subcomponent } = delimiters;
  const last = Math.max(0, ...Object.keys(fields).map(Number));
  const header = isHeader(name);
  const texts = header ? [name, `${component}${repetition}${escape}${subcomponent}`] : [name];
  for (let number = header ? 3 : 1; number <= last; number += 1)
    texts.push(writeField(fields[number] ?? '', delimiters));
  while (texts.length > (header ? 2 : 1) && texts.at(-1) === '') texts.pop();
  return texts.join(field);
}

function writeField(value: FieldValue, delimiters: Delimiters): string {
  if (typeof value === 'object' && 'raw' in value) return value.raw;
  const repeats = typeof value === 'object' && 'repeat' in value ? value.repeat : [value];
  return repeats.map((one) => writeComponents(one, delimiters)).join(delimiters.repetition);
}

function writeComponents(value: string | readonly (string | readonly string[])[], delimiters: Delimiters): string {
  const components = (typeof value === 'string' ? [value] : value).map((one) =>
    without((typeof one === 'string' ? [one] : one).map((text) => escaped(text, delimiters))).join(
      delimiters.subcomponent,
    ),
  );
  return without(components).join(delimiters.component);
}

/** Trailing empty parts are left out (2.5.3). */
function without(parts: readonly string[]): readonly string[] {
  const last = parts.findLastIndex((one) => one !== '');
  return parts.slice(0, last + 1);
}

/** Control characters too: a carriage return would end the segment, and 0x0B or 0x1C the frame. */
export function escaped(text: string, { field, component, repetition, escape, subcomponent }: Delimiters): string {
  if (escape === '') return text.replaceAll(/\p{Cc}/gu, ' ');
  const letters = new Map([
    [field, 'F'],
    [component, 'S'],
    [subcomponent, 'T'],
    [repetition, 'R'],
    [escape, 'E'],
  ]);
  letters.delete('');
  let written = '';
  for (const character of text) {
    const letter = letters.get(character);
    if (letter !== undefined) written += `${escape}${letter}${escape}`;
    else if (character < ' ' || character === '\x7f')
      written += `${escape}X${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}${escape}`;
    else written += character;
  }
  return written;
}

const malformed = (why: string) => new WetreadError('hl7.malformed', why);
