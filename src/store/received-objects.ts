/** The index of received objects: one row each, and one for each study with what is still to be announced of it. */
import { WetreadError } from '../domain/errors.ts';
import { seriesUid, sopUid, studyUid, type StudyUid } from '../domain/ids.ts';
import type {
  HeaderElements,
  QuietStudy,
  ReceivedObject,
  ReceivedObjects,
  ReceivedStudy,
  Sender,
} from '../domain/inbox.ts';
import type { Database, Sql } from './database.ts';

type InstanceRow = {
  sop_uid: string;
  study_uid: string;
  series_uid: string;
  sop_class_uid: string;
  transfer_syntax_uid: string;
  // int8 comes as text: it may be larger than a number holds exactly.
  bytes: string;
  sha256: string;
  file: string;
  header: HeaderElements;
  road: Sender['road'];
  sender: string;
};

const instanceColumns = `sop_uid, study_uid, series_uid, sop_class_uid, transfer_syntax_uid, bytes, sha256, file, header, road, sender`;

export function receivedObjects(database: Database): ReceivedObjects {
  return {
    add: (object, limits) => database.transaction((sql) => add(sql, object, limits.maxStudyBytes)),

    async stillComing(studies) {
      await database.query(
        `update wetread.received_study set last_received_at = now()
         where study_uid = any($1) and instances <> announced_instances`,
        [studies],
      );
    },

    async takeQuiet(quietSeconds) {
      const rows = await database.query<{
        study_uid: string;
        accession: string | null;
        road: Sender['road'];
        instances: number;
      }>(
        `update wetread.received_study set claimed_until = now() + interval '1 minute'
         where study_uid in (
           select study_uid from wetread.received_study
           where instances <> announced_instances and last_received_at <= now() - make_interval(secs => $1)
             and (claimed_until is null or claimed_until < now())
           order by last_received_at limit 100 for update skip locked)
         returning study_uid, accession, road, instances`,
        [quietSeconds],
      );
      return rows.map(({ study_uid, accession, road, instances }): QuietStudy => ({
        studyUid: studyUid(study_uid),
        ...(accession === null ? {} : { accession }),
        road,
        instances,
      }));
    },

    async announced(study, instances) {
      await database.query(
        `update wetread.received_study set announced_instances = $2, claimed_until = null where study_uid = $1`,
        [study, instances],
      );
    },

    async notAnnounced(study) {
      await database.query('update wetread.received_study set claimed_until = null where study_uid = $1', [study]);
    },

    async holds(study) {
      const rows = await database.query('select from wetread.received_study where study_uid = $1', [study]);
      return rows.length > 0;
    },

    async findStudies(query) {
      const { limit = 1000, offset = 0 } = query;
      const rows = await database.query<{
        study_uid: string;
        header: HeaderElements;
        modalities: string[];
        series: number;
        instances: number;
      }>(
        `select s.study_uid, s.header, m.modalities, m.series, m.instances
         from wetread.received_study s, lateral (
           select coalesce(array_agg(distinct i.header #>> '{00080060,Value,0}')
                    filter (where i.header #>> '{00080060,Value,0}' is not null), '{}') as modalities,
             count(distinct i.series_uid)::int as series, count(*)::int as instances
           from wetread.received_instance i where i.study_uid = s.study_uid) m
         where ($1::text is null or s.study_uid = $1) and ($2::text is null or s.accession = $2)
           and ($3::text is null or s.patient_id = $3) and ($4::text is null or $4 = any(m.modalities))
           and ($5::text is null or s.study_date >= $5) and ($6::text is null or s.study_date <= $6)
         order by s.first_received_at, s.study_uid limit $7 offset $8`,
        [
          query.studyUid ?? null,
          query.accession ?? null,
          query.patientId ?? null,
          query.modality ?? null,
          query.from ?? null,
          query.to ?? null,
          limit,
          offset,
        ],
      );
      return rows.map((row): ReceivedStudy => ({
        studyUid: studyUid(row.study_uid),
        header: row.header,
        modalities: row.modalities,
        series: row.series,
        instances: row.instances,
      }));
    },

    async find({ study, series, sop }) {
      const rows = await database.query<InstanceRow>(
        `select ${instanceColumns} from wetread.received_instance
         where study_uid = $1 and ($2::text is null or series_uid = $2) and ($3::text is null or sop_uid = $3)
         order by series_uid, instance_number nulls last, sop_uid`,
        [study, series ?? null, sop ?? null],
      );
      return rows.map(receivedObject);
    },

    async known(files) {
      const rows = await database.query<{ file: string }>(
        'select file from wetread.received_instance where file = any($1)',
        [files],
      );
      return new Set(rows.map(({ file }) => file));
    },

    async forgetSettled(before, most) {
      const rows = await database.query<{ study_uid: string; files: string[] }>(
        `with gone as (
           select r.study_uid, (select array_agg(file) from wetread.received_instance i where i.study_uid = r.study_uid) as files
           from wetread.received_study r join wetread.study s using (study_uid)
           where s.state = 'settled' and s.settled_at < $1 and r.last_received_at < $1
             and r.instances = r.announced_instances
           order by r.last_received_at limit $2 for update of r skip locked)
         delete from wetread.received_study r using gone where r.study_uid = gone.study_uid
         returning r.study_uid, coalesce(gone.files, '{}') as files`,
        [before, most],
      );
      return rows.map(({ study_uid, files }) => ({ studyUid: studyUid(study_uid), files }));
    },
  };
}

async function add(sql: Sql, object: ReceivedObject, maxStudyBytes: number): Promise<ReceivedObject | undefined> {
  // The row of the study is locked first, so that its count and its objects can never disagree.
  const [study] = await sql.query<{ bytes: string; patient_id: string | null }>(
    `insert into wetread.received_study as known (study_uid, header, accession, patient_id, study_date, road)
     values ($1, $2, $3, $4, $5, $6)
     on conflict (study_uid) do update set last_received_at = now(), road = excluded.road,
       accession = coalesce(known.accession, excluded.accession),
       patient_id = coalesce(known.patient_id, excluded.patient_id)
     returning bytes, patient_id`,
    [
      object.studyUid,
      JSON.stringify(studyLevel(object.header)),
      first(object.header, '00080050') ?? null,
      first(object.header, '00100020') ?? null,
      first(object.header, '00080020') ?? null,
      object.sender.road,
    ],
  );
  // A study is shown in the chart of one patient, with everything in it.
  const patient = first(object.header, '00100020');
  if (patient !== undefined && (study?.patient_id ?? patient) !== patient)
    throw new WetreadError('inbox.other-patient');
  const instanceNumber = Number(first(object.header, '00200013') ?? Number.NaN);
  const added = await sql.query(
    `insert into wetread.received_instance (${instanceColumns}, instance_number)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) on conflict (sop_uid) do nothing returning sop_uid`,
    [
      object.sopUid,
      object.studyUid,
      object.seriesUid,
      object.sopClassUid,
      object.transferSyntaxUid,
      object.bytes,
      object.sha256,
      object.file,
      JSON.stringify(object.header),
      object.sender.road,
      object.sender.name,
      Number.isInteger(instanceNumber) && Math.abs(instanceNumber) < 2 ** 31 ? instanceNumber : null,
    ],
  );
  if (added.length === 0) {
    const [before] = await sql.query<InstanceRow>(
      `select ${instanceColumns} from wetread.received_instance where sop_uid = $1`,
      [object.sopUid],
    );
    if (before === undefined) throw new WetreadError('internal.unexpected', 'an object vanished while it was received');
    // The object is filed under another study: this one has none of its own, and must not stay behind.
    if (before.study_uid !== object.studyUid)
      await sql.query('delete from wetread.received_study where study_uid = $1 and instances = 0', [object.studyUid]);
    return receivedObject(before);
  }
  if (Number(study?.bytes ?? 0) + object.bytes > maxStudyBytes) throw new WetreadError('inbox.study-too-large');
  await sql.query(
    'update wetread.received_study set instances = instances + 1, bytes = bytes + $2 where study_uid = $1',
    [object.studyUid, object.bytes],
  );
  return undefined;
}

const first = (header: HeaderElements, tag: string): string | undefined => {
  const value = header[tag]?.Value?.[0];
  return value === undefined || value === null ? undefined : String(value);
};

/** Attributes of the patient and the study; the others differ from object to object. */
const studyTags: ReadonlySet<string> = new Set(
  '00080005 00080020 00080030 00080050 00080090 00081030 00100020 00100021 00100040 0020000D 00200010'.split(' '),
);

const studyLevel = (header: HeaderElements): HeaderElements =>
  Object.fromEntries(Object.entries(header).filter(([tag]) => studyTags.has(tag)));

function receivedObject(row: InstanceRow): ReceivedObject {
  return {
    studyUid: studyUid(row.study_uid) satisfies StudyUid,
    seriesUid: seriesUid(row.series_uid),
    sopUid: sopUid(row.sop_uid),
    sopClassUid: row.sop_class_uid,
    transferSyntaxUid: row.transfer_syntax_uid,
    bytes: Number(row.bytes),
    sha256: row.sha256,
    file: row.file,
    header: row.header,
    sender: { road: row.road, name: row.sender },
  };
}
