/** What the demonstration has on record when it opens: an earlier film and today's of one patient, and a fall. */
export type FilmOnRecord = { readonly patient: string; readonly film: string; readonly takenDaysAgo: number };

/** In the order in which they come; the earlier first, as it was read then. */
export const filmsOnRecord: readonly FilmOnRecord[] = [
  { patient: 'patient-lindqvist', film: 'l4-l5-grade-1', takenDaysAgo: 620 },
  { patient: 'patient-lindqvist', film: 'l4-l5-grade-2', takenDaysAgo: 0 },
  { patient: 'patient-brandt', film: 'l1-wedge', takenDaysAgo: 0 },
];
