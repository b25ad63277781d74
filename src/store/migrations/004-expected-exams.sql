-- Exams that ordering systems told of (HL7 v2, ServiceRequest, DiagnosticReport), kept until their studies are known.

create table wetread.expected_exam (
  exam_id bigint generated always as identity primary key,
  source text not null,
  -- Placer, filler and resource numbers, each with its issuer.
  numbers text[] not null,
  accession text,
  study_uids text[] not null,
  record_number text,
  patient_id text,
  order_reference text,
  region text not null,
  priority smallint not null,
  state text not null check (state in ('ordered', 'done', 'cancelled')),
  -- Raised by everything that is heard: who looked after an older state does not settle a newer one.
  revision integer not null default 1,
  looks integer not null default 0,
  -- When somebody must look after it; null when there is nothing to do.
  look_at timestamptz,
  first_heard_at timestamptz not null default now(),
  heard_at timestamptz not null default now()
);
-- Every announcement and every message looks here: entries must not wait in GIN's pending list, which is read from end to end.
create index expected_exam_numbers on wetread.expected_exam using gin (numbers) with (fastupdate = off);
create index expected_exam_studies on wetread.expected_exam using gin (study_uids) with (fastupdate = off);
create index expected_exam_accession on wetread.expected_exam (accession);
create index expected_exam_due on wetread.expected_exam (look_at) where look_at is not null;
create index expected_exam_age on wetread.expected_exam (heard_at);

-- Messages that were heard: senders repeat what was not acknowledged in time.
create table wetread.heard_message (
  digest bytea primary key,
  heard_at timestamptz not null default now()
);
create index heard_message_age on wetread.heard_message (heard_at);

create index study_of_accession on wetread.study (accession) where accession is not null;
