/** A film arrives: a phantom gets the patient's name and new identifiers, goes into the archive, and the chart learns of it. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { WithId } from '@medplum/core';
import type { ImagingStudy, Patient, ServiceRequest } from '@medplum/fhirtypes';
import type { FilmStore } from '../archive/store.ts';
import { readPart10, withElements } from '../dicom/part10.ts';
import type { ChartRepository } from '../fhir/repository.ts';
import { accessionSystem, dicomUidSystem, identifierIn, mrnSystem, newUid } from './identifiers.ts';
import { newAccession } from './orders.ts';

export type FilmChoice = { readonly id: string; readonly name: string };

/** In the order of the menu; what else lies in the folder comes after, under its file name. */
const names: Readonly<Record<string, string>> = {
  normal: 'Lateral, nothing slipped',
  'l4-l5-grade-1': 'Lateral, L4 forward on L5',
  'l4-l5-grade-2': 'Lateral, L4 further forward on L5',
  'l5-s1-grade-2': 'Lateral, L5 forward on S1',
  'l1-wedge': 'Lateral, L1 lower in front',
  'normal-implant': 'Lateral with metal',
  'wrong-view': 'Front view, labelled lateral',
  corrupt: 'Damaged file',
};

export type ArrivedFilm = {
  readonly studyUid: string;
  readonly seriesUid: string;
  readonly sopUid: string;
  /** `ImagingStudy/…` */
  readonly imagingStudy: string;
  readonly accession: string;
};

export type FilmRoom = {
  readonly choices: readonly FilmChoice[];
  /** `storedFirst` is told the study's UID between the archive's and the chart's knowing. */
  arrive(film: {
    readonly template: Uint8Array;
    readonly patient: WithId<Patient>;
    readonly order?: WithId<ServiceRequest>;
    readonly storedFirst?: (studyUid: string) => void;
    /** Taken so long ago, and only now brought here. */
    readonly takenDaysAgo?: number;
  }): Promise<ArrivedFilm>;
  templateOf(id: string): Uint8Array | undefined;
};

export function filmRoom(options: {
  readonly folder: string;
  readonly films: FilmStore;
  readonly charts: ChartRepository;
}): FilmRoom {
  const { folder, films, charts } = options;
  const found = readdirSync(folder)
    .filter((name) => name.endsWith('.dcm'))
    .map((name) => name.slice(0, -4));
  const known = Object.keys(names).filter((id) => found.includes(id));
  const ids = [...known, ...found.filter((id) => !known.includes(id)).toSorted()];

  return {
    choices: ids.map((id) => ({ id, name: names[id] ?? id })),
    templateOf: (id) => (ids.includes(id) ? new Uint8Array(readFileSync(join(folder, `${id}.dcm`))) : undefined),
    async arrive({ template, patient, order, storedFirst, takenDaysAgo = 0 }) {
      const now = new Date(Date.now() - takenDaysAgo * 86_400_000);
      const accession = (order && identifierIn(order, accessionSystem)) ?? newAccession();
      const uids = { studyUid: newUid(), seriesUid: newUid(), sopUid: newUid() };
      const file = stamped(template, { ...uids, patient, accession, now, ...(order === undefined ? {} : { order }) });
      const stored = films.add(file);
      if ('refused' in stored) throw new Error(`the archive refused the film (${stored.refused.reason.toString(16)})`);
      storedFirst?.(uids.studyUid);
      const study = await charts.createResource<ImagingStudy>(imagingStudyOf(file, patient, accession, now, order));
      if (order !== undefined) await charts.updateResource<ServiceRequest>({ ...order, status: 'completed' });
      return { ...uids, imagingStudy: `ImagingStudy/${study.id}`, accession };
    },
  };
}

type Stamp = {
  readonly studyUid: string;
  readonly seriesUid: string;
  readonly sopUid: string;
  readonly patient: Patient;
  readonly accession: string;
  readonly now: Date;
  readonly order?: ServiceRequest;
};

function stamped(
  template: Uint8Array,
  { studyUid, seriesUid, sopUid, patient, accession, now, order }: Stamp,
): Uint8Array {
  const { date, time } = dicomTime(now);
  const name = patient.name?.[0];
  return withElements(template, [
    ['00080018', 'UI', sopUid],
    ['0020000D', 'UI', studyUid],
    ['0020000E', 'UI', seriesUid],
    ...['00080020', '00080021', '00080022', '00080023'].map((tag) => [tag, 'DA', date] as const),
    ...['00080030', '00080031', '00080032', '00080033'].map((tag) => [tag, 'TM', time] as const),
    ['00080050', 'SH', accession],
    ['00080080', 'LO', 'Riverside General Hospital (demo)'],
    [
      '00080090',
      'PN',
      ...(order?.requester?.display === undefined ? [] : [{ Alphabetic: dicomName(order.requester.display) }]),
    ],
    ['00100010', 'PN', { Alphabetic: `${name?.family ?? ''}^${(name?.given ?? []).join(' ')}` }],
    ['00100020', 'LO', identifierIn(patient, mrnSystem) ?? ''],
    ['00100030', 'DA', (patient.birthDate ?? '').replaceAll('-', '')],
    ['00100040', 'CS', { female: 'F', male: 'M' }[String(patient.gender)] ?? 'O'],
    ['00200010', 'SH', accession],
  ]);
}

/** PN is family^given; here it is enough to know which word is the last. */
const dicomName = (display: string): string => {
  const words = display.replace(/^Dr\.? /, '').split(' ');
  return `${words.at(-1)}^${words.slice(0, -1).join(' ')}`;
};

/** DICOM writes local time without a zone. */
function dicomTime(now: Date): { date: string; time: string } {
  const two = (value: number) => String(value).padStart(2, '0');
  return {
    date: `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}`,
    time: `${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}`,
  };
}

function imagingStudyOf(
  file: Uint8Array,
  patient: WithId<Patient>,
  accession: string,
  now: Date,
  order?: WithId<ServiceRequest>,
): ImagingStudy {
  const { dataset } = readPart10(file);
  const text = (tag: string) => (dataset[tag]?.Value?.[0] === undefined ? undefined : String(dataset[tag].Value[0]));
  const modality = { system: 'http://dicom.nema.org/resources/ontology/DCM', code: text('00080060') ?? 'OT' };
  const description = order?.code?.text ?? text('00081030');
  return {
    resourceType: 'ImagingStudy',
    identifier: [
      { system: dicomUidSystem, value: `urn:oid:${text('0020000D')}` },
      {
        type: { coding: [{ system: 'http://terminology.hl7.org/CodeSystem/v2-0203', code: 'ACSN' }] },
        system: accessionSystem,
        value: accession,
      },
    ],
    status: 'available',
    modality: [modality],
    subject: { reference: `Patient/${patient.id}` },
    ...(order?.encounter === undefined ? {} : { encounter: order.encounter }),
    started: now.toISOString(),
    ...(order === undefined ? {} : { basedOn: [{ reference: `ServiceRequest/${order.id}` }] }),
    numberOfSeries: 1,
    numberOfInstances: 1,
    ...(description === undefined ? {} : { description }),
    series: [
      {
        uid: text('0020000E')!,
        number: 1,
        modality,
        ...(text('0008103E') === undefined ? {} : { description: text('0008103E')! }),
        numberOfInstances: 1,
        ...(/LSPINE|LUMBAR/i.test(text('00180015') ?? '')
          ? { bodySite: { system: 'http://snomed.info/sct', code: '122496007', display: 'Lumbar spine' } }
          : {}),
        instance: [
          {
            uid: text('00080018')!,
            sopClass: { system: 'urn:ietf:rfc:3986', code: `urn:oid:${text('00080016')}` },
            number: 1,
          },
        ],
      },
    ],
  };
}
