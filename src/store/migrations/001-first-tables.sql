-- The memory of Wetread. Jobs are pg-boss's own tables in the schema wetread_jobs.

create table wetread.study (
  study_uid text primary key,
  patient_id text,
  accession text,
  imaging_study text,
  order_reference text,
  description text,
  modalities text[] not null default '{}',
  -- As DICOM has it: a local time without a zone.
  started_at text,
  announced_at timestamptz not null default now(),
  settled_at timestamptz,
  priority smallint not null,
  state text not null default 'pending' check (state in ('pending', 'reading', 'settled', 'dead')),
  attempt integer not null default 0,
  -- How often a process ended in the middle of reading this study.
  interruptions integer not null default 0,
  outcome jsonb,
  check ((state in ('settled', 'dead')) = (outcome is not null))
);
create index study_of_patient on wetread.study (patient_id, started_at desc);
create index study_under_way on wetread.study (state) where state <> 'settled';

-- Whose reading it is follows from the study: a study that is moved to another chart takes its readings along.
create table wetread.reading (
  reading_id uuid primary key,
  study_uid text not null references wetread.study,
  pack jsonb not null,
  content_hash text not null,
  read_at timestamptz not null,
  execution_provider text not null,
  -- Raised by each change that outputs must tell; an output that wrote an older one writes again.
  revision integer not null default 1,
  final_by jsonb,
  final_at timestamptz,
  check ((final_by is null) = (final_at is null))
);
create index reading_of_study on wetread.reading (study_uid);
-- For recalling everything that one model version ever said.
create index reading_of_pack on wetread.reading ((pack ->> 'name'), (pack ->> 'version'));

create table wetread.finding (
  finding_id uuid primary key,
  reading_id uuid not null references wetread.reading,
  position smallint not null,
  concept text not null,
  result_kind text not null,
  payload jsonb not null,
  verdict text not null default 'unreviewed' check (verdict in ('unreviewed', 'confirmed', 'rejected')),
  verdict_by jsonb,
  verdict_at timestamptz,
  verdict_reason text,
  check ((verdict = 'unreviewed') = (verdict_by is null)),
  check ((verdict = 'rejected') = (verdict_reason is not null)),
  unique (reading_id, position)
);

-- The outbox: what outputs still have to write. Made in the transaction of the change, removed in that of the finished job.
create table wetread.owed_output (
  reading_id uuid not null references wetread.reading,
  output text not null,
  owed_since timestamptz not null default now(),
  -- Every retry is used up, or trying again cannot help.
  dead_code text,
  primary key (reading_id, output)
);

-- Which living process works on which job; the process holds an advisory lock on its number.
create sequence wetread.worker_number as integer cycle;
create table wetread.claim (
  job_id uuid primary key,
  queue text not null,
  worker integer not null
);

create table wetread.imaging_order (
  id bigint generated always as identity primary key,
  reference text unique,
  patient_id text not null,
  region text not null,
  accession text,
  seen_at timestamptz not null
);
create index imaging_order_of_patient on wetread.imaging_order (patient_id, seen_at desc);
-- A draft has no name in the chart yet: the latest one of a region stands for all its versions.
create unique index imaging_order_draft on wetread.imaging_order (patient_id, region) where reference is null;

create table wetread.card (
  uuid text primary key,
  service text not null,
  patient_id text not null,
  findings uuid[] not null,
  served_at timestamptz not null default now()
);

create table wetread.feedback (
  card_uuid text not null references wetread.card,
  outcome text not null check (outcome in ('accepted', 'overridden')),
  outcome_at timestamptz not null,
  accepted_suggestions text[] not null,
  override_code text,
  override_comment text,
  received_at timestamptz not null default now(),
  primary key (card_uuid, outcome, outcome_at)
);

create table wetread.dismissal (
  patient_id text not null,
  service text not null,
  finding_id uuid not null,
  primary key (patient_id, service, finding_id)
);

create table wetread.audit (
  id bigint generated always as identity primary key,
  at timestamptz not null default now(),
  action text not null,
  actor text not null,
  patient_id text,
  subject text,
  code text
);
create index audit_of_patient on wetread.audit (patient_id, at);

create function wetread.refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'the audit trail is only ever added to' using errcode = 'insufficient_privilege';
end $$;
create trigger audit_is_append_only before update or delete on wetread.audit
  for each row execute function wetread.refuse_change();
create trigger audit_is_never_emptied before truncate on wetread.audit
  for each statement execute function wetread.refuse_change();

create table wetread.cursor (
  name text primary key,
  value text not null,
  changed_at timestamptz not null default now()
);

create table wetread.app_session (
  token_hash text primary key,
  patient_id text not null,
  reviewer jsonb not null,
  opens jsonb,
  expires_at timestamptz not null
);
create index app_session_expiry on wetread.app_session (expires_at);

create table wetread.app_launch (
  state text primary key,
  remembered jsonb not null,
  expires_at timestamptz not null
);
create index app_launch_expiry on wetread.app_launch (expires_at);

-- Every process keeps what it read of a patient until it hears here that something changed.
create function wetread.tell_patient_changed() returns trigger language plpgsql as $$
begin
  if old.patient_id is not null then perform pg_notify('wetread_patient', old.patient_id); end if;
  if new.patient_id is not null and new.patient_id is distinct from old.patient_id then
    perform pg_notify('wetread_patient', new.patient_id);
  end if;
  return null;
end $$;
create trigger patient_changed after insert or update or delete on wetread.study
  for each row execute function wetread.tell_patient_changed();
create trigger patient_changed after insert or update or delete on wetread.imaging_order
  for each row execute function wetread.tell_patient_changed();
create trigger patient_changed after insert or update or delete on wetread.dismissal
  for each row execute function wetread.tell_patient_changed();

-- A verdict always raises the reading's revision, so findings need no trigger of their own.
create function wetread.tell_reading_changed() returns trigger language plpgsql as $$
begin
  perform pg_notify('wetread_patient', patient_id) from wetread.study
    where study_uid = coalesce(new.study_uid, old.study_uid) and patient_id is not null;
  return null;
end $$;
create trigger reading_changed after insert or update or delete on wetread.reading
  for each row execute function wetread.tell_reading_changed();
