/** Imaging examinations that can be ordered here. LOINC codes as looked up for this project; an examination without one has words only. */
import type { CodeableConcept } from '@medplum/fhirtypes';

export type Exam = {
  readonly id: string;
  readonly name: string;
  readonly modality: string;
  readonly loinc?: string;
};

export const exams: readonly Exam[] = [
  { id: 'lumbar-lateral', name: 'Lumbar spine X-ray, lateral', modality: 'DX', loinc: '24969-8' },
  { id: 'lumbar-two-views', name: 'Lumbar spine X-ray, AP and lateral', modality: 'DX', loinc: '24970-6' },
  { id: 'lumbar-flexion', name: 'Lumbar spine X-ray, flexion and extension', modality: 'DX', loinc: '24971-4' },
  { id: 'lumbar-mr', name: 'Lumbar spine MRI', modality: 'MR', loinc: '24968-0' },
  { id: 'thoracic', name: 'Thoracic spine X-ray', modality: 'DX', loinc: '24983-9' },
  { id: 'chest', name: 'Chest X-ray, two views', modality: 'DX', loinc: '36643-5' },
  { id: 'knee', name: 'Knee X-ray', modality: 'DX' },
];

export function codeOf({ name, loinc }: Exam): CodeableConcept {
  return { ...(loinc === undefined ? {} : { coding: [{ system: 'http://loinc.org', code: loinc }] }), text: name };
}
