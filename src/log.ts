/** JSON lines on standard error, one per step; identifiers are hashed and names never get in. */
import { createHmac, randomBytes } from 'node:crypto';
import type { LogFields, Logger } from './domain/log.ts';

const levels = { debug: 10, info: 20, warn: 30, error: 40 } as const;
export type Level = keyof typeof levels;

/** Fields that could identify a person or open a door; whatever part of a line has such a name is left out. */
const redacted =
  /^(.*name|display|authorization|.*token|.*secret|password|code|state|mrn|dicomPatientId|birthDate|address|telecom|narrative|cookie)$/i;
/** Our own fields that end in "name" or are called "code" but name things, not people. */
const harmless: ReadonlySet<string> = new Set(['code', 'state', 'hostname', 'outputName', 'packName', 'serviceName']);
/** Ids that lead to a patient: shown as a keyed hash, so lines of one study can be followed but not traced back. */
const hashed = /^(studyUid|seriesUid|sopUid|patientId|accession|patient|study|imagingStudy|order|workitem)$/;

/** A new key each start: hashes can be compared within one run of the service only. */
const hashKey = randomBytes(32);
const shortHash = (text: string): string => createHmac('sha256', hashKey).update(text).digest('hex').slice(0, 12);

const isObject = (value: unknown): value is LogFields =>
  value !== null && typeof value === 'object' && !Array.isArray(value);

function safe(fields: LogFields): Record<string, unknown> {
  const line: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    if (hashed.test(name) && typeof value === 'string') line[name] = shortHash(value);
    else if (redacted.test(name) && !harmless.has(name)) line[name] = '[redacted]';
    else if (value instanceof Error) line[name] = { message: value.message, stack: value.stack };
    else if (Array.isArray(value))
      line[name] = value.map((one: unknown) =>
        isObject(one) ? safe(one) : hashed.test(name) ? shortHash(String(one)) : one,
      );
    else if (isObject(value)) line[name] = safe(value);
    else line[name] = value;
  }
  return line;
}

export function jsonLogger(
  least: Level,
  write: (line: string) => void = (line) => void process.stderr.write(line),
): Logger {
  const make = (fixed: LogFields): Logger => {
    const at = (level: Level) => (message: string, fields?: LogFields) => {
      if (levels[level] < levels[least]) return;
      write(
        `${JSON.stringify({ time: new Date().toISOString(), level, message, ...safe({ ...fixed, ...fields }) })}\n`,
      );
    };
    return {
      debug: at('debug'),
      info: at('info'),
      warn: at('warn'),
      error: at('error'),
      with: (fields) => make({ ...fixed, ...fields }),
    };
  };
  return make({});
}
