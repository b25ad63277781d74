/** Every error Wetread knows: code, sentence, HTTP status, and whether trying again can help. Translated once, at the edge. */

type ErrorRow = { readonly says: string; readonly next: string; readonly status: number; readonly retry: boolean };

export const errorTable = {
  // dicom: the file or the pixels
  'dicom.not-a-dicom-file': {
    says: 'The file is not DICOM.',
    next: 'Send the original from the modality again.',
    status: 422,
    retry: false,
  },
  'dicom.truncated': {
    says: 'The DICOM file ends before its data does.',
    next: 'Send the study again; the copy in the archive is incomplete.',
    status: 422,
    retry: false,
  },
  'dicom.no-pixel-data': {
    says: 'The object holds no picture.',
    next: 'Nothing to do: reports and presentation states are not read.',
    status: 422,
    retry: false,
  },
  'dicom.unknown-transfer-syntax': {
    says: 'The picture is compressed in a way Wetread does not know.',
    next: 'Let the archive send it uncompressed.',
    status: 422,
    retry: false,
  },
  'dicom.corrupt-pixel-data': {
    says: 'The compressed picture is damaged.',
    next: 'Send the study again from the modality.',
    status: 422,
    retry: false,
  },
  'dicom.unsupported-pixels': {
    says: 'The picture has a pixel format Wetread does not read.',
    next: 'See docs/conformance.md for what is read.',
    status: 422,
    retry: false,
  },
  'dicom.too-large': {
    says: 'The object claims more pixels than the configured limit.',
    next: 'Raise WETREAD_MAX_INSTANCE_MB if the object is genuine.',
    status: 413,
    retry: false,
  },
  'picture.unreadable': {
    says: 'The picture file cannot be read.',
    next: 'Give a DICOM file, a PNG or a JPEG.',
    status: 422,
    retry: false,
  },
  // archive: DICOMweb
  'archive.unreachable': {
    says: 'The image archive does not answer.',
    next: 'Wetread tries again by itself; check the archive and the network.',
    status: 502,
    retry: true,
  },
  'archive.refused': {
    says: 'The image archive refused the request.',
    next: 'Check WETREAD_DICOMWEB_AUTHORIZATION, or the client of WETREAD_DICOMWEB_TOKEN_URL.',
    status: 502,
    retry: false,
  },
  'archive.untrusted': {
    says: "The image archive's certificate is not trusted, or the archive does not accept Wetread's.",
    next: 'Check WETREAD_DICOMWEB_CA_FILE, WETREAD_DICOMWEB_CLIENT_CERT_FILE and the clocks; the detail is what TLS said.',
    status: 502,
    retry: true,
  },
  'archive.error': {
    says: 'The image archive answered with an error.',
    next: "Wetread tries again by itself; see the archive's log.",
    status: 502,
    retry: true,
  },
  'archive.not-found': {
    says: 'The archive does not have this study.',
    next: 'Check that the study was archived under this UID.',
    status: 404,
    retry: true,
  },
  'archive.incomplete': {
    says: "The archive's answer was cut off or is missing parts.",
    next: 'Wetread tries again by itself; nothing was read from the partial answer.',
    status: 502,
    retry: true,
  },
  'archive.bad-answer': {
    says: "The archive's answer is not DICOMweb.",
    next: 'Check WETREAD_DICOMWEB_URL.',
    status: 502,
    retry: false,
  },
  // inbox: objects that are sent here
  'inbox.full': {
    says: 'There is no room for more objects.',
    next: 'Free disk space below WETREAD_INBOX_DIR, or lower WETREAD_INBOX_DAYS; the sender may then send again.',
    status: 507,
    retry: true,
  },
  'inbox.study-too-large': {
    says: 'The study would be larger than allowed.',
    next: 'Raise WETREAD_INBOX_STUDY_MB if the study is genuine.',
    status: 413,
    retry: false,
  },
  'inbox.conflict': {
    says: 'Another object is here under this SOP Instance UID; it was kept.',
    next: 'Send the corrected object under a UID of its own, as DICOM demands.',
    status: 409,
    retry: false,
  },
  'inbox.other-patient': {
    says: 'Objects of another patient are here under this Study Instance UID.',
    next: 'Correct the Patient ID or the Study Instance UID at the sender; the pictures that came first were kept.',
    status: 409,
    retry: false,
  },
  'inbox.other-object': {
    says: 'The object is not the one that was announced.',
    next: "Compare the sender's command with the object's own UIDs.",
    status: 409,
    retry: false,
  },
  // chart: FHIR
  'chart.unreachable': {
    says: 'The FHIR server does not answer.',
    next: 'Wetread tries again by itself; check the server and the network.',
    status: 502,
    retry: true,
  },
  'chart.refused': {
    says: 'The FHIR server refused the request.',
    next: "Check the client's registration and scopes.",
    status: 502,
    retry: true,
  },
  'chart.rejected': {
    says: 'The FHIR server did not accept the resource.',
    next: 'See the OperationOutcome in the log; this is a defect or a site rule.',
    status: 502,
    retry: false,
  },
  'chart.patient-unknown': {
    says: 'No patient in the chart matches this study.',
    next: 'Check the medical record number and WETREAD_PATIENT_IDENTIFIER_SYSTEM.',
    status: 404,
    retry: true,
  },
  'chart.not-found': {
    says: 'The chart does not have this resource.',
    next: 'Check the reference.',
    status: 404,
    retry: false,
  },
  'chart.bad-answer': {
    says: "The FHIR server's answer is not what FHIR R4 says.",
    next: 'Check WETREAD_FHIR_URL; the detail says what was wrong.',
    status: 502,
    retry: false,
  },
  // model: packs and runtimes
  'model.pack-invalid': {
    says: 'A model pack is broken.',
    next: 'The message names the file and the field.',
    status: 500,
    retry: false,
  },
  'model.deadline-exceeded': {
    says: 'The model did not finish in time and was stopped.',
    next: "Wetread tries again by itself; raise the pack's deadline on slow machines.",
    status: 504,
    retry: true,
  },
  'model.process-died': {
    says: "The model's process ended in the middle of a run.",
    next: 'Wetread tries again by itself in a new process.',
    status: 500,
    retry: true,
  },
  'model.queue-full': {
    says: 'More pictures wait for the models than configured.',
    next: 'Wetread tries again by itself; add model processes or workers if this lasts.',
    status: 503,
    retry: true,
  },
  'model.picture-unusable': {
    says: 'The picture is none that this model can read.',
    next: "The detail says what is missing; the pack's manifest says what it needs.",
    status: 422,
    retry: false,
  },
  'model.run-failed': {
    says: 'The model could not be run on this picture.',
    next: "See the log for the runtime's message.",
    status: 500,
    retry: false,
  },
  'model.postprocess-failed': {
    says: "The pack could not turn the model's answer into findings.",
    next: "This is a defect of the pack; report it with the study's outcome.",
    status: 500,
    retry: false,
  },
  'model.bad-output': {
    says: "The model's answer is not usable: wrong shape or not a number.",
    next: 'This is a defect of the pack or its weights.',
    status: 500,
    retry: false,
  },
  'model.provider-unavailable': {
    says: 'The configured execution provider cannot be used on this machine.',
    next: 'Run `wetread doctor`; set WETREAD_EXECUTION_PROVIDER to one that is available.',
    status: 500,
    retry: false,
  },
  'model.memory-exceeded': {
    says: 'The model took more memory than it may and was stopped.',
    next: 'Raise WETREAD_MODEL_MEMORY_MB if there is memory; else the pack needs a smaller network or batch.',
    status: 500,
    retry: false,
  },
  'model.server-unreachable': {
    says: 'The inference server does not answer.',
    next: 'Wetread tries again by itself; check the server, the network and WETREAD_INFERENCE_SERVER.',
    status: 502,
    retry: true,
  },
  'model.server-refused': {
    says: 'The inference server refused the request.',
    next: 'Check WETREAD_INFERENCE_SERVER_AUTHORIZATION and the certificate.',
    status: 502,
    retry: false,
  },
  'model.server-mismatch': {
    says: 'The inference server does not serve this model in this version.',
    next: 'Write its repository again with `wetread models export --triton`.',
    status: 502,
    retry: false,
  },
  // store
  'store.unreachable': {
    says: 'The database does not answer.',
    next: 'Check DATABASE_URL and the database.',
    status: 503,
    retry: true,
  },
  'store.data-folder-in-use': {
    says: 'Another Wetread process holds this data folder.',
    next: 'Stop it, or set WETREAD_DATA_DIR to another folder.',
    status: 503,
    retry: false,
  },
  // request: what came in over HTTP
  'request.malformed': {
    says: 'The request is not what this address expects.',
    next: 'The detail names the field.',
    status: 400,
    retry: false,
  },
  'request.too-large': {
    says: 'The request is larger than allowed.',
    next: 'Send less at once.',
    status: 413,
    retry: false,
  },
  'request.unauthenticated': {
    says: 'The request carries no valid credentials.',
    next: 'Send a valid bearer token.',
    status: 401,
    retry: false,
  },
  'request.forbidden': {
    says: 'These credentials do not allow this.',
    next: "Open the application from the right patient's chart.",
    status: 403,
    retry: false,
  },
  'request.not-found': {
    says: 'There is nothing at this address.',
    next: 'Check the address.',
    status: 404,
    retry: false,
  },
  'request.method-not-allowed': {
    says: 'This address cannot be used this way.',
    next: 'The Allow header lists what it answers.',
    status: 405,
    retry: false,
  },
  'request.conflict': {
    says: 'The state has changed in the meantime.',
    next: 'Reload and decide again.',
    status: 409,
    retry: false,
  },
  // hl7: messages of version 2
  'hl7.malformed': {
    says: 'The HL7 message cannot be read.',
    next: 'The detail names what is wrong with it.',
    status: 400,
    retry: false,
  },
  'hl7.unsupported': {
    says: 'HL7 messages of this type are not taken here.',
    next: 'Send ORM^O01, OMI^O23, OMG^O19 and ORU^R01 only.',
    status: 422,
    retry: false,
  },
  'hl7.sender-not-allowed': {
    says: 'This sender may not send HL7 messages here.',
    next: 'Add it to WETREAD_HL7_SENDERS.',
    status: 403,
    retry: false,
  },
  // cds: hooks
  'cds.unknown-service': {
    says: 'There is no CDS service with this id.',
    next: 'GET /cds-services lists them.',
    status: 404,
    retry: false,
  },
  'cds.client-not-trusted': {
    says: 'The CDS client is not known here.',
    next: 'Add its issuer to WETREAD_CDS_CLIENTS.',
    status: 401,
    retry: false,
  },
  'cds.token-invalid': {
    says: "The CDS client's token is not valid.",
    next: 'The detail says which claim failed.',
    status: 401,
    retry: false,
  },
  'cds.keys-unavailable': {
    says: "The CDS client's public keys cannot be fetched.",
    next: 'Check jwksUrl in WETREAD_CDS_CLIENTS and the network.',
    status: 503,
    retry: true,
  },
  'cds.hook-invalid': {
    says: 'A hook is broken.',
    next: 'The detail names the file and the field.',
    status: 500,
    retry: false,
  },
  'cds.prefetch-unavailable': {
    says: 'Data this service needs was not sent and cannot be fetched.',
    next: 'Send the prefetch, or fhirServer with fhirAuthorization.',
    status: 412,
    retry: false,
  },
  // smart: app launch
  'smart.issuer-not-trusted': {
    says: 'This EHR is not configured for launches.',
    next: 'Add it to WETREAD_SMART_ISSUERS.',
    status: 403,
    retry: false,
  },
  'smart.launch-expired': {
    says: 'This launch is too old or was already used.',
    next: 'Open the application from the chart again.',
    status: 400,
    retry: false,
  },
  'smart.authorization-failed': {
    says: 'The EHR did not grant access.',
    next: 'Open the application from the chart again.',
    status: 502,
    retry: false,
  },
  // cli: what was typed
  'cli.wrong-use': {
    says: 'The command was called wrongly.',
    next: 'The message names what is wrong; the command with --help shows every option with examples.',
    status: 400,
    retry: false,
  },
  'cli.bad-file': {
    says: 'A file given to the command is not as it must be.',
    next: 'The message names the file and the line; put it right and run the same command again.',
    status: 400,
    retry: false,
  },
  'config.invalid': {
    says: 'The configuration is not valid.',
    next: 'The detail names the variable.',
    status: 500,
    retry: false,
  },
  'internal.unexpected': {
    says: 'Something went wrong inside Wetread.',
    next: "The log holds the details under the request's id.",
    status: 500,
    retry: true,
  },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof errorTable;

/** An error with a row in the table. `detail` names the field or the limit; it never holds a name, a token or a record number. */
export class WetreadError extends Error {
  readonly code: ErrorCode;
  readonly detail: string | undefined;

  constructor(code: ErrorCode, detail?: string, options?: { cause?: unknown }) {
    super(detail === undefined ? errorTable[code].says : `${errorTable[code].says} ${detail}`, options);
    this.name = 'WetreadError';
    this.code = code;
    this.detail = detail;
  }

  get row(): ErrorRow {
    return errorTable[this.code];
  }
}

/** Whatever was thrown, as an error of the table. */
export function asWetreadError(thrown: unknown): WetreadError {
  if (thrown instanceof WetreadError) return thrown;
  return new WetreadError('internal.unexpected', thrown instanceof Error ? thrown.message : undefined, {
    cause: thrown,
  });
}
