/** `wetread send`: real files down every road by which a study can reach Wetread, so that an engineer can try them all. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readConfig, type Config } from '../config.ts';
import { asWetreadError } from '../domain/errors.ts';
import { readArgs, UsageError, type Command, type Io } from './command.ts';
import { progressBar } from './progress-bar.ts';
import { disguiser, filesToSend, objectToSend, type ObjectToSend } from './send/objects.ts';
import {
  echo,
  sendByDimse,
  sendByStow,
  studiesOf,
  tellByFhir,
  tellByHl7,
  tellByRest,
  type Sent,
  type StudyToTell,
} from './send/roads.ts';

const roads = ['stow', 'dimse', 'rest', 'hl7', 'fhir'] as const;
type Road = (typeof roads)[number];

type Row = Sent & { readonly what: string; readonly studyUid?: string };

const options = {
  to: { type: 'string' },
  url: { type: 'string' },
  host: { type: 'string' },
  port: { type: 'string' },
  aet: { type: 'string' },
  call: { type: 'string' },
  secret: { type: 'string' },
  'secret-file': { type: 'string' },
  basic: { type: 'string' },
  focus: { type: 'string' },
  priority: { type: 'string' },
  mrn: { type: 'string' },
  accession: { type: 'string' },
  fresh: { type: 'boolean' },
  save: { type: 'string' },
  json: { type: 'boolean' },
} as const;
type Values = ReturnType<typeof readArgs<typeof options>>['values'];

export const command: Command = {
  name: 'send',
  summary: 'send DICOM files, or the news of them, by any road: STOW-RS, C-STORE, REST, HL7, FHIR',
  usage: `
Usage: wetread send <file or folder>… [--to stow|dimse|rest|hl7|fhir] [options]
       wetread send --to dimse            (without files: C-ECHO)

Objects, to Wetread or to anything else that takes them:
  --to stow      STOW-RS to --url (http://127.0.0.1:8080/dicom-web-in), --secret S or --basic name:password
  --to dimse     C-STORE to --host (127.0.0.1) --port (11112), as --aet (SENDER), calling --call (WETREAD)
Only the news of their studies; Wetread fetches the pictures from its archive:
  --to rest      POST to --url (http://127.0.0.1:8080) with --secret; --priority stat|waiting|routine|backfill
  --to hl7       ORU^R01 over MLLP to --host (127.0.0.1) --port (2575); --priority stat
  --to fhir      a Subscription's notification to --url with --secret; --focus ImagingStudy/…, or else nothing but
                 "something happened": Wetread asks its chart either way

  --secret-file F  the secret as this file says it: better than --secret, which everybody on the machine sees while it runs
                   (from the environment: printenv PACS_SECRET | wetread send … --secret-file /dev/stdin)
  --mrn N        as this patient's (Patient ID), under fresh UIDs; the files stay as they are
  --accession A  with this accession number, under fresh UIDs
  --fresh        under fresh UIDs, so that the same film can arrive again
  --save FOLDER  keep the changed copies there, to send them or their news by another road
  --json         a list with one entry for each file or study

Secrets that are not given are taken from the settings, or from the data folder of a service on this machine.

Examples, against "npm start" (other windows; for --to hl7 start it by WETREAD_HL7_PORT=2575 npm start):
  npm run wetread -- send sandbox/films/l4-l5-grade-1.dcm --mrn 40021877
  npm run wetread -- send sandbox/films --mrn 40021877 --to dimse
  npm run wetread -- send --to dimse
  npm run wetread -- send sandbox/films/normal.dcm --mrn 40021877 --url http://127.0.0.1:8090/dicom-web --save copies
  npm run wetread -- send copies --to rest
  npm run wetread -- send copies --to hl7 --priority stat
  npm run wetread -- send --to fhir

Exits 1 when anything was refused.`,
  async run(args, io) {
    const { values, positionals } = readArgs(args, options, true);
    const road = roadOf(values.to);
    const config = readConfig(io.env);
    if (positionals.length === 0) {
      if (road === 'dimse') return told(io, values, [await tryEcho(values, config)]);
      if (road !== 'fhir') throw new UsageError('name at least one file or folder');
    }
    const objects: ObjectToSend[] = [];
    const rows: Row[] = [];
    const disguised = disguiser({
      ...(values.mrn === undefined ? {} : { recordNumber: values.mrn }),
      ...(values.accession === undefined ? {} : { accession: values.accession }),
      fresh: values.fresh ?? false,
    });
    if (values.mrn !== undefined || values.accession !== undefined || values.fresh === true) demandObjects(road);
    for (const file of await filesToSend(positionals)) {
      try {
        const object = await objectToSend(file, disguised);
        if (values.save !== undefined) await saveCopy(object, values.save);
        objects.push(object);
      } catch (thrown) {
        const { message, code } = asWetreadError(thrown);
        rows.push({ what: file.shown, ok: false, says: `${message} (${code})` });
      }
    }
    rows.push(...(await sendAll(road, objects, values, config, io)));
    if (rows.length === 0) throw new UsageError('there is no DICOM file among these');
    return told(io, values, rows);
  },
};

async function saveCopy(object: ObjectToSend, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, `${object.sopUid}.dcm`), await object.whole());
}

const whereHl7 = '(is --port right, and WETREAD_HL7_PORT set where the service runs?)';

function roadOf(given = 'stow'): Road {
  const road = roads.find((one) => one === given);
  if (road === undefined) throw new UsageError(`--to is one of ${roads.join(', ')}`);
  return road;
}

function demandObjects(road: Road): void {
  if (road !== 'stow' && road !== 'dimse')
    throw new UsageError('--mrn, --accession and --fresh change objects; the news of a study changes nothing');
}

async function sendAll(
  road: Road,
  objects: readonly ObjectToSend[],
  values: Values,
  config: Config,
  io: Io,
): Promise<Row[]> {
  const rows: Row[] = [];
  const bar = progressBar(io, objects.length);
  const onSent = (object: ObjectToSend, sent: Sent) => {
    rows.push({ what: object.shown, studyUid: object.studyUid, ...sent });
    bar.show(rows.length, object.shown);
  };
  const onTold = ({ studyUid, objects: count }: StudyToTell, sent: Sent) =>
    rows.push({ what: `study ${studyUid} (${count} ${count === 1 ? 'file' : 'files'})`, studyUid, ...sent });
  const url = (values.url ?? `http://127.0.0.1:${config.WETREAD_PORT}`).replace(/\/+$/, '');
  try {
    switch (road) {
      case 'stow': {
        const authorization = await stowAuthorization(values, config);
        const target = { url: values.url === undefined ? `${url}/dicom-web-in` : url };
        await sendByStow(objects, { ...target, ...(authorization && { authorization }) }, onSent);
        break;
      }
      case 'dimse':
        await sendByDimse(objects, dimseTarget(values, config), onSent);
        break;
      case 'rest': {
        const secret = await secretOf(values, config.WETREAD_EVENT_SECRET, config, 'events', url);
        for (const study of studiesOf(objects))
          onTold(study, await tellByRest(study, { url, secret, priority: values.priority ?? 'routine' }));
        break;
      }
      case 'hl7': {
        const target = { host: values.host ?? '127.0.0.1', port: portOf(values.port, config.WETREAD_HL7_PORT ?? 2575) };
        await tellByHl7(studiesOf(objects), { ...target, stat: values.priority === 'stat' }, onTold).catch(
          (thrown: unknown) =>
            rows.push({
              what: `${target.host}:${target.port}`,
              ok: false,
              says: `no answer: ${inWords(thrown)} ${whereHl7}`,
            }),
        );
        break;
      }
      case 'fhir': {
        const secret = await secretOf(values, undefined, config, 'subscription', url);
        const sent = await tellByFhir({ url, secret, ...(values.focus === undefined ? {} : { focus: values.focus }) });
        rows.push({ what: values.focus ?? 'something happened', ...sent });
      }
    }
  } finally {
    bar.clear();
  }
  return rows;
}

async function tryEcho(values: Values, config: Config): Promise<Row> {
  const target = dimseTarget(values, config);
  const what = `C-ECHO ${target.calledAe} at ${target.host}:${target.port}`;
  return { what, ...(await echo(target)) };
}

const inWords = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown));

function dimseTarget(values: Values, config: Config) {
  for (const title of [values.aet, values.call])
    if (title !== undefined && !/^[^\\\s]{1,16}$/.test(title)) throw new UsageError(`"${title}" is no AE title`);
  return {
    host: values.host ?? '127.0.0.1',
    port: portOf(values.port, config.WETREAD_DIMSE_PORT ?? 11_112),
    callingAe: values.aet ?? 'SENDER',
    calledAe: values.call ?? config.WETREAD_DIMSE_AET,
  };
}

function portOf(given: string | undefined, usual: number): number {
  const port = given === undefined ? usual : Number(given);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new UsageError('--port takes a number up to 65535');
  return port;
}

/** What a process was called with is for everybody to see (`ps`); a file has its reader's rights. */
async function givenSecret({ secret, 'secret-file': path }: Values): Promise<string | undefined> {
  if (path === undefined) return secret;
  if (secret !== undefined) throw new UsageError('give --secret or --secret-file, not both');
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) throw new UsageError(`${path} cannot be read`);
  if (text.trim() === '') throw new UsageError(`${path} is empty`);
  return text.trim();
}

async function stowAuthorization(values: Values, config: Config): Promise<string | undefined> {
  const given = await givenSecret(values);
  if (given !== undefined) return `Bearer ${given}`;
  const basic = values.basic ?? (values.url === undefined ? config.WETREAD_STOW_BASIC : undefined);
  if (basic !== undefined) return `Basic ${Buffer.from(basic, 'utf8').toString('base64')}`;
  // Our own secrets are for our own address: another one gets none.
  if (values.url !== undefined) return undefined;
  const secret = config.WETREAD_STOW_SECRET ?? (await keptSecretOf(config, 'stow'));
  return secret === undefined ? undefined : `Bearer ${secret}`;
}

async function secretOf(
  values: Values,
  setting: string | undefined,
  config: Config,
  name: string,
  url: string,
): Promise<string> {
  // Our own secrets are for our own address: another one gets none.
  const own = values.url === undefined || [config.publicUrl, `http://127.0.0.1:${config.WETREAD_PORT}`].includes(url);
  const given = await givenSecret(values);
  const secret = given ?? (own ? (setting ?? (await keptSecretOf(config, name))) : undefined);
  if (!own && secret === undefined)
    throw new UsageError('set --secret-file: the own secrets go to the own address only');
  if (secret === undefined) throw new UsageError('set --secret-file: no service on this machine has left one');
  return secret;
}

/** What a service or a demo on this machine made for itself. */
async function keptSecretOf({ WETREAD_DATA_DIR: folder }: Config, name: string): Promise<string | undefined> {
  for (const home of [folder, join(folder, 'demo')]) {
    const secret = await readFile(join(home, 'secrets', name), 'utf8').catch(() => undefined);
    if (secret !== undefined) return secret.trim();
  }
  return undefined;
}

function told(io: Io, values: Values, rows: readonly Row[]): number {
  const refused = rows.filter(({ ok }) => !ok);
  if (values.json) io.stdout.write(`${JSON.stringify(rows)}\n`);
  else {
    io.stdout.write(rows.map(({ ok, what, says }) => `${ok ? 'ok    ' : 'FAILED'}  ${what}  ${says}\n`).join(''));
    io.stdout.write(
      `\n${rows.length - refused.length} of ${rows.length} ${refused.length === 0 ? 'went well.' : 'went well; see above.'}\n`,
    );
  }
  return refused.length === 0 ? 0 : 1;
}
