/** POST /events/study: any system that holds the secret may say that a study is there. */
import express, { Router } from 'express';
import { z } from 'zod';
import { WetreadError } from '../domain/errors.ts';
import type { StudyEvent } from '../domain/event.ts';
import { isFhirId, isUid, patientId, studyUid } from '../domain/ids.ts';
import type { Logger } from '../domain/log.ts';
import type { StudyRegister } from '../domain/ports.ts';
import { bearerOnly } from './bearer.ts';

export type RestSourceOptions = {
  readonly secret: string;
  readonly announce: StudyRegister['announce'];
  readonly logger: Logger;
};

const body = z.strictObject({
  studyUid: z.string().refine(isUid, 'is not a DICOM UID'),
  patientId: z.string().refine(isFhirId, 'is not a FHIR id').optional(),
  accession: z.string().min(1).max(64).optional(),
  reason: z.enum(['study-arrived', 're-read']).default('study-arrived'),
  priority: z.enum(['stat', 'waiting', 'routine', 'backfill']).default('routine'),
  /** Objects in the study as the sender counts them now. Without it the archive is asked whether a known study has grown. */
  instanceCount: z.int().min(0).max(10_000_000).optional(),
});

/** 202 with what became of it: `queued`, or `known` when there is nothing to read that was not announced before. */
export function restSource({ secret, announce, logger }: RestSourceOptions): { readonly router: Router } {
  const router = Router();
  router.post('/events/study', bearerOnly(secret), express.json({ limit: '10kb' }), (request, response, next) => {
    void answer(request.body).then((state) => response.status(202).json({ state }), next);
  });

  async function answer(given: unknown): Promise<'queued' | 'known'> {
    const parsed = body.safeParse(given);
    if (!parsed.success) {
      const issue = parsed.error.issues[0]!;
      throw new WetreadError('request.malformed', `${issue.path.join('.') || 'body'}: ${issue.message}`);
    }
    const { studyUid: uid, patientId: patient, accession, reason, priority, instanceCount } = parsed.data;
    const event: StudyEvent = {
      source: 'rest',
      studyUid: studyUid(uid),
      reason,
      priority,
      ...(patient === undefined ? {} : { patientId: patientId(patient) }),
      ...(accession === undefined ? {} : { accession }),
      ...(instanceCount === undefined ? {} : { instanceCount }),
    };
    const state = await announce(event);
    logger.info('study announced', { source: event.source, studyUid: uid, reason, state });
    return state;
  }

  return { router };
}
