/** What every hook in `hooks/` must keep, whatever was stored. A new file there is found by itself. */
import * as fc from 'fast-check';
import { marked } from 'marked';
import { randomUUID } from 'node:crypto';
import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadHooks } from '../../src/cds/load-hooks.ts';
import type { CdsResponse, DiscoveredService } from '../../src/cds/wire.ts';
import { errorTable, type ErrorCode } from '../../src/domain/errors.ts';
import type { FindingDraft } from '../../src/domain/finding.ts';
import type { PatientId } from '../../src/domain/ids.ts';
import type { Outcome } from '../../src/domain/outcome.ts';
import { wireCard } from '../../src/kit/card.ts';
import type { HookName } from '../../src/kit/hook-context.ts';
import { cdsService, type CdsService } from '../support/cds-service.ts';
import { arrive, daysAgo, newPatient, newStudy, read, settle } from '../support/sample-readings.ts';

let service: CdsService;
beforeAll(async () => {
  service = await cdsService();
});
afterAll(() => service.close());

const hooks = await loadHooks(resolve('hooks'));

const order = (patient: PatientId) => ({
  resourceType: 'ServiceRequest',
  id: 'draft-1',
  status: 'draft',
  intent: 'order',
  subject: { reference: `Patient/${patient}` },
  code: { coding: [{ system: 'http://loinc.org', code: '24969-8' }] },
});
const draftOrders = (patient: PatientId) => ({
  resourceType: 'Bundle',
  type: 'collection',
  entry: [{ resource: order(patient) }],
});

/** A context of each hook, as its definition has it. */
const contexts: Readonly<Record<HookName, (patient: PatientId) => Readonly<Record<string, unknown>>>> = {
  'patient-view': () => ({}),
  'order-select': (patient) => ({ selections: ['ServiceRequest/draft-1'], draftOrders: draftOrders(patient) }),
  'order-sign': (patient) => ({ draftOrders: draftOrders(patient) }),
  'order-dispatch': () => ({ dispatchedOrders: ['ServiceRequest/1'], performer: 'Organization/1' }),
  'encounter-start': () => ({ encounterId: '1' }),
  'encounter-discharge': () => ({ encounterId: '1' }),
};

/** Texts as they come from headers and packs: long, foreign, hostile. */
const text = fc.oneof(
  fc.lorem({ maxCount: 60 }),
  fc.string({ unit: 'grapheme', maxLength: 200 }).map((any) => any.replaceAll('\u0000', '')),
  fc.constantFrom('<script>alert(1)</script>', '[x](http://evil.example)', 'XR Lumbar spine', ''),
);
const level = fc.constantFrom('T12/L1', 'L1/L2', 'L2/L3', 'L3/L4', 'L4/L5', 'L5/S1');
const number = fc.double({ min: -200, max: 200, noNaN: true });
const finding: fc.Arbitrary<FindingDraft> = fc.record({
  concept: fc.constantFrom('spondylolisthesis', 'vertebral-height', 'view-and-quality'),
  site: fc.oneof(
    level.map((at) => ({ kind: 'segment' as const, level: at })),
    fc.constantFrom('L1', 'L5').map((at) => ({ kind: 'vertebra' as const, level: at as 'L1' | 'L5' })),
    fc.constant({ kind: 'image' as const }),
  ),
  result: fc.oneof(
    fc.constantFrom('I', 'II', 'III', 'IV', 'V').map((value) => ({
      kind: 'detected' as const,
      grades: [{ scale: 'Meyerding' as const, value: value as 'I' }],
    })),
    fc.constant({ kind: 'detected' as const }),
    fc.constant({ kind: 'not-detected' as const }),
    fc.constant({ kind: 'measured' as const }),
    text.map((explanation) => ({ kind: 'not-assessable' as const, reason: 'poor-quality' as const, explanation })),
  ),
  measurements: fc.array(
    fc.record({
      quantity: fc.constantFrom('slip', 'slip-percent', 'anterior-posterior-height-ratio'),
      value: number,
      unit: fc.constantFrom('%', 'mm', '1', 'deg'),
      interval: fc.tuple(number, number),
    }),
    { maxLength: 3 },
  ),
  summary: text,
}) as fc.Arbitrary<FindingDraft>;
const findings = fc.uniqueArray(finding, {
  maxLength: 14,
  selector: ({ concept, site }) => `${concept} ${site.kind === 'image' ? '' : site.level}`,
});
const outcome: fc.Arbitrary<Outcome | 'pending'> = fc.oneof(
  fc.constantFrom(...(Object.keys(errorTable) as ErrorCode[])).map((code) => ({ kind: 'failed' as const, code })),
  fc.constant({ kind: 'skipped' as const, reason: 'no-pack-applies' as const, selection: [] }),
  fc.constant('pending' as const),
);
const chart = fc.record({
  readings: fc.array(fc.record({ findings, description: text, days: fc.nat(60) }), { maxLength: 3 }),
  others: fc.array(fc.record({ outcome, description: text, modality: fc.constantFrom('DX', 'MR', 'CT', 'US') }), {
    maxLength: 4,
  }),
});

describe.each(hooks)('$id', ({ id, hook }) => {
  it('has a discovery entry with everything a client needs', async () => {
    const { body } = await service.send('/cds-services', { token: null });
    const entry = (body as { services: DiscoveredService[] }).services.find((one) => one.id === id)!;
    expect(entry).toMatchObject({ hook: hook.hook, id });
    expect(entry.title.length).toBeGreaterThan(0);
    expect(entry.description).toContain('Research use only');
    expect(JSON.stringify(entry)).not.toMatch(/null|""|\{\}/);
  });

  it('answers within every limit of the specification, whatever was read', { timeout: 300_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(chart, async ({ readings, others }) => {
        const patient = newPatient();
        for (const one of readings) {
          await read(service.store, patient, one.findings, {
            startedAt: daysAgo(one.days),
            description: one.description,
          });
        }
        for (const other of others) {
          const fields = { description: other.description, modalities: [other.modality] };
          if (other.outcome === 'pending') await arrive(service.store, patient, newStudy(), fields);
          else await settle(service.store, patient, other.outcome, fields);
        }
        const { status, body } = await service.post(`/cds-services/${id}`, {
          hook: hook.hook,
          hookInstance: randomUUID(),
          context: { userId: 'Practitioner/example', patientId: patient, ...contexts[hook.hook](patient) },
          prefetch: Object.fromEntries(Object.keys(hook.prefetch ?? {}).map((key) => [key, null])),
        });
        expect(status).toBe(200);
        const { cards } = body as CdsResponse;
        for (const card of cards) {
          expect(wireCard.parse(card)).toEqual(card);
          expect(card.summary.length).toBeLessThan(140);
          expect(JSON.stringify(card)).not.toMatch(/:(null|""|\[\]|\{\})/);
          // Nothing a model said before review interrupts like an allergy does.
          expect(card.indicator).not.toBe('critical');
          expect(marked.parse(card.detail ?? '', { async: false })).not.toMatch(/<(a|img|script|table|h\d|pre)\b/);
          for (const link of card.links ?? []) {
            expect(link.type).toBe('smart');
            expect(link).not.toHaveProperty('autolaunchable');
            expect(Object.keys(JSON.parse(link.type === 'smart' ? link.appContext! : '{}') as object)).toEqual([
              expect.stringMatching(/^(finding|study)$/),
            ]);
          }
        }
        expect(new Set(cards.map(({ uuid }) => uuid)).size).toBe(cards.length);
      }),
      { numRuns: 25 },
    );
  });
});
