-- Workitems (DICOM UPS) that Wetread has claimed: the transaction UID is the only key with which they can be completed.

create table wetread.workitem_claim (
  workitem_uid text primary key,
  transaction_uid text not null,
  study_uids text[] not null,
  priority text not null,
  accession text,
  state text not null default 'claiming' check (state in ('claiming', 'held')),
  announced boolean not null default false,
  progress text,
  cancel_reason text,
  began_at timestamptz not null default now()
);
