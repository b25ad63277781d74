/** Writes readings into the chart: look what is there, write what is missing or older in one transaction, look again. However often and by however many, one report stays. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Bundle, BundleEntry, DiagnosticReport, Observation } from 'fhir/r4.js';
import { WetreadError } from '../domain/errors.ts';
import type { Reading } from '../domain/finding.ts';
import type { PatientId } from '../domain/ids.ts';
import type { Logger } from '../domain/log.ts';
import type { Output, PackSummary } from '../domain/ports.ts';
import type { StudyRecord } from '../domain/study.ts';
import type { FhirClient } from '../fhir/client.ts';
import { httpStatusOf } from '../fhir/failure.ts';
import {
  readingToFhir,
  reportKeyOf,
  supersededNote,
  supersededToFhir,
  urn,
  type ReadingToFhirOptions,
  type ReportStatus,
  type Written,
  type WrittenResource,
} from './reading-to-fhir.ts';

export type FhirReportOptions = {
  readonly client: FhirClient;
  readonly publicUrl: string;
  readonly reportStatus: ReportStatus;
  readonly packs: readonly PackSummary[];
  /** What stands of a patient: earlier films that a finding is compared with. */
  readonly chartOf?: (patient: PatientId) => Promise<NonNullable<ReadingToFhirOptions['chart']>>;
  readonly logger: Logger;
};

/** Identities searched for at once; keeps URLs under the 2,000 characters that every proxy lets through. */
const identitiesPerSearch = 15;
/** Two writers settle in two rounds; more means that somebody else keeps changing our resources. */
const mostRounds = 6;

type Stored = WrittenResource & { readonly id: string };
type Change = { readonly written: Written; readonly stored: Stored | undefined };

export function fhirReport({ client, publicUrl, reportStatus, packs, chartOf, logger }: FhirReportOptions): Output {
  /** Medplum refuses transactions of more than eight entries with If-None-Exist; such a server is asked without from then on. */
  let conditional = true;

  return {
    name: 'fhir-report',

    async write(reading, study, signal) {
      try {
        await write(reading, study, signal);
      } catch (thrown) {
        // Servers with referential integrity refuse a report on an order that was cancelled or an ImagingStudy that was replaced since.
        const standing = await withoutDangling(study, thrown, signal);
        if (standing === undefined) throw thrown;
        logger.warn('the report is written without references to what is no longer in the chart', {
          studyUid: study.studyUid,
        });
        await write(reading, standing, signal);
      }
    },
  };

  async function write(reading: Reading, study: StudyRecord, signal: AbortSignal | undefined): Promise<void> {
    const pack = packs.find(({ name, sha256 }) => name === reading.pack.name && sha256 === reading.pack.sha256);
    const { superseded } = reading;
    const chart = await chartOf?.(reading.patientId);
    const options = { publicUrl, reportStatus, pack, chart };
    const all =
      superseded === undefined
        ? readingToFhir(reading, study, options)
        : supersededToFhir({ ...reading, superseded }, study, options);
    let allAcknowledged = false;
    for (let round = 0; round < mostRounds; round += 1) {
      const { stored, removed } = await look(all, signal);
      const wanted = superseded === undefined ? all : onlyWhatIsThere(all, stored);
      if (superseded === undefined ? isOlderThan(reading, stored) : wanted.length === 0) return;
      const changes = wanted
        .map((written) => ({ written, stored: stored.get(written.key) }))
        .filter(({ written, stored: before }) => differs(written, before, stored));
      // A server that stores things a little differently (rounded, re-sorted) would look different for ever: its word that it took them is enough.
      const complete = wanted.every(({ key }) => stored.has(key));
      if (changes.length === 0 || (allAcknowledged && complete && !removed)) return;
      allAcknowledged = await send(changes, stored, signal);
      if (!allAcknowledged) await sleep(Math.random() * 50, undefined, signal === undefined ? {} : { signal });
    }
    throw new WetreadError('chart.unreachable', 'the report keeps being changed by somebody else');
  }

  /** The study without the references that lead nowhere; undefined when all stand, so that they were not the reason. */
  async function withoutDangling(
    study: StudyRecord,
    refusal: unknown,
    signal: AbortSignal | undefined,
  ): Promise<StudyRecord | undefined> {
    if (!(refusal instanceof WetreadError) || refusal.code !== 'chart.rejected') return undefined;
    const { order, imagingStudy, ...rest } = study;
    const [orderStands, studyStands] = await Promise.all([
      stands('ServiceRequest', order, signal),
      stands('ImagingStudy', imagingStudy, signal),
    ]);
    if (orderStands && studyStands) return undefined;
    return {
      ...rest,
      ...(order !== undefined && orderStands ? { order } : {}),
      ...(imagingStudy !== undefined && studyStands ? { imagingStudy } : {}),
    };
  }

  async function stands(
    type: 'ServiceRequest' | 'ImagingStudy',
    reference: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    if (reference === undefined) return true;
    try {
      await client.read(type, reference.slice(type.length + 1), signal);
      return true;
    } catch (error) {
      if (error instanceof WetreadError && error.code === 'chart.not-found') return false;
      throw error;
    }
  }

  /** What of this reading is in the chart. Servers that ignore If-None-Exist, and two writers at once, make duplicates: the oldest stays. */
  async function look(
    wanted: readonly Written[],
    signal: AbortSignal | undefined,
  ): Promise<{ stored: Map<string, Stored>; removed: boolean }> {
    const stored = new Map<string, Stored>();
    let duplicates = 0;
    // Referring resources first: servers refuse to delete what is still referred to.
    for (const type of ['Provenance', 'DiagnosticReport', 'Observation', 'Device'] as const) {
      const ofType = wanted.filter(({ resource }) => resource.resourceType === type);
      for (const some of chunks(ofType, identitiesPerSearch)) {
        const parameter = some[0]!.lookUp.parameter;
        const found = (await client.search(
          type,
          { [parameter]: some.map(({ lookUp }) => lookUp.value).join(',') },
          { signal },
        )) as Stored[];
        for (const { key } of some) {
          const [first, ...others] = found.filter((resource) => carries(resource, key)).sort(oldestFirst);
          if (first !== undefined) stored.set(key, first);
          for (const other of others) await withdraw(other, signal);
          duplicates += others.length;
        }
      }
    }
    if (duplicates > 0) logger.info('duplicates of a report removed', { duplicates });
    return { stored, removed: duplicates > 0 };
  }

  async function withdraw(duplicate: Stored, signal: AbortSignal | undefined): Promise<void> {
    try {
      await client.remove(duplicate.resourceType, duplicate.id, signal);
    } catch (error) {
      if (!(error instanceof WetreadError)) throw error;
      // The other writer removed it as well.
      if (error.code === 'chart.not-found') return;
      if (error.code !== 'chart.rejected' && error.code !== 'chart.refused') throw error;
      // No right to delete, or something refers to it: then it loses its identity and is marked as a mistake.
      const { meta: _meta, ...rest } = duplicate;
      const { identifier: _identifier, ...nameless } = rest as typeof rest & { identifier?: unknown };
      const marked = 'status' in nameless ? { ...nameless, status: 'entered-in-error' } : nameless;
      await client.update(marked as Stored, { signal });
    }
  }

  /** True when the server confirms that every change is now what it holds. */
  async function send(
    changes: readonly Change[],
    stored: ReadonlyMap<string, Stored>,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    try {
      return await inOneTransaction(changes, stored, conditional, signal);
    } catch (error) {
      const status = httpStatusOf(error);
      if (status === 400 && conditional) {
        // Without the condition two writers can both create; the look after the write removes one of the two.
        const acknowledged = await inOneTransaction(changes, stored, false, signal);
        conditional = false;
        return acknowledged;
      }
      // Changed or duplicated since we looked: look again.
      if (status === 409 || status === 412) return false;
      if (status === 404 || status === 405 || status === 501) return oneByOne(changes, stored, signal);
      throw error;
    }
  }

  async function inOneTransaction(
    changes: readonly Change[],
    stored: ReadonlyMap<string, Stored>,
    withCondition: boolean,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    const bundle = transactionOf(changes, stored, client.baseUrl, withCondition);
    const answer = await client.transaction(bundle, signal);
    return bundle.entry!.every((entry, index) => {
      const status = answer.entry?.[index]?.response?.status ?? '';
      // 200 to a conditional create: somebody else was first, and what is there is not yet ours.
      return entry.request!.method === 'POST' ? status.startsWith('201') : status.startsWith('200');
    });
  }

  /** For servers without transactions. A crash in the middle leaves a part; the output is still owed and the next write completes it. */
  async function oneByOne(
    changes: readonly Change[],
    before: ReadonlyMap<string, Stored>,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    const stored = new Map(before);
    for (const { written, stored: present } of changes) {
      const resource = resolved(written.resource, (key) => placeOf(stored.get(key)) ?? urn(key));
      const kept =
        present === undefined
          ? await client.create(resource, { ifNoneExist: ifNoneExist(written), signal })
          : await client.update({ ...resource, id: present.id }, { ifMatch: present.meta?.versionId, signal });
      if (kept.id !== undefined) stored.set(written.key, kept as Stored);
    }
    // Whether a conditional create found another's resource cannot be seen here; the next look decides.
    return true;
  }
}

function transactionOf(
  changes: readonly Change[],
  stored: ReadonlyMap<string, Stored>,
  baseUrl: string,
  withCondition: boolean,
): Bundle {
  // Not the keys themselves: some servers replace an entry's URN wherever it occurs, in our identifiers too.
  const fresh = new Map(
    changes.filter((change) => change.stored === undefined).map(({ written }) => [written.key, urn(randomUUID())]),
  );
  const place = (key: string) => placeOf(stored.get(key)) ?? fresh.get(key) ?? urn(key);
  return {
    resourceType: 'Bundle',
    type: 'transaction',
    entry: changes.map(({ written, stored: present }): BundleEntry => {
      const resource = resolved(written.resource, place);
      const type = resource.resourceType;
      if (present === undefined)
        return {
          fullUrl: place(written.key),
          resource,
          request: { method: 'POST', url: type, ...(withCondition ? { ifNoneExist: ifNoneExist(written) } : {}) },
        };
      const version = present.meta?.versionId;
      return {
        fullUrl: `${baseUrl}/${type}/${present.id}`,
        resource: { ...resource, id: present.id },
        request: {
          method: 'PUT',
          url: `${type}/${present.id}`,
          ...(version === undefined ? {} : { ifMatch: `W/"${version}"` }),
        },
      };
    }),
  };
}

const placeOf = (stored: Stored | undefined): string | undefined =>
  stored === undefined ? undefined : `${stored.resourceType}/${stored.id}`;
const ifNoneExist = ({ lookUp }: Written): string => `${lookUp.parameter}=${encodeURIComponent(lookUp.value)}`;

/** The resource with its references between entries put in their places. */
function resolved<Resource extends WrittenResource>(resource: Resource, place: (key: string) => string): Resource {
  return JSON.parse(JSON.stringify(resource), (name, value: unknown) =>
    name === 'reference' && typeof value === 'string' && value.startsWith(urn(''))
      ? place(value.slice(urn('').length))
      : value,
  ) as Resource;
}

function carries(resource: Stored, key: string): boolean {
  if (resource.resourceType === 'Provenance') return resource.meta?.tag?.some(({ code }) => code === urn(key)) ?? false;
  return resource.identifier?.some(({ value }) => value === urn(key)) ?? false;
}

/** The same order for every writer, so that two of them never remove each other's. */
function oldestFirst(a: Stored, b: Stored): number {
  return (a.meta?.lastUpdated ?? '').localeCompare(b.meta?.lastUpdated ?? '') || a.id.localeCompare(b.id);
}

/** A model's Device is written once: what a newer service would say of it must not rewrite what older results refer to. */
function differs({ resource }: Written, present: Stored | undefined, stored: ReadonlyMap<string, Stored>): boolean {
  if (present === undefined) return true;
  if (resource.resourceType === 'Device') return false;
  return !includes(
    present,
    resolved(resource, (key) => placeOf(stored.get(key)) ?? urn(key)),
  );
}

/** Whether everything we would write is there already; servers add ids, versions and defaults of their own. */
function includes(present: unknown, wanted: unknown): boolean {
  if (Array.isArray(wanted))
    return (
      Array.isArray(present) &&
      present.length === wanted.length &&
      wanted.every((one, index) => includes(present[index], one))
    );
  if (wanted !== null && typeof wanted === 'object') {
    return (
      present !== null &&
      typeof present === 'object' &&
      Object.entries(wanted).every(([name, value]) => includes((present as Record<string, unknown>)[name], value))
    );
  }
  return present === wanted;
}

/** A job that was late must not take back what a person has said since: reviews only move forward. */
function isOlderThan(reading: Reading, stored: ReadonlyMap<string, Stored>): boolean {
  const report = stored.get(reportKeyOf(reading)) as DiagnosticReport | undefined;
  if ((report?.status === 'final' || report?.status === 'appended') && reading.review.kind !== 'final') return true;
  return reading.findings.some(({ id, verdict }) => {
    const observation = stored.get(id) as Observation | undefined;
    return (
      reading.review.kind !== 'final' &&
      verdict.kind === 'unreviewed' &&
      (observation?.status === 'final' || (observation?.status === 'entered-in-error' && !isWithdrawnByUs(observation)))
    );
  });
}

/** Taken back because of a newer reading, not by a person: when the older reading stands again, so does this. */
const isWithdrawnByUs = ({ note = [] }: Observation): boolean =>
  note.some(({ text }) => text?.startsWith(supersededNote));

/** A superseded reading adds nothing to the chart: what never got there need not be withdrawn, and what a person has made final stays. */
function onlyWhatIsThere(all: readonly Written[], stored: ReadonlyMap<string, Stored>): Written[] {
  const touched = new Set(
    all
      .filter(({ key, resource: { resourceType } }) => {
        const present = stored.get(key);
        if (present === undefined) return false;
        if (resourceType === 'Observation') return (present as Observation).status !== 'final';
        return resourceType === 'DiagnosticReport';
      })
      .map(({ key }) => urn(key)),
  );
  if (touched.size === 0) return [];
  return all.flatMap((written): Written[] => {
    const { key, resource } = written;
    if (resource.resourceType === 'Device' || touched.has(urn(key))) return [written];
    if (resource.resourceType !== 'Provenance') return [];
    const target = resource.target.filter(({ reference = '' }) => touched.has(reference));
    return [{ ...written, resource: { ...resource, target } }];
  });
}

function chunks<Item>(items: readonly Item[], size: number): Item[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) =>
    items.slice(index * size, (index + 1) * size),
  );
}
