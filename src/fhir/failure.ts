/** What a FHIR server's refusal looks like inside Wetread: a status and the issues, with nothing of the patient in it. */
import type { OperationOutcome } from 'fhir/r4.js';

/** An issue of an OperationOutcome that may be logged. */
export type LoggableIssue = {
  readonly severity: string;
  readonly issue: string;
  readonly where?: readonly string[];
  readonly says?: string;
};

/** The `cause` of every `chart.*` error that a server answered for. fhir-kit-client's own errors quote the URL, and a URL may hold a record number. */
export class FhirFailure extends Error {
  readonly status: number;
  readonly issues: readonly LoggableIssue[];

  constructor(status: number, method: string, resourceType: string, issues: readonly LoggableIssue[]) {
    super(`HTTP ${status} to ${method} ${resourceType}`);
    this.name = 'FhirFailure';
    this.status = status;
    this.issues = issues;
  }
}

/** The HTTP status behind an error of this folder, if a server answered at all. */
export function httpStatusOf(error: unknown): number | undefined {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof FhirFailure ? cause.status : undefined;
}

/** Servers quote what they refuse: whatever we sent, and whatever looks like data, is taken out of their sentences. */
export function loggableIssues(answer: unknown, sent: unknown): LoggableIssue[] {
  const outcome = answer as Partial<OperationOutcome> | undefined;
  if (outcome?.resourceType !== 'OperationOutcome' || !Array.isArray(outcome.issue)) return [];
  const ours = textsIn(sent);
  return outcome.issue.slice(0, 10).map((issue) => {
    const where = issue.expression ?? issue.location;
    const says = issue.diagnostics ?? issue.details?.text;
    return {
      severity: String(issue.severity),
      issue: String(issue.code),
      ...(where === undefined ? {} : { where: where.slice(0, 5).map((path) => withoutData(path, [])) }),
      ...(says === undefined ? {} : { says: withoutData(says, ours) }),
    };
  });
}

function withoutData(sentence: string, ours: readonly string[]): string {
  let clean = sentence.slice(0, 1000);
  for (const text of ours) clean = clean.replaceAll(text, '…');
  return clean
    .replace(/"[^"]*"|'[^']*'|«[^»]*»|`[^`]*`/g, '"…"')
    .replace(/[\w.+-]*\d{3}[\w.+-]*/g, '#')
    .slice(0, 200);
}

/** Every text of the request that is long enough to be recognised, longest first so that no half of one is left. */
function textsIn(sent: unknown): string[] {
  const texts = new Set<string>();
  const visit = (value: unknown): void => {
    if (typeof value === 'string') for (const text of [value, ...value.split(/[|&=,\s]+/)]) texts.add(text);
    else if (value !== null && typeof value === 'object') Object.values(value).forEach(visit);
  };
  visit(sent);
  return [...texts].filter((text) => text.length >= 4 && !vocabulary.test(text)).sort((a, b) => b.length - a.length);
}

/** Names of resource types and addresses of code systems say nothing of a patient, and the sentence is unreadable without them. */
const vocabulary =
  /^(https?:\/\/(terminology\.)?hl7\.org\S*|http:\/\/(loinc|snomed)\.\S*|[A-Z][A-Za-z]*(Report|Request|Study|vation|vice|vider|ance))$/;
