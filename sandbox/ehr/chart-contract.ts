/** What the EHR page gets from its own server. */
import type { FilmProgress } from './progress.ts';

export type Person = {
  readonly id: string;
  readonly name: string;
  readonly birthDate: string;
  readonly age: number;
  readonly sex: string;
  readonly mrn: string;
};

export type PatientRow = Person & { readonly reason: string; readonly openFilms: number };

export type ReportView = {
  readonly id: string;
  readonly title: string;
  readonly status: string;
  /** The status in a sentence: "Partial – AI suggestion, not yet reviewed". */
  readonly standing: string;
  readonly tone: 'suggested' | 'confirmed' | 'withdrawn' | 'plain';
  readonly at: string;
  readonly conclusion: string;
  readonly results: readonly { readonly text: string; readonly value: string; readonly withdrawn: boolean }[];
};

export type StudyView = {
  readonly id: string;
  readonly uid: string;
  readonly name: string;
  readonly modality: string;
  readonly startedAt: string;
  readonly accession: string;
  readonly ordered: boolean;
  readonly reports: readonly ReportView[];
  readonly progress?: FilmProgress;
};

export type OrderView = {
  readonly id: string;
  readonly name: string;
  readonly status: string;
  readonly at: string;
  readonly by: string;
  readonly reason: string;
  readonly accession: string;
};

export type ChartView = {
  readonly patient: Person & { readonly phone: string; readonly allergies: readonly string[] };
  readonly today: { readonly encounter: string; readonly type: string; readonly reason: string } | null;
  readonly problems: readonly { readonly text: string; readonly since: string }[];
  readonly medications: readonly { readonly text: string; readonly dose: string }[];
  readonly results: readonly { readonly text: string; readonly value: string; readonly at: string }[];
  readonly visits: readonly { readonly type: string; readonly reason: string; readonly at: string }[];
  readonly orders: readonly OrderView[];
  readonly studies: readonly StudyView[];
  readonly earlierReports: readonly ReportView[];
};

export type Staff = { readonly id: string; readonly name: string; readonly role: string };

export type Setting = {
  readonly hospital: string;
  readonly user: Staff;
  readonly staff: readonly Staff[];
  readonly exams: readonly { readonly id: string; readonly name: string }[];
  readonly films: readonly { readonly id: string; readonly name: string }[];
  readonly appUrl: string;
};

export type { Card, CardLink, Coding, ServiceAnswer } from '../cds-client/cards.ts';
export type { FilmProgress, FilmStep, HospitalEvent } from './progress.ts';
