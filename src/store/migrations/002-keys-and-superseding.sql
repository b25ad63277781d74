-- One living job for each study; readings that take the place of earlier ones; findings that stay the same in both.

alter table wetread.study
  -- Objects in the study as the archive counted them when it was last looked at; what announcements are compared with.
  add column instance_count integer,
  -- Objects as the last announcement that named a number counted them; more than the archive has means: look again later.
  add column told_count integer,
  add column short_looks smallint not null default 0,
  -- What was asked for since the running job began: 0 nothing, 1 to look whether it has become more, 2 to read.
  add column wish smallint not null default 0,
  -- Packs that are to read again what another version of them has read ('*' all): asked for since, and by the running job.
  add column wish_packs text[] not null default '{}',
  add column doing_packs text[] not null default '{}';

alter table wetread.reading
  -- SOP instances that were read.
  add column pictures integer,
  -- The report this reading is written in: the one of an earlier reading while that is not reviewed.
  add column report_id uuid,
  add column replaces uuid references wetread.reading deferrable initially deferred,
  add column superseded_by uuid references wetread.reading deferrable initially deferred,
  add column superseded_at timestamptz,
  add check ((superseded_by is null) = (superseded_at is null)),
  add check (superseded_by <> reading_id and replaces <> reading_id);
update wetread.reading set report_id = reading_id;
alter table wetread.reading alter column report_id set not null;

-- Until now the newest reading of each model was shown beside the earlier ones.
with ranked as (
  select reading_id, first_value(reading_id) over newest_first as newest, lead(reading_id) over newest_first as earlier
  from wetread.reading
  window newest_first as (partition by study_uid, pack ->> 'name' order by read_at desc, reading_id)
)
update wetread.reading r set
  superseded_by = case when ranked.newest <> r.reading_id then ranked.newest end,
  superseded_at = case when ranked.newest <> r.reading_id then now() end,
  replaces = ranked.earlier
from ranked where ranked.reading_id = r.reading_id;
-- The deferred checks of that update would stand in the way of the index.
set constraints all immediate;
create unique index reading_that_stands on wetread.reading (study_uid, (pack ->> 'name')) where superseded_by is null;

-- The same finding on the same picture keeps its id from one reading to the next, and its verdict with it.
alter table wetread.finding drop constraint finding_pkey;
alter table wetread.finding drop constraint finding_reading_id_position_key;
alter table wetread.finding add primary key (reading_id, position);
create index finding_by_id on wetread.finding (finding_id);

-- As the order said; a number as in wetread.study.
alter table wetread.imaging_order add column priority smallint;
create index imaging_order_of_accession on wetread.imaging_order (accession) where accession is not null;

-- For pruning by age.
create index card_by_age on wetread.card (served_at);
create index audit_by_age on wetread.audit (at);
create index imaging_order_by_age on wetread.imaging_order (seen_at);

-- The audit trail is only ever added to, but for one deliberate way: its owner's retention, which says so in its own
-- transaction, deletes whole rows, and nothing younger than a year.
create or replace function wetread.refuse_change() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' and current_setting('wetread.retention', true) = 'on' then
    if old.at < now() - interval '365 days' then return old; end if;
  end if;
  raise exception 'the audit trail is only ever added to' using errcode = 'insufficient_privilege';
end $$;

-- Jobs had a key for each study and reason; now they have one for each study.
do $$ begin
  if to_regclass('wetread_jobs.job') is not null then
    delete from wetread_jobs.job again where name = 'read-study' and state < 'completed' and singleton_key like '%/re-read'
      and exists (select from wetread_jobs.job first where first.name = 'read-study' and first.state < 'completed'
        and first.singleton_key = split_part(again.singleton_key, '/', 1) || '/study-arrived');
    update wetread_jobs.job set singleton_key = split_part(singleton_key, '/', 1)
      where name = 'read-study' and state < 'completed';
  end if;
end $$;
