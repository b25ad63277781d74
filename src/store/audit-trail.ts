/** Who saw and did what. Rows are only ever added: the database itself refuses to change them. */
import type { AuditEntry, AuditTrail } from '../domain/ports.ts';
import type { Database } from './database.ts';
import { groupCommit, withoutWaitingForTheDisk } from './group-commit.ts';

export function auditTrail(database: Database): AuditTrail {
  const write = groupCommit<AuditEntry & { readonly at: string }>(async (entries) => {
    await database.query(
      `insert into wetread.audit (at, action, actor, patient_id, subject, code)
       select at, action, actor, "patientId", subject, code
       from ${withoutWaitingForTheDisk}, jsonb_to_recordset($1) as x (at timestamptz, action text, actor text, "patientId" text, subject text, code text)`,
      [JSON.stringify(entries)],
    );
  });
  return { record: (entry) => write({ ...entry, at: new Date().toISOString() }) };
}
