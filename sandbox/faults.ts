/** Switches that make the demo hospital fail on purpose, for journeys through bad days. Off unless the hospital is started with `faults`. */

export const archiveFaults = ['down', 'truncate', 'slow'] as const;
export const fhirFaults = ['down', 'refuse', 'reject'] as const;

/**
 * archive: `down` drops connections, `truncate` ends WADO answers in the middle, `slow` waits before each answer.
 * fhir: `down` drops connections, `refuse` answers 403 to every token, `reject` answers 422 to every write.
 */
export type Faults = {
  archive: (typeof archiveFaults)[number] | null;
  fhir: (typeof fhirFaults)[number] | null;
};

export const noFaults = (): Faults => ({ archive: null, fhir: null });

export const slowMs = 2_000;
