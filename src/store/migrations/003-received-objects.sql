-- What was sent to Wetread (STOW-RS, C-STORE). The files lie in the inbox's folder; a file without a row here is nothing.

create table wetread.received_study (
  study_uid text primary key,
  -- Study-level attributes of the first object, as DICOM JSON. No names.
  header jsonb not null,
  accession text,
  patient_id text,
  -- Eight digits without a zone, as DICOM has it.
  study_date text,
  -- The road of the newest object.
  road text not null check (road in ('stow', 'dimse')),
  first_received_at timestamptz not null default now(),
  last_received_at timestamptz not null default now(),
  instances integer not null default 0,
  bytes bigint not null default 0,
  -- How many objects the last announcement spoke of.
  announced_instances integer not null default 0,
  -- A process is announcing it and has until then.
  claimed_until timestamptz
);
create index received_study_unannounced on wetread.received_study (last_received_at)
  where instances <> announced_instances;
create index received_study_accession on wetread.received_study (accession) where accession is not null;

create table wetread.received_instance (
  sop_uid text primary key,
  study_uid text not null references wetread.received_study on delete cascade,
  series_uid text not null,
  sop_class_uid text not null,
  transfer_syntax_uid text not null,
  bytes bigint not null,
  -- Of the dataset without file meta information.
  sha256 text not null,
  file text not null unique,
  header jsonb not null,
  instance_number integer,
  received_at timestamptz not null default now(),
  road text not null,
  sender text not null
);
create index received_instance_of_study on wetread.received_instance (study_uid, series_uid);
