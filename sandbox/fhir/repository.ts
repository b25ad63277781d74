/** The charts of the hospital in memory: versions, searches, who may see what, and transactions that happen wholly or not at all. */
import {
  badRequest,
  conflict,
  evalFhirPathTyped,
  forbidden,
  generateId,
  globalSchema,
  gone,
  matchesSearchRequest,
  notFound,
  OperationOutcomeError,
  preconditionFailed,
  toTypedValue,
  type SearchRequest,
  type SortRule,
  type WithId,
} from '@medplum/core';
import {
  FhirRepository,
  getExtraEntries,
  MemoryRepository,
  type CreateResourceOptions,
  type DeleteResourceOptions,
  type SearchOptions,
  type UpdateResourceOptions,
} from '@medplum/fhir-router';
import type { Bundle, BundleEntry, OperationOutcome, Resource } from '@medplum/fhirtypes';
import { assertValid, fault, unprocessable } from './validate.ts';

export type Interaction = 'create' | 'read' | 'update' | 'delete' | 'search';

/** A committed write. */
export type Change = {
  readonly interaction: 'create' | 'update' | 'delete';
  readonly resource: WithId<Resource>;
  readonly previous?: WithId<Resource>;
};

/** What a caller may do. The system itself may do everything. */
export interface Access {
  mayUse(interaction: Interaction, resourceType: string): boolean;
  mayTouch(interaction: Interaction, resource: Resource): boolean;
}
export const fullAccess: Access = { mayUse: () => true, mayTouch: () => true };

/** Newest last; a deleted resource ends with a version that has no content. */
type Versions = readonly { readonly version: string; readonly at: string; readonly resource?: WithId<Resource> }[];
type State = Map<string, Map<string, Versions>>;

export type Charts = {
  /** The same charts with the rights of somebody else. */
  seenBy(access: Access): ChartRepository;
  /** Called after each commit, with the changes in their order. */
  onCommit(listener: (changes: readonly Change[]) => void): void;
  /** Throws an OperationOutcomeError for what a part of the hospital refuses (a subscription to an unknown topic). */
  onCheck(check: (resource: Resource) => void): void;
  /** The newest version of each resource. */
  current(): WithId<Resource>[];
  /** Everything with its history, as JSON; `openCharts` takes it back. */
  saved(): SavedCharts;
};
export type SavedCharts = readonly (readonly [
  type: string,
  resources: readonly (readonly [id: string, versions: Versions])[],
])[];

type Core = {
  state: State;
  readonly listeners: ((changes: readonly Change[]) => void)[];
  readonly checks: ((resource: Resource) => void)[];
  /** Writers wait for each other, so that a transaction's copy is never older than what it replaces. */
  lock: Promise<unknown>;
};

export function openCharts(saved: SavedCharts = []): Charts {
  const state: State = new Map(saved.map(([type, resources]) => [type, new Map(resources)]));
  const core: Core = { state, listeners: [], checks: [assertValid], lock: Promise.resolve() };
  return {
    seenBy: (access) => new ChartRepository(core, access),
    onCommit: (listener) => void core.listeners.push(listener),
    onCheck: (check) => void core.checks.push(check),
    saved: () => [...core.state].map(([type, resources]) => [type, [...resources]]),
    current: () =>
      [...core.state.values()].flatMap((type) =>
        [...type.values()].flatMap((versions) => versions.at(-1)?.resource ?? []),
      ),
  };
}

const failed = (outcome: OperationOutcome): OperationOutcomeError => new OperationOutcomeError(outcome);
const largestPage = 500;

/**
 * MemoryRepository gives PATCH and reference lookups. What it does not do is done here: rights, validation, numbered
 * versions, `gone`, refusal of unknown search parameters, and atomic transactions. Its own storage stays unused.
 */
export class ChartRepository extends MemoryRepository {
  readonly #core: Core;
  readonly #access: Access;
  /** Inside a transaction: the copy that is written to, and what has been written. */
  readonly #draft: { readonly state: State; readonly changes: Change[] } | undefined;

  constructor(core: Core, access: Access, draft?: { readonly state: State; readonly changes: Change[] }) {
    super();
    this.#core = core;
    this.#access = access;
    this.#draft = draft;
  }

  get #state(): State {
    return this.#draft?.state ?? this.#core.state;
  }

  override async withTransaction<Result>(callback: (repository: this) => Promise<Result>): Promise<Result> {
    if (this.#draft !== undefined) return callback(this);
    const before = this.#core.lock;
    const work = (async () => {
      await before;
      const state: State = new Map([...this.#core.state].map(([type, resources]) => [type, new Map(resources)]));
      const changes: Change[] = [];
      const result = await callback(new ChartRepository(this.#core, this.#access, { state, changes }) as this);
      assertReferencesHold(state, changes);
      this.#core.state = state;
      // Listeners run later: one that fails must not make a committed write look failed.
      if (changes.length > 0) queueMicrotask(() => this.#core.listeners.forEach((listener) => listener(changes)));
      return result;
    })();
    this.#core.lock = work.catch(() => undefined);
    return work;
  }

  override async createResource<T extends Resource>(resource: T, options?: CreateResourceOptions): Promise<WithId<T>> {
    return this.withTransaction(async (draft) => {
      // R4, 3.1.0.8: a create ignores an id in the resource; only a transaction assigns one beforehand.
      const id = options?.assignedId === true && resource.id !== undefined ? resource.id : generateId();
      return draft.#write({ ...resource, id });
    });
  }

  override async updateResource<T extends Resource>(resource: T, options?: UpdateResourceOptions): Promise<WithId<T>> {
    const { id } = resource;
    if (id === undefined) throw failed(badRequest('Missing id'));
    return this.withTransaction(async (draft) => {
      if (
        options?.ifMatch !== undefined &&
        draft.#latest(resource.resourceType, id)?.meta?.versionId !== options.ifMatch
      ) {
        throw failed(preconditionFailed);
      }
      return draft.#write({ ...resource, id });
    });
  }

  #write<T extends Resource>(given: T & { id: string }): WithId<T> {
    const { resourceType, id } = given;
    const previous = this.#latest(resourceType, id);
    const interaction = previous === undefined ? 'create' : 'update';
    this.#mustAllow(interaction, given);
    // Moving a resource out of what one may see is as forbidden as writing it there.
    if (previous !== undefined) this.#mustAllow('update', previous);
    if (!/^[A-Za-z0-9.-]{1,64}$/.test(id)) throw failed(badRequest('Invalid id', `${resourceType}.id`));

    const versions = this.#state.get(resourceType)?.get(id) ?? [];
    const version = String(versions.length + 1);
    const at = new Date().toISOString();
    const resource = structuredClone({
      ...given,
      meta: { ...given.meta, versionId: version, lastUpdated: at },
    }) as WithId<T>;
    for (const check of this.#core.checks) check(resource);
    this.#keep(resourceType, id, [...versions, { version, at, resource }]);
    this.#draft!.changes.push({ interaction, resource, ...(previous === undefined ? {} : { previous }) });
    return structuredClone(resource);
  }

  override async deleteResource(resourceType: string, id: string, options?: DeleteResourceOptions): Promise<void> {
    await this.withTransaction(async (draft) => {
      const previous = draft.#latest(resourceType, id);
      if (!draft.#access.mayUse('delete', resourceType)) throw failed(forbidden);
      if (previous === undefined) throw failed(notFound);
      draft.#mustAllow('delete', previous);
      if (options?.ifMatch !== undefined && previous.meta?.versionId !== options.ifMatch)
        throw failed(preconditionFailed);
      const versions = draft.#state.get(resourceType)!.get(id)!;
      draft.#keep(resourceType, id, [
        ...versions,
        { version: String(versions.length + 1), at: new Date().toISOString() },
      ]);
      draft.#draft!.changes.push({ interaction: 'delete', resource: previous, previous });
    });
  }

  override async readResource<T extends Resource>(resourceType: string, id: string): Promise<T> {
    if (!this.#access.mayUse('read', resourceType)) throw failed(forbidden);
    const versions = this.#state.get(resourceType)?.get(id);
    if (versions === undefined) throw failed(notFound);
    const resource = versions.at(-1)!.resource;
    if (resource === undefined) throw failed(gone);
    this.#mustAllow('read', resource);
    return structuredClone(resource) as Resource as T;
  }

  override async readHistory<T extends Resource>(resourceType: string, id: string): Promise<Bundle<T>> {
    if (!this.#access.mayUse('read', resourceType)) throw failed(forbidden);
    const versions = this.#state.get(resourceType)?.get(id);
    if (versions === undefined) throw failed(notFound);
    for (const { resource } of versions) if (resource !== undefined) this.#mustAllow('read', resource);
    return {
      resourceType: 'Bundle',
      type: 'history',
      total: versions.length,
      entry: versions.toReversed().map(({ version, at, resource }): BundleEntry<T> => {
        const method = resource === undefined ? 'DELETE' : version === '1' ? 'POST' : 'PUT';
        return {
          ...(resource === undefined ? {} : { resource: structuredClone(resource) as Resource as T }),
          request: { method, url: version === '1' ? resourceType : `${resourceType}/${id}` },
          response: { status: version === '1' ? '201' : '200', etag: `W/"${version}"`, lastModified: at },
        };
      }),
    };
  }

  override async readVersion<T extends Resource>(resourceType: string, id: string, versionId: string): Promise<T> {
    if (!this.#access.mayUse('read', resourceType)) throw failed(forbidden);
    const found = this.#state
      .get(resourceType)
      ?.get(id)
      ?.find(({ version }) => version === versionId);
    if (found === undefined) throw failed(notFound);
    if (found.resource === undefined) throw failed(gone);
    this.#mustAllow('read', found.resource);
    return structuredClone(found.resource) as Resource as T;
  }

  override async search<T extends Resource>(
    asked: SearchRequest<T>,
    _options?: SearchOptions,
  ): Promise<Bundle<WithId<T>>> {
    const { resourceType } = asked;
    if (!this.#access.mayUse('search', resourceType)) throw failed(forbidden);
    const request = understood(asked);
    const matches = [...(this.#state.get(resourceType)?.values() ?? [])]
      .flatMap((versions) => versions.at(-1)?.resource ?? [])
      // Before counting: a total must not tell of what the caller may not see.
      .filter((resource) => this.#access.mayTouch('read', resource) && matchesSearchRequest(resource, request));
    for (const rule of (request.sortRules ?? []).toReversed()) matches.sort(inOrder(resourceType, rule));
    const offset = request.offset ?? 0;
    const page = matches.slice(offset, offset + Math.min(request.count ?? 100, largestPage));
    const entry: BundleEntry[] = page.map((resource) => ({
      resource: structuredClone(resource),
      search: { mode: 'match' },
    }));
    if ((request.include ?? request.revInclude) !== undefined && page.length > 0) {
      await getExtraEntries(
        this,
        request,
        entry.map((one) => one.resource as WithId<T>),
        entry,
      );
    }
    return {
      resourceType: 'Bundle',
      type: 'searchset',
      total: matches.length,
      ...(entry.length > 0 ? { entry: entry as BundleEntry<WithId<T>>[] } : {}),
    };
  }

  override conditionalCreate<T extends Resource>(
    resource: T,
    search: SearchRequest<T>,
    options?: CreateResourceOptions,
  ): Promise<{ resource: WithId<T>; outcome: OperationOutcome }> {
    // The general one runs in a transaction; MemoryRepository's looks into its own storage.
    return Reflect.apply(FhirRepository.prototype.conditionalCreate, this, [resource, search, options]);
  }

  #latest(resourceType: string, id: string): WithId<Resource> | undefined {
    return this.#state.get(resourceType)?.get(id)?.at(-1)?.resource;
  }

  #keep(resourceType: string, id: string, versions: Versions): void {
    const resources = this.#state.get(resourceType) ?? new Map<string, Versions>();
    resources.set(id, versions);
    this.#state.set(resourceType, resources);
  }

  #mustAllow(interaction: Interaction, resource: Resource): void {
    const { mayUse, mayTouch } = this.#access;
    if (!mayUse(interaction, resource.resourceType) || !mayTouch(interaction, resource)) throw failed(forbidden);
  }
}

/** References to what is not in the chart are refused at the end of a transaction, when everything it brings is there. */
function assertReferencesHold(state: State, changes: readonly Change[]): void {
  const exists = (reference: string): boolean => {
    const [, type, id] = /^([A-Z][A-Za-z]+)\/([A-Za-z0-9.-]{1,64})(?:\/_history\/.+)?$/.exec(reference) ?? [];
    // Absolute, contained (`#`) and urn: references are not this server's to judge.
    if (type === undefined || id === undefined) return true;
    return state.get(type)?.get(id)?.at(-1)?.resource !== undefined;
  };
  for (const { interaction, resource } of changes) {
    if (interaction === 'delete') {
      const target = `${resource.resourceType}/${resource.id}`;
      for (const holders of state.values()) {
        for (const versions of holders.values()) {
          const holder = versions.at(-1)?.resource;
          if (holder !== undefined && referencesIn(holder).some(({ reference }) => reference === target)) {
            throw failed(conflict(`${holder.resourceType}/${holder.id} refers to ${target}`));
          }
        }
      }
      continue;
    }
    const dangling = referencesIn(resource).find(({ reference }) => !exists(reference));
    if (dangling !== undefined) {
      throw unprocessable([fault('not-found', `${dangling.reference} is not in the chart`, dangling.path)]);
    }
  }
}

function referencesIn(
  value: unknown,
  path = (value as Resource).resourceType as string,
): { reference: string; path: string }[] {
  if (value === null || typeof value !== 'object') return [];
  return Object.entries(value).flatMap(([name, child]) => {
    const here = Array.isArray(value) ? `${path}[${name}]` : `${path}.${name}`;
    return name === 'reference' && typeof child === 'string' ? [{ reference: child, path }] : referencesIn(child, here);
  });
}

/** The request with values in the form that the matcher compares. An unknown parameter is refused: ignoring it would answer another question. */
function understood<T extends Resource>(request: SearchRequest<T>): SearchRequest<T> {
  const parameters = globalSchema.types[request.resourceType]?.searchParams;
  if (parameters === undefined) throw failed(badRequest(`Unknown resource type: ${request.resourceType}`));
  const filters = (request.filters ?? []).map((filter) => {
    const parameter = parameters[filter.code];
    if (parameter === undefined)
      throw failed(badRequest(`Unknown search parameter: ${request.resourceType}?${filter.code}`));
    if (parameter.type !== 'reference') return filter;
    // `patient=123` and `patient=http://here/fhir/Patient/123` mean `Patient/123`.
    const value = filter.value
      .split(',')
      .map((one) =>
        one.includes('/') ? one.split('/').slice(-2).join('/') : filter.code === 'patient' ? `Patient/${one}` : one,
      )
      .join(',');
    return { ...filter, value };
  });
  return { ...request, filters };
}

function inOrder(resourceType: string, rule: SortRule): (one: Resource, other: Resource) => number {
  const expression = globalSchema.types[resourceType]?.searchParams?.[rule.code]?.expression;
  if (expression === undefined) throw failed(badRequest(`Unknown sort parameter: ${rule.code}`));
  const key = (resource: Resource): string => {
    const value: unknown = evalFhirPathTyped(expression, [toTypedValue(resource)])[0]?.value;
    return typeof value === 'object' ? JSON.stringify(value) : String(value ?? '');
  };
  return (one, other) => key(one).localeCompare(key(other)) * (rule.descending === true ? -1 : 1);
}
