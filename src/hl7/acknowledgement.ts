/** Acknowledgements (HL7 v2 chapter 2, 2.9): original mode AA, AE, AR; enhanced mode CA, CE, CR, as MSH-15 and MSH-16 ask. */
import { randomUUID } from 'node:crypto';
import type { WetreadError } from '../domain/errors.ts';
import { standardDelimiters, writeMessage, type Hl7Message, type WrittenSegment } from './message.ts';

/** Accepted; failed, and sending it again may help; refused for good. */
export type Verdict = 'accepted' | 'failed' | 'refused';

const codes = {
  original: { accepted: 'AA', failed: 'AE', refused: 'AR' },
  enhanced: { accepted: 'CA', failed: 'CE', refused: 'CR' },
} as const;

/** Table 0357. */
const conditions = {
  segmentSequence: '100^Segment sequence error^HL70357',
  fieldMissing: '101^Required field missing^HL70357',
  messageType: '200^Unsupported message type^HL70357',
  eventCode: '201^Unsupported event code^HL70357',
  internal: '207^Application internal error^HL70357',
} as const;
export type Condition = keyof typeof conditions;

export type Refusal = {
  readonly error: WetreadError;
  readonly condition: Condition;
  /** Segment and field the error is about, such as `MSH^1^9`. */
  readonly location?: string;
};

/**
 * Undefined when the sender asked for none. One answer goes back per message: the accept acknowledgement when MSH-15 asks
 * for it, otherwise the application acknowledgement when MSH-16 does, for here a message is accepted only when it is done.
 */
export function acknowledgement(
  message: Hl7Message | undefined,
  verdict: Verdict,
  refusal?: Refusal,
  now = new Date(),
): string | undefined {
  const header = message?.header;
  const [acceptWanted, applicationWanted] = [header?.text(15) ?? '', header?.text(16) ?? ''];
  const enhanced = acceptWanted !== '' || applicationWanted !== '';
  const accept = enhanced && wanted(acceptWanted, verdict);
  if (enhanced && !accept && !wanted(applicationWanted, verdict)) return undefined;
  const code = codes[accept ? 'enhanced' : 'original'][verdict];
  const trigger = header?.text(9, 2) ?? '';
  const raw = (field: number) => ({ raw: header?.raw(field) ?? '' });
  const version = header?.text(12) ?? '';
  const controlId = randomUUID().replaceAll('-', '').slice(0, 20);
  const answer = (charset: string) =>
    writeMessage(
      [
        [
          'MSH',
          {
            // Fields are echoed as they stood, in the sender's own separators: MSA-2 must equal MSH-10 to the letter.
            3: raw(5),
            4: raw(6),
            5: raw(3),
            6: raw(4),
            7: timestamp(now),
            9: namesStructure(version) ? ['ACK', trigger, 'ACK'] : ['ACK', trigger],
            10: controlId,
            11: header?.raw(11) ? raw(11) : 'P',
            12: version === '' ? '2.5.1' : raw(12),
            18: charset,
          },
        ],
        ['MSA', { 1: code, 2: raw(10), ...(refusal === undefined ? {} : { 3: refusal.error.code }) }],
        ...(refusal === undefined ? [] : [errorSegment(refusal, version)]),
      ],
      message?.delimiters ?? standardDelimiters,
    );
  const plain = answer('');
  // Old senders know no character sets; one is named only where it matters.
  return /^[\0-\x7f]*$/.test(plain) ? plain : answer('UNICODE UTF-8');
}

function wanted(condition: string, verdict: Verdict): boolean {
  switch (condition.toUpperCase()) {
    case 'AL':
      return true;
    case 'SU':
      return verdict === 'accepted';
    case 'ER':
      return verdict !== 'accepted';
    default:
      return false;
  }
}

/** Version 2.5 gave ERR new fields; before that everything stood in the first. */
function errorSegment({ error, condition, location }: Refusal, version: string): WrittenSegment {
  const code = conditions[condition].split('^');
  if (/^2\.[1-4]/.test(version)) return ['ERR', { 1: [...(location?.split('^') ?? ['', '', '']), code] }];
  return [
    'ERR',
    {
      ...(location === undefined ? {} : { 2: location.split('^') }),
      3: code,
      4: 'E',
      5: [error.code, error.row.says, 'L'],
      ...(error.detail === undefined ? {} : { 7: error.detail }),
      8: error.row.next,
    },
  ];
}

/** MSH-9 has a third component since version 2.3.1. */
const namesStructure = (version: string): boolean => !/^2\.([12](\.|$)|3$)/.test(version);

/** Local time with its offset, to the second. */
export function timestamp(at: Date): string {
  const two = (value: number) => String(Math.trunc(Math.abs(value))).padStart(2, '0');
  const offset = -at.getTimezoneOffset();
  return (
    `${at.getFullYear()}${two(at.getMonth() + 1)}${two(at.getDate())}${two(at.getHours())}${two(at.getMinutes())}${two(at.getSeconds())}` +
    `${offset < 0 ? '-' : '+'}${two(offset / 60)}${two(offset % 60)}`
  );
}
