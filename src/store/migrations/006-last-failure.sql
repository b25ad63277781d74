-- Why a study that waits for its next try was not read by the last one. The time of the next stands with its job.

alter table wetread.study
  add column failed_code text,
  add column failed_attempt integer,
  add column failed_at timestamptz;
