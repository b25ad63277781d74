/** What a reading says in FHIR, resource by resource, and that HAPI's validator finds no error in any of them. */
import { execFile, execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Device, DiagnosticReport, Observation, Provenance } from 'fhir/r4.js';
import { describe, expect, it } from 'vitest';
import { segments, vertebrae, type Finding, type Reading } from '../../src/domain/finding.ts';
import { findingIdOf } from '../../src/domain/identity.ts';
import { studyUid } from '../../src/domain/ids.ts';
import type { StudyRecord } from '../../src/domain/study.ts';
import { backportSubscription } from '../../src/events/backport-subscription.ts';
import { bodySite } from '../../src/outputs/codes.ts';
import { readingToFhir, supersededToFhir, type WrittenResource } from '../../src/outputs/reading-to-fhir.ts';
import {
  confirmed,
  gradeOne,
  judged,
  normal,
  notAssessable,
  oneFracture,
  packSummary,
  partlyAssessable,
  rejected,
  reviewer,
  study,
  twoSlips,
  verified,
} from './readings.ts';

/** What the validator is shown besides. */
const sets: [name: string, make: () => readonly WrittenResource[]][] = [];
const findingAt = ({ findings }: Reading, level: string): Finding =>
  findings.find(({ site }) => site.kind === 'segment' && site.level === level)!;
const withoutSlip = (finding: Finding): Finding =>
  finding.result.kind === 'detected' ? { ...finding, result: { kind: 'not-detected' } } : finding;
const rejectedVerdict = {
  kind: 'rejected',
  by: reviewer,
  at: '2026-03-02T10:00:00.000Z',
  reason: 'projection',
} as const;

const superseded = {
  by: normal.id,
  pack: normal.pack,
  at: '2026-03-03T08:00:00.000Z',
  standing: [],
  sameReport: false,
} as const;
const options = { publicUrl: 'http://127.0.0.1:8080', reportStatus: 'partial', pack: packSummary } as const;
const written = (reading: Reading, of: StudyRecord = study) =>
  readingToFhir(reading, of, options).map(({ resource }) => resource);
const only = <Type extends WrittenResource['resourceType']>(type: Type, resources: readonly WrittenResource[]) =>
  resources.filter((resource) => resource.resourceType === type) as unknown as Extract<
    WrittenResource,
    { resourceType: Type }
  >[];
const reportOf = (reading: Reading): DiagnosticReport => only('DiagnosticReport', written(reading))[0]!;
const observationsOf = (reading: Reading): Observation[] => only('Observation', written(reading));
const at = (observations: readonly Observation[], level: string) =>
  observations.find(({ bodySite }) => bodySite?.text?.includes(level))!;
const labels = (resource: WrittenResource) => resource.meta?.security?.map(({ code }) => code);

describe('a reading nobody has looked at', () => {
  it('is a partial report that says so in its first words', () => {
    const report = reportOf(gradeOne);
    expect(report.status).toBe('partial');
    expect(report.conclusion).toMatch(/^AI suggestion, not yet reviewed\. Suspected L4\/L5 anterolisthesis, grade I/);
    expect(report.conclusion).toContain('No spondylolisthesis suspected at L1/L2, L2/L3, L3/L4 and L5/S1.');
    expect(report.resultsInterpreter).toBeUndefined();
    expect(report.presentedForm).toBeUndefined();
  });

  it('says what it did not suspect, for reports of other models stand beside it', () => {
    expect(reportOf(oneFracture).conclusion).toContain('No fracture suspected at T11.');
  });

  it('can be called preliminary where a site wants it so', () => {
    const [report] = only(
      'DiagnosticReport',
      readingToFhir(gradeOne, study, { ...options, reportStatus: 'preliminary' }).map(({ resource }) => resource),
    );
    expect(report!.status).toBe('preliminary');
  });

  it('labels the report and every observation as asserted by an AI', () => {
    const labelled = written(gradeOne).filter(
      ({ resourceType }) => resourceType === 'DiagnosticReport' || resourceType === 'Observation',
    );
    expect(labelled).toHaveLength(7);
    for (const resource of labelled) expect(labels(resource)).toEqual(['AIAST']);
  });

  it('gives the slip as UCUM quantities with their intervals, the grade and the direction', () => {
    const observation = at(observationsOf(gradeOne), 'L4/L5');
    expect(observation.status).toBe('preliminary');
    expect(observation.valueCodeableConcept?.coding?.[0]).toMatchObject({
      system: 'http://snomed.info/sct',
      code: '260373001',
    });
    expect(observation.interpretation?.[0]?.coding?.[0]?.code).toBe('POS');
    expect(observation.bodySite?.coding?.[0]?.code).toBe('84020006');
    const component = (code: string) =>
      observation.component?.find((one) => one.code.coding?.some((coding) => coding.code === code));
    expect(component('slip')?.valueQuantity).toEqual({
      value: 6.3,
      unit: 'mm',
      system: 'http://unitsofmeasure.org',
      code: 'mm',
    });
    expect(component('slip-percent')?.valueQuantity).toMatchObject({ value: 18.2, code: '%' });
    expect(component('slip-percent-interval-95')?.valueRange).toMatchObject({
      low: { value: 14, code: '%' },
      high: { value: 22, code: '%' },
    });
    expect(component('meyerding-grade')?.valueCodeableConcept?.text).toBe('Meyerding grade I');
    expect(component('slip-direction')?.valueCodeableConcept?.text).toContain('Anterior');
  });

  it('gives every scale a finding is graded by, with the definition of the classes, and quantities that no table knows', () => {
    const component = (level: string, code: string) =>
      at(observationsOf(oneFracture), level).component?.find((one) =>
        one.code.coding?.some((coding) => coding.code === code),
      );
    expect(component('L1', 'ovf-class')).toMatchObject({
      code: { text: 'Class of osteoporotic vertebral fracture, by ASTLOF <morphology>' },
      valueCodeableConcept: { coding: [{ code: 'ovf-class-2' }], text: 'OVF class 2' },
    });
    expect(component('L1', 'genant-grade')?.valueCodeableConcept?.text).toBe('Genant grade 3');
    expect(component('L1', 'wedge-angle')).toMatchObject({
      code: { text: 'Wedge angle' },
      valueQuantity: { value: 17, unit: '°', code: 'deg' },
    });
    expect(component('T11', 'ovf-class')?.valueCodeableConcept?.text).toBe('OVF class 0');
  });

  it('names every level by a code of its own that the conformance page lists', () => {
    const page = readFileSync(join(import.meta.dirname, '../../docs/conformance-fhir.md'), 'utf8');
    const sites = [
      // S1 is a part of the sacrum; no code of its own was found.
      ...vertebrae.filter((level) => level !== 'S1').map((level) => ({ kind: 'vertebra', level }) as const),
      ...segments.map((level) => ({ kind: 'segment', level }) as const),
    ];
    const coded = sites.map((site) => `${site.level} ${bodySite(site, true)?.coding?.[0]?.code}`);
    expect(coded.filter((line) => !page.includes(line))).toEqual([]);
    expect(new Set(coded.map((line) => line.split(' ')[1])).size).toBe(sites.length);
    expect(bodySite({ kind: 'vertebra', level: 'S1' }, true)).toEqual({ text: 'Vertebra S1' });
  });

  it('gives no digits that a film does not have', () => {
    const observation = at(observationsOf(gradeOne), 'L1/L2');
    expect(observation.component?.[1]?.valueQuantity?.value).toBe(1.7);
  });

  it('names the day of the study only, as DICOM times have no zone', () => {
    expect(reportOf(gradeOne).effectiveDateTime).toBe('2026-03-01');
  });

  it('refers to the study, the order and the exact weights that read it', () => {
    const resources = written(gradeOne);
    const report = only('DiagnosticReport', resources)[0]!;
    expect(report.imagingStudy).toEqual([{ reference: 'ImagingStudy/img-1' }]);
    expect(report.basedOn).toEqual([{ reference: 'ServiceRequest/order-1' }]);
    const device = only('Device', resources)[0] as Device;
    expect(device.version?.map(({ value }) => value)).toEqual(['1.2.0', 'ab'.repeat(32)]);
    const [provenance] = only('Provenance', resources) as Provenance[];
    expect(provenance!.agent[0]!.type?.coding?.[0]?.code).toBe('author');
    expect(provenance!.agent[0]!.who.reference).toBe(only('Observation', resources)[0]!.device?.reference);
    expect(provenance!.target).toHaveLength(7);
    expect(labels(provenance!)).toEqual(['AIAST']);
    expect(provenance!.entity?.[0]?.what).toEqual({ reference: 'ImagingStudy/img-1' });
  });

  it('still names the study when the chart has no ImagingStudy', () => {
    const { imagingStudy: _, order: __, ...bare } = study;
    const [report] = only('DiagnosticReport', written(gradeOne, bare));
    expect(report!.imagingStudy).toEqual([
      { type: 'ImagingStudy', identifier: { system: 'urn:dicom:uid', value: `urn:oid:${study.studyUid}` } },
    ]);
    expect(report!.basedOn).toBeUndefined();
  });

  it('gives the same resources every time', () => {
    expect(written(gradeOne)).toEqual(written(structuredClone(gradeOne)));
  });
});

describe('what could not be assessed', () => {
  it('is an observation without a value, with the reason, and a sentence in the conclusion', () => {
    const observation = at(observationsOf(partlyAssessable), 'L5/S1');
    expect(observation.valueCodeableConcept).toBeUndefined();
    expect(observation.interpretation).toBeUndefined();
    expect(observation.dataAbsentReason?.text).toBe('the level is not visible: S1 is cut off at the lower edge');
    const { conclusion } = reportOf(partlyAssessable);
    expect(conclusion).toContain('Not assessable (L5/S1): the level is not visible.');
    expect(conclusion).not.toMatch(/No spondylolisthesis suspected[^.]*L5\/S1/);
  });

  it('never reads as a normal film when nothing could be assessed', () => {
    const { conclusion } = reportOf(notAssessable);
    expect(conclusion).toBe(
      'AI suggestion, not yet reviewed. Not assessable (the image): not the view that is needed. The film is a front view; a lateral view is needed.',
    );
  });
});

describe('after review', () => {
  it('a confirmed reading is final, names the reader, and is no longer labelled as asserted by an AI alone', () => {
    const resources = written(confirmed);
    const report = only('DiagnosticReport', resources)[0]!;
    expect(report.status).toBe('final');
    expect(report.issued).toBe('2026-03-02T10:00:00.000Z');
    expect(report.resultsInterpreter?.[0]?.reference).toBe('Practitioner/rad');
    expect(report.conclusion).toContain('Confirmed: Suspected L4/L5 anterolisthesis');
    expect(labels(report)).toEqual(['CLINAST_AIRPT']);
    const observations = only('Observation', resources);
    expect(new Set(observations.map(({ status }) => status))).toEqual(new Set(['final']));
    expect(at(observations, 'L4/L5').performer?.[0]?.reference).toBe('Practitioner/rad');
    const verifiers = (only('Provenance', resources) as Provenance[]).filter(
      ({ agent }) => agent[0]!.type?.coding?.[0]?.code === 'verifier',
    );
    expect(verifiers.map(({ agent }) => agent[0]!.who.reference)).toEqual(['Practitioner/rad', 'Practitioner/rad']);
    expect(verifiers[1]!.target).toContainEqual({ reference: `urn:uuid:${confirmed.id}` });
  });

  it('a rejected suggestion is withdrawn: entered in error, out of the results, with who and why', () => {
    const report = reportOf(rejected);
    const observation = at(observationsOf(rejected), 'L4/L5');
    expect(observation.status).toBe('entered-in-error');
    expect(labels(observation)).toEqual(['AIAST']);
    expect(observation.note).toEqual([
      {
        authorReference: { reference: 'Practitioner/rad', display: 'Dr. Ana & Bo <Reader>' },
        time: '2026-03-02T10:00:00.000Z',
        text: 'Rejected: Rotated film &lt;not a slip> & old',
      },
    ]);
    const id = rejected.findings.find(({ result }) => result.kind === 'detected')!.id;
    expect(report.result).not.toContainEqual({ reference: `urn:uuid:${id}` });
    expect(report.result).toHaveLength(5);
    expect(report.status).toBe('final');
    expect(report.conclusion).toMatch(
      /Rejected by the reviewer: Suspected L4\/L5 .*\. The reason given: “Rotated film <not a slip> & old”\./,
    );
    expect(report.text!.div).toContain('“Rotated film &lt;not a slip&gt; &amp; old”');
  });

  it('the reason of a rejection stands in the conclusion as the words of one person, in one line and not without end', () => {
    const withReason = (reason: string): string => {
      const findings = rejected.findings.map((finding) =>
        finding.verdict.kind === 'rejected' ? { ...finding, verdict: { ...finding.verdict, reason } } : finding,
      );
      return reportOf({ ...rejected, findings }).conclusion!;
    };
    expect(withReason('an overlap”.\n\nConfirmed: “normal film\u2028\u0000\u202e')).toContain(
      "The reason given: “an overlap'. Confirmed: 'normal film”. No spondylolisthesis suspected at",
    );
    const long = withReason(`${'projection '.repeat(60)}end`);
    expect(/“(.*)”/.exec(long)![1]).toMatch(/^projection projection .*…$/);
    expect(/“(.*)”/.exec(long)![1]!.length).toBeLessThanOrEqual(200);
    expect(long).toContain('No spondylolisthesis suspected at');
    expect(withReason(' ')).toMatch(/\(18 %.*?\)\. No spondylolisthesis suspected/);
  });

  it('a half-reviewed reading stays partial, with the confirmed finding final', () => {
    const [first, second] = twoSlips.findings;
    const half: Reading = {
      ...twoSlips,
      findings: [
        {
          ...first!,
          verdict: {
            kind: 'confirmed',
            by: { reference: 'Practitioner/rad', display: 'Dr' },
            at: '2026-03-02T10:00:00.000Z',
          },
        },
        second!,
      ],
    };
    expect(reportOf(half).status).toBe('partial');
    expect(reportOf(half).conclusion).toMatch(
      /^AI suggestion, not yet reviewed completely\. Confirmed: Suspected L4\/L5.* Suspected L5\/S1/,
    );
    expect(observationsOf(half).map(({ status }) => status)).toEqual(['final', 'preliminary']);
  });

  it('a reading without suspicion that was verified as a whole is final', () => {
    expect(reportOf(verified).status).toBe('final');
    expect(reportOf(verified).conclusion).toMatch(
      /^AI reading, reviewed by Dr\. Ana & Bo <Reader> on 2 Mar 2026\. No spondylolisthesis suspected at/,
    );
  });
});

describe('an earlier film', () => {
  const before = gradeOne;
  const beforeStudy = { ...study, startedAt: '2025-03-12T10:00:00' };
  const laterUid = studyUid('1.2.826.0.1.3680043.8.498.78');
  const laterStudy: StudyRecord = { ...study, studyUid: laterUid, startedAt: '2026-03-01T09:30:00' };
  /** The same levels a year later, L4/L5 further. */
  const later: Reading = {
    ...gradeOne,
    studyUid: laterUid,
    findings: gradeOne.findings.map((finding): Finding => ({
      ...finding,
      id: findingIdOf(normal.id, finding.concept, finding.site),
      measurements: finding.measurements.map((one) =>
        finding.result.kind === 'detected' && one.quantity === 'slip-percent'
          ? { ...one, value: 31, interval: [27, 35] as const }
          : one,
      ),
    })),
  };
  const compared = (reading: Reading, prior: Reading = before) =>
    readingToFhir(reading, laterStudy, {
      ...options,
      chart: { readings: [reading, prior], studies: [laterStudy, beforeStudy] },
    }).map(({ resource }) => resource);

  it('is compared in a note, a component, an interpretation, and named as what that was derived from', () => {
    const observation = at(only('Observation', compared(later)), 'L4/L5');
    const says = "Compared with the film of 12 Mar 2025: progressed (18 % → 31 %, more than the measurement's spread).";
    expect(observation.note![0]!.text).toContain(says);
    expect(observation.interpretation!.map(({ coding }) => coding![0]!.code)).toEqual(['POS', 'W']);
    expect(observation.component!.at(-1)!.valueCodeableConcept!.text).toBe('Progressed');
    expect(observation.derivedFrom).toHaveLength(2);
    expect(observation.derivedFrom![1]).toEqual({
      type: 'Observation',
      identifier: { system: 'urn:ietf:rfc:3986', value: `urn:uuid:${findingAt(before, 'L4/L5').id}` },
      display: 'The same on the film of 12 Mar 2025',
    });
    expect(only('DiagnosticReport', compared(later))[0]!.conclusion).toContain(says);
    // Levels without a suspicion on either film say nothing of a course.
    expect(at(only('Observation', compared(later)), 'L3/L4').derivedFrom).toHaveLength(1);
  });

  it('on which a slip was suspected that is not any more is named in the conclusion too', () => {
    const clear: Reading = { ...later, findings: later.findings.map(withoutSlip) };
    const [report] = only('DiagnosticReport', compared(clear));
    expect(report!.conclusion).toContain('L4/L5: Compared with the film of 12 Mar 2025: no longer suspected');
    expect(at(only('Observation', compared(clear)), 'L4/L5').interpretation).toEqual([
      expect.objectContaining({ coding: [expect.objectContaining({ code: 'NEG' })] }),
    ]);
  });

  it('whose finding was rejected is none, and a rejected finding is not compared', () => {
    expect(at(only('Observation', compared(later, rejected)), 'L4/L5').note).toBeUndefined();
    const refused = judged(later, rejectedVerdict);
    expect(at(only('Observation', compared(refused)), 'L4/L5').note).toHaveLength(1);
    expect(at(only('Observation', compared(refused)), 'L4/L5').note![0]!.text).toMatch(/^Rejected/);
  });

  it('makes the same resources each time', () => {
    expect(compared(later)).toEqual(compared(later));
  });

  sets.push(['compared', () => compared(later)]);
});

describe('narrative', () => {
  it('lets no markup in from names, reasons and cards of models', () => {
    const texts = [...written(rejected), ...written(confirmed)].map(({ text }) => text!.div);
    for (const div of texts)
      expect(div.replaceAll(/<\/?p>/g, '')).toMatch(/^<div xmlns="http:\/\/www\.w3\.org\/1999\/xhtml">[^<>]*<\/div>$/);
    expect(texts.join()).toContain('Rotated film &lt;not a slip&gt; &amp; old');
  });

  it('survives control characters in what a reviewer typed', () => {
    const typed = structuredClone(rejected) as { findings: { verdict: { kind: string; reason?: string } }[] } & Reading;
    for (const { verdict } of typed.findings) if (verdict.kind === 'rejected') verdict.reason = 'a\u0000b\u000bc\ud800';
    expect(at(observationsOf(typed), 'L4/L5').note![0]!.text).toBe('Rejected: a b c\ufffd');
  });
});

const installed = (tool: string) => {
  try {
    execFileSync('which', [tool], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};
const canValidate = installed('java') && installed('javac') && installed('mvn');
if (!canValidate && !process.env['CI']) console.warn('SKIPPED: the FHIR validator needs Java 17 and Maven');

describe.skipIf(!canValidate && !process.env['CI'])("HAPI FHIR's validator", () => {
  const validator = join(import.meta.dirname, '../../scripts/fhir-validate/fhir-validate');
  const run = promisify(execFile);

  it('finds no error in anything that is written', { timeout: 600_000 }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'wetread-fhir-'));
    try {
      const { imagingStudy: _, order: __, startedAt: ___, ...bare } = study;
      const readings = {
        normal,
        gradeOne,
        twoSlips,
        oneFracture,
        partlyAssessable,
        notAssessable,
        confirmed,
        rejected,
        verified,
      };
      const files: string[] = [];
      for (const [name, resources] of [
        ...sets.map(([name, make]) => [name, make()] as const),
        ...Object.entries(readings).map(([name, reading]) => [name, written(reading)] as const),
        ['bare', written(gradeOne, bare)] as const,
        [
          'superseded',
          supersededToFhir({ ...gradeOne, superseded }, study, options).map(({ resource }) => resource),
        ] as const,
        [
          'appended',
          supersededToFhir({ ...confirmed, superseded }, study, options).map(({ resource }) => resource),
        ] as const,
        [
          'heard',
          [
            backportSubscription({
              endpoint: 'http://127.0.0.1/events/fhir',
              secret: 's',
              topic: 'http://h/t',
              heartbeatSeconds: 60,
            }),
          ],
        ] as const,
      ]) {
        for (const [index, resource] of resources.entries()) {
          const file = join(folder, `${name}-${index}-${resource.resourceType}.json`);
          await writeFile(file, JSON.stringify(resource));
          files.push(file);
        }
      }
      expect(files.length).toBeGreaterThan(60);
      const { stdout } = await run(validator, ['--errors-only', ...files], { maxBuffer: 64 << 20 }).catch(
        (error: { stdout?: string; stderr?: string }) => ({ stdout: `${error.stdout}${error.stderr}` }),
      );
      expect(stdout.trim()).toBe(`0 errors in ${files.length} files`);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('would find one', { timeout: 600_000 }, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'wetread-fhir-'));
    try {
      const file = join(folder, 'wrong.json');
      const observation = structuredClone(observationsOf(gradeOne)[0]!);
      observation.component![0]!.valueQuantity!.code = 'furlongs!';
      await writeFile(file, JSON.stringify(observation));
      await expect(run(validator, [file])).rejects.toMatchObject({
        code: 1,
        stdout: expect.stringContaining('furlongs!') as string,
      });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
