/** Cards that were served and what clinicians made of them. */
import { findingId, type FindingId, type PatientId } from '../domain/ids.ts';
import type { CardFeedback, FeedbackStore } from '../domain/ports.ts';
import type { Database } from './database.ts';
import { groupCommit, withoutWaitingForTheDisk } from './group-commit.ts';
import type { PatientCache } from './patient-cache.ts';

type ServedCard = Parameters<FeedbackStore['cardServed']>[0];

export function feedbackStore({ database, cache }: { database: Database; cache: PatientCache }): FeedbackStore {
  const writeCards = groupCommit<ServedCard>(async (cards) => {
    await database.query(
      `insert into wetread.card (uuid, service, patient_id, findings)
       select uuid, service, patient_id, array(select jsonb_array_elements_text(findings)::uuid)
       from ${withoutWaitingForTheDisk}, jsonb_to_recordset($1) as x (uuid text, service text, patient_id text, findings jsonb)
       on conflict (uuid) do nothing`,
      [JSON.stringify(cards.map(({ patientId, ...card }) => ({ ...card, patient_id: patientId })))],
    );
  });

  return {
    cardServed: writeCards,

    async record(feedback) {
      const patient = await database.transaction(async (sql) => {
        const [card] = await sql.query<{ patient_id: string }>(
          'select patient_id from wetread.card where uuid = $1 and service = $2',
          [feedback.card, feedback.service],
        );
        if (card === undefined) return undefined;
        await sql.query(
          `insert into wetread.feedback
             (card_uuid, outcome, outcome_at, accepted_suggestions, override_code, override_comment)
           values ($1, $2, $3, $4, $5, $6) on conflict do nothing`,
          feedbackValues(feedback),
        );
        if (feedback.outcome === 'overridden') {
          await sql.query(
            `insert into wetread.dismissal (patient_id, service, finding_id)
             select patient_id, service, unnest(findings) from wetread.card where uuid = $1 on conflict do nothing`,
            [feedback.card],
          );
        }
        return card.patient_id;
      });
      if (patient !== undefined) cache.forget(patient);
      return patient !== undefined;
    },

    dismissed(patient: PatientId, service: string): Promise<ReadonlySet<FindingId>> {
      return cache.get(patient, `dismissed by ${service}`, async () => {
        const rows = await database.query<{ finding_id: string }>(
          'select finding_id from wetread.dismissal where patient_id = $1 and service = $2',
          [patient, service],
        );
        return new Set(rows.map((row) => findingId(row.finding_id)));
      });
    },
  };
}

const feedbackValues = (feedback: CardFeedback): unknown[] => [
  feedback.card,
  feedback.outcome,
  feedback.at,
  feedback.acceptedSuggestions,
  feedback.overrideReason?.code ?? null,
  feedback.overrideReason?.comment ?? null,
];
