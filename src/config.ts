/** The environment, read once: one schema, one frozen object. `wetread doctor` prints it; docs/configuration.md is made from it. */
import { z } from 'zod';
import { WetreadError } from './domain/errors.ts';
import { callerOf, type Caller } from './events/dimse-callers.ts';

const port = z.coerce.number().int().min(0).max(65535);
/** Addresses are printed and logged, and a name and password in one with them. */
const withoutCredentials = (url: string): boolean => {
  if (!URL.canParse(url)) return true;
  const { username, password } = new URL(url);
  return username === '' && password === '';
};
const credentialsElsewhere = 'holds a name or password; those have settings of their own';
const httpUrl = z
  .url({ protocol: /^https?$/ })
  .refine(withoutCredentials, credentialsElsewhere)
  .transform((url) => url.replace(/\/+$/, ''));
const list = z.string().transform((text) =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean),
);

/** A setting given as JSON text, so that a structured value fits one variable. */
const json = <Schema extends z.ZodType>(schema: Schema) =>
  z.string().transform((text, context): z.output<Schema> => {
    try {
      return schema.parse(JSON.parse(text));
    } catch (error) {
      context.addIssue({ code: 'custom', message: error instanceof SyntaxError ? 'is not JSON' : String(error) });
      return z.NEVER;
    }
  });

const cdsClient = z.strictObject({
  issuer: z.string().min(1),
  jwksUrl: httpUrl,
  tenant: z.string().optional(),
  fhirServers: z.array(httpUrl).default([]),
});
/** A Content-Security-Policy compares origins: with a path in it, a page elsewhere in the EHR would be shut out. */
const origin = httpUrl.refine(
  (url) => URL.canParse(url) && new URL(url).origin === url,
  'is not an origin such as https://ehr.example',
);

/** `ServiceRequest=https://…`; an address alone is about imaging studies. */
function subscriptionTopic(text: string) {
  const [, type = 'ImagingStudy', url = text] =
    /^(ImagingStudy|ServiceRequest|DiagnosticReport)=(.+)$/.exec(text) ?? [];
  return { type: type as 'ImagingStudy' | 'ServiceRequest' | 'DiagnosticReport', url };
}

const smartIssuer = z.strictObject({
  iss: httpUrl,
  clientId: z.string().min(1),
  /** Where pages of the EHR that frame the app live. Default: the origin of `iss`. */
  frameOrigins: z.array(origin).exactOptional(),
});

/** `TITLE@ADDRESS` for each, separated by commas. */
const dicomCallers = list.transform((texts, context): Caller[] =>
  texts.flatMap((text) => {
    const caller = callerOf(text);
    if (caller === undefined)
      context.addIssue({
        code: 'custom',
        message: `"${text}" is not TITLE@ADDRESS, such as CT1@10.1.2.3 or *@10.1.0.0/16`,
      });
    return caller ?? [];
  }),
);

const schema = z.object({
  WETREAD_HOST: z.string().default('127.0.0.1').describe('Address the service listens on.'),
  WETREAD_PORT: port.default(8080).describe('Port of the service.'),
  WETREAD_PUBLIC_URL: httpUrl
    .optional()
    .describe('How browsers and other systems reach the service. Default: http://HOST:PORT.'),
  WETREAD_DATA_DIR: z.string().default('./.wetread').describe('Folder for the built-in database, keys and secrets.'),
  WETREAD_LOG_LEVEL: z
    .enum(['debug', 'info', 'warn', 'error'])
    .default('info')
    .describe('Least serious line that is logged.'),
  DATABASE_URL: z
    .url({ protocol: /^postgres(ql)?$/ })
    .optional()
    .describe("The site's PostgreSQL. Default: an own one in WETREAD_DATA_DIR."),

  WETREAD_DICOMWEB_URL: httpUrl.optional().describe('DICOMweb root of the archive.'),
  WETREAD_DICOMWEB_AUTHORIZATION: z
    .string()
    .optional()
    .describe('Authorization header for the archive, for example "Basic …".'),
  WETREAD_DICOMWEB_TOKEN_URL: httpUrl
    .optional()
    .describe('OAuth token endpoint for the archive (client credentials), instead of a fixed header.'),
  WETREAD_DICOMWEB_CLIENT_ID: z.string().optional().describe('Client id at that endpoint.'),
  WETREAD_DICOMWEB_CLIENT_SECRET: z.string().optional().describe('Client secret at that endpoint.'),
  WETREAD_DICOMWEB_CLIENT_AUTH: z
    .enum(['client_secret_basic', 'client_secret_post', 'private_key_jwt'])
    .default('client_secret_basic')
    .describe("How the client proves itself there; private_key_jwt uses the service's own key."),
  WETREAD_DICOMWEB_SCOPE: z.string().optional().describe('Scope asked for there.'),
  WETREAD_DICOMWEB_CA_FILE: z
    .string()
    .optional()
    .describe("PEM file of the authorities that may sign the archive's certificate, instead of the public ones."),
  WETREAD_DICOMWEB_CLIENT_CERT_FILE: z
    .string()
    .optional()
    .describe('PEM file of the certificate that Wetread shows to the archive.'),
  WETREAD_DICOMWEB_CLIENT_KEY_FILE: z.string().optional().describe('PEM file of its private key.'),
  WETREAD_DICOMWEB_CONCURRENCY: z.coerce
    .number()
    .int()
    .min(1)
    .max(64)
    .default(4)
    .describe('Requests to the archive at once; as many again for the viewer.'),
  WETREAD_DICOMWEB_TIMEOUT_SECONDS: z.coerce
    .number()
    .positive()
    .default(30)
    .describe('Longest silence of the archive.'),
  WETREAD_MAX_INSTANCE_MB: z.coerce.number().positive().default(512).describe('Largest DICOM object that is read.'),
  WETREAD_POLL_SECONDS: z.coerce
    .number()
    .min(0)
    .default(60)
    .describe('How often the archive is asked for new studies; 0 never asks.'),
  WETREAD_POLL_DAYS: z.coerce
    .number()
    .min(1)
    .max(3650)
    .default(30)
    .describe('Every hour, studies that were taken up to so many days ago are looked for: archived late, or grown.'),

  WETREAD_UPS_URL: httpUrl.optional().describe('UPS-RS root of the worklist. Default: WETREAD_DICOMWEB_URL.'),
  WETREAD_UPS_STATION: z
    .string()
    .optional()
    .describe(
      'Scheduled Station Name code of workitems that Wetread claims, as VALUE or VALUE^SCHEME; without any of the three codes the worklist is left alone.',
    ),
  WETREAD_UPS_STATION_CLASS: z.string().optional().describe('Scheduled Station Class code of such workitems.'),
  WETREAD_UPS_WORKITEM_CODE: z.string().optional().describe('Scheduled Workitem Code of such workitems.'),
  WETREAD_UPS_AE_TITLE: z
    .string()
    .regex(/^[!-[\]-~][ -[\]-~]{0,15}$/)
    .default('WETREAD')
    .describe('AE title under which Wetread subscribes to the worklist.'),
  WETREAD_UPS_AUTHORIZATION: z
    .string()
    .optional()
    .describe("Authorization header for the worklist. Default: the archive's, when it is at the same address."),
  WETREAD_UPS_POLL_SECONDS: z.coerce
    .number()
    .positive()
    .default(15)
    .describe(
      'How often claimed workitems are looked after, and the worklist is searched while its events do not come.',
    ),

  WETREAD_INBOX_DIR: z
    .string()
    .optional()
    .describe('Folder for objects that are sent here; all machines share it. Default: inbox in WETREAD_DATA_DIR.'),
  WETREAD_INBOX_DAYS: z.coerce
    .number()
    .int()
    .min(0)
    .default(30)
    .describe('Days after which received pictures of studies that were read are deleted; 0 keeps them.'),
  WETREAD_INBOX_STUDY_MB: z.coerce.number().positive().default(16_384).describe('Largest study that is received.'),
  WETREAD_INBOX_FREE_MB: z.coerce
    .number()
    .min(0)
    .default(2048)
    .describe('Disk space left free below WETREAD_INBOX_DIR; senders are refused before that.'),
  WETREAD_QUIET_SECONDS: z.coerce
    .number()
    .positive()
    .default(20)
    .describe('A received study is read when its senders were silent for so long; what comes later has it read again.'),
  WETREAD_STOW_SECRET: z
    .string()
    .min(16)
    .optional()
    .describe('Bearer secret of STOW-RS senders. STOW-RS is off unless this or WETREAD_STOW_BASIC is set.'),
  WETREAD_STOW_BASIC: z
    .string()
    .regex(/^[^:]+:.{12,}$/s, 'is not name:password with a password of 12 characters or more')
    .optional()
    .describe('"name:password" of STOW-RS senders that know HTTP Basic only.'),
  WETREAD_DIMSE_PORT: port.optional().describe('Port for C-STORE and C-ECHO; unset means none.'),
  WETREAD_DIMSE_HOST: z.string().default('127.0.0.1').describe('Address that DICOM callers are heard on.'),
  WETREAD_DIMSE_AET: z
    .string()
    .regex(/^[^\\\s]{1,16}$/, 'is not an AE title')
    .default('WETREAD')
    .describe('AE title that callers must call.'),
  WETREAD_DIMSE_CALLERS: dicomCallers
    .default([])
    .describe('Who may call: CT1@10.1.2.3, *@10.1.0.0/16, separated by commas; nobody may who is not named.'),
  WETREAD_DIMSE_ASSOCIATIONS: z.coerce.number().int().min(1).max(256).default(16).describe('DICOM callers at once.'),
  WETREAD_DIMSE_TLS_CERT_FILE: z
    .string()
    .optional()
    .describe('Certificate (PEM) for DICOM over TLS; needs WETREAD_DIMSE_TLS_KEY_FILE as well.'),
  WETREAD_DIMSE_TLS_KEY_FILE: z.string().optional().describe('Private key (PEM) for DICOM over TLS.'),
  WETREAD_DIMSE_TLS_CLIENT_CA_FILE: z
    .string()
    .optional()
    .describe('Authority (PEM) whose certificates DICOM callers must show; unset asks for none.'),

  WETREAD_FHIR_URL: httpUrl.optional().describe('FHIR R4 base of the chart.'),
  WETREAD_FHIR_CLIENT_ID: z
    .string()
    .optional()
    .describe('Client id for SMART backend authorization; unset means an open server.'),
  WETREAD_FHIR_TIMEOUT_SECONDS: z.coerce
    .number()
    .positive()
    .default(15)
    .describe('Longest silence of the FHIR server.'),
  WETREAD_PRIVATE_KEY_FILE: z
    .string()
    .optional()
    .describe("JWKS file with the service's private key. Default: made once in WETREAD_DATA_DIR."),
  WETREAD_PATIENT_IDENTIFIER_SYSTEM: z
    .string()
    .optional()
    .describe('System of the medical record numbers that DICOM Patient ID holds.'),
  WETREAD_ACCESSION_IDENTIFIER_SYSTEM: z.string().optional().describe('System of accession numbers on orders.'),
  WETREAD_SUBSCRIPTION_TOPIC: list
    .transform((topics) => topics.map(subscriptionTopic))
    .refine((topics) => topics.every(({ url }) => URL.canParse(url)), 'names something that is no topic')
    .default([])
    .describe(
      'Topics of FHIR Subscriptions, separated by commas: those of imaging studies, and ServiceRequest=…, DiagnosticReport=… for orders and reports; unset means none.',
    ),
  WETREAD_SUBSCRIPTION_PAYLOAD: z
    .enum(['empty', 'id-only', 'full-resource'])
    .default('id-only')
    .describe('Payload that the FHIR server is asked to send. Only names are taken from it.'),
  WETREAD_HL7_PORT: port
    .optional()
    .describe('Port for HL7 v2 messages over MLLP (orders, states, results); unset means none.'),
  WETREAD_HL7_HOST: z.string().default('127.0.0.1').describe('Address that HL7 messages are heard on.'),
  WETREAD_HL7_TLS_CERT_FILE: z
    .string()
    .optional()
    .describe('Certificate (PEM) for MLLP over TLS; needs WETREAD_HL7_TLS_KEY_FILE as well.'),
  WETREAD_HL7_TLS_KEY_FILE: z.string().optional().describe('Private key (PEM) for MLLP over TLS.'),
  WETREAD_HL7_TLS_CLIENT_CA_FILE: z
    .string()
    .optional()
    .describe('Authority (PEM) whose certificates HL7 senders must show; unset asks for none.'),
  WETREAD_HL7_SENDERS: list
    .default([])
    .describe('HL7 senders that are heard, as APPLICATION or APPLICATION@FACILITY (MSH-3, MSH-4); empty means any.'),
  WETREAD_HL7_ADDRESSES: list
    .default([])
    .describe('Addresses and networks (10.1.0.0/16) that may connect for HL7; empty means any.'),
  WETREAD_HL7_ACCESSION_FIELDS: list
    .refine((fields) => fields.every((field) => /^(IPC|OBR|ORC|ZDS)-[1-9]\d?$/.test(field)), 'is not like OBR-18,IPC-1')
    .default(['IPC-1', 'OBR-18', 'OBR-3', 'ORC-3'])
    .describe('Where HL7 messages hold the accession number; the first field with one counts.'),
  WETREAD_HL7_STAT_CODES: list
    .default(['S', 'STAT', 'A', 'ASAP'])
    .describe('HL7 priority codes that put a study before all others.'),
  WETREAD_REPORT_STATUS: z
    .enum(['partial', 'preliminary'])
    .default('partial')
    .describe('DiagnosticReport status before review.'),

  WETREAD_CDS_CLIENTS: json(z.array(cdsClient))
    .default([])
    .describe('CDS Hooks clients that are trusted, as JSON: [{"issuer","jwksUrl","fhirServers":[]}].'),
  WETREAD_CDS_OPEN: z
    .stringbool()
    .default(false)
    .describe('true answers CDS clients without a token. For development only.'),
  WETREAD_CDS_ORIGINS: list.default([]).describe('Origins of browser-based CDS clients (CORS), separated by commas.'),
  WETREAD_SMART_ISSUERS: json(z.array(smartIssuer))
    .default([])
    .describe(
      'EHRs that may launch the app, as JSON: [{"iss","clientId"}]; "frameOrigins":[] as well where its pages live elsewhere than its FHIR server.',
    ),

  WETREAD_MODELS_DIR: z
    .string()
    .optional()
    .describe('Folder of model packs. Default: the models that come with Wetread.'),
  WETREAD_EXECUTION_PROVIDER: z
    .enum(['cpu', 'cuda', 'tensorrt', 'webgpu', 'coreml', 'dml'])
    .default('cpu')
    .describe('Where models run; never falls back silently.'),
  WETREAD_INFERENCE_SERVER: z
    .url({ protocol: /^(http|grpc)s?$/ })
    .refine(withoutCredentials, credentialsElsewhere)
    .optional()
    .describe(
      'A KServe v2 server (Triton, KServe, OpenVINO Model Server) that computes the networks, such as grpc://HOST:8001 or http://HOST:8000. Default: they are computed here.',
    ),
  WETREAD_INFERENCE_SERVER_AUTHORIZATION: z
    .string()
    .optional()
    .describe('Authorization header for that server, for example "Bearer …".'),
  WETREAD_INFERENCE_REQUESTS_AT_ONCE: z.coerce
    .number()
    .int()
    .min(1)
    .max(256)
    .default(8)
    .describe('Requests that each model process has open at that server.'),
  WETREAD_BATCH_PICTURES: z.coerce
    .number()
    .int()
    .min(1)
    .max(256)
    .default(1)
    .describe(
      'Waiting pictures that may share one run where a model allows it; 1 runs each by itself. See docs/gpu.md.',
    ),
  WETREAD_BATCH_WAIT_MS: z.coerce
    .number()
    .min(0)
    .max(1000)
    .default(2)
    .describe('How long the first of them waits for others.'),
  WETREAD_INFERENCE_PROCESSES: z.coerce.number().int().min(1).max(64).default(1).describe('Model processes kept warm.'),
  WETREAD_INFERENCE_THREADS: z.coerce
    .number()
    .int()
    .min(1)
    .max(256)
    .default(2)
    .describe('Threads of each model process.'),
  WETREAD_MODEL_MEMORY_MB: z.coerce
    .number()
    .int()
    .min(256)
    .default(4096)
    .describe(
      'Memory above which a model process is replaced when its picture is read; half as much again ends it in mid-run.',
    ),
  WETREAD_DECODER_THREADS: z.coerce.number().int().min(1).max(64).default(1).describe('Threads that decode pictures.'),
  WETREAD_STUDIES_AT_ONCE: z.coerce
    .number()
    .int()
    .min(1)
    .max(64)
    .default(2)
    .describe('Studies one worker reads side by side.'),
  WETREAD_RETRY_LIMIT: z.coerce
    .number()
    .int()
    .min(0)
    .default(8)
    .describe('Tries after the first before a study is given up and shown as not read.'),
  WETREAD_RETRY_SECONDS: z.coerce
    .number()
    .positive()
    .default(5)
    .describe('Wait before the first retry; doubles each time.'),
  WETREAD_KEEP_AUDIT_DAYS: z.coerce
    .number()
    .int()
    .min(365)
    .default(3650)
    .describe('Days that the audit trail is kept; what is older is deleted once a day, which leaves an entry.'),
  WETREAD_KEEP_CARDS_DAYS: z.coerce
    .number()
    .int()
    .min(30)
    .default(730)
    .describe('Days that cards, the answers to them, and orders that were seen are kept.'),
  WETREAD_EVENT_SECRET: z
    .string()
    .min(16)
    .optional()
    .describe('Bearer secret for POST /events/study. Default: made once in WETREAD_DATA_DIR.'),
});

type Settings = z.output<typeof schema>;
export type Config = Readonly<Settings & { readonly publicUrl: string }>;

/** Name, meaning and default of every setting, for `--help`, `doctor` and the docs. */
export const settings = Object.entries(schema.shape).map(([name, field]) => ({
  name: name as keyof Settings,
  meaning: field.description ?? '',
  default: schema.safeParse({}).data?.[name as keyof Settings],
}));

const secretSettings: ReadonlySet<string> = new Set([
  'DATABASE_URL',
  'WETREAD_DICOMWEB_AUTHORIZATION',
  'WETREAD_INFERENCE_SERVER_AUTHORIZATION',
  'WETREAD_DICOMWEB_CLIENT_SECRET',
  'WETREAD_UPS_AUTHORIZATION',
  'WETREAD_EVENT_SECRET',
  'WETREAD_STOW_SECRET',
  'WETREAD_STOW_BASIC',
]);

/** A setting as it may be shown: secrets only as present. */
export function shown(name: keyof Settings, value: unknown): string {
  if (value === undefined) return '(not set)';
  if (secretSettings.has(name)) return '(set)';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

export function readConfig(environment: NodeJS.ProcessEnv): Config {
  // An empty variable means "not set": compose files and service units write them so.
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const result = schema.safeParse(given);
  if (!result.success) {
    const issues = result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
    throw new WetreadError('config.invalid', issues.join('; '));
  }
  const misspelt = Object.keys(given).filter(
    (name) => name.startsWith('WETREAD_') && !(name in schema.shape) && !name.startsWith('WETREAD_SANDBOX_'),
  );
  if (misspelt.length > 0) throw new WetreadError('config.invalid', `unknown: ${misspelt.join(', ')}`);
  const settings = result.data;
  const publicUrl = settings.WETREAD_PUBLIC_URL ?? `http://${settings.WETREAD_HOST}:${settings.WETREAD_PORT}`;
  return Object.freeze({ ...settings, publicUrl });
}
