/** The viewer's API: what one session may see and decide, which is one patient's studies and nothing else. */
import express, { Router, type Request, type RequestHandler } from 'express';
import type { z } from 'zod';
import { WetreadError } from '../domain/errors.ts';
import { isSuspicion, type Finding, type Reading } from '../domain/finding.ts';
import { isUuid, findingId, readingId } from '../domain/ids.ts';
import type { Logger } from '../domain/log.ts';
import type { AuditTrail, PackSummary, ReadingStore, StrangerRefusals, StudyRegister } from '../domain/ports.ts';
import { cautionInWords, whatChanged } from '../domain/prior-in-words.ts';
import { comparisonOf } from '../domain/prior.ts';
import { whyReadAgain } from '../domain/read-again.ts';
import type { StudyRecord } from '../domain/study.ts';
import {
  sessionRequest,
  verdictRequest,
  type PackView,
  type PriorView,
  type ReadingView,
  type SessionAnswer,
  type StudyView,
} from './contract.ts';
import { firstTimes } from './first-time.ts';
import { bearerOf, requireSession, sessionOf, type LiveSession, type SessionGate } from './session-gate.ts';
import { studyInWords } from './study-in-words.ts';

export type ViewerOptions = {
  readonly readings: Pick<ReadingStore, 'get' | 'findingById' | 'forPatient' | 'recordVerdict' | 'verify'>;
  readonly studies: Pick<StudyRegister, 'forPatient'>;
  readonly packs: readonly PackSummary[];
  readonly sessions: SessionGate;
  readonly audit: AuditTrail;
  readonly strangers: StrangerRefusals;
  readonly logger: Logger;
};

export function viewerRouter({ readings, studies, packs, sessions, audit, strangers, logger }: ViewerOptions): Router {
  const router = Router();
  const firstView = firstTimes();

  router.use(neverStored);
  // A verdict is a few hundred bytes; nothing larger has business here.
  router.use(express.json({ limit: '16kb' }));

  router
    .route('/session')
    .post(async (request, response) => {
      const { code } = parsed(sessionRequest, request);
      const opened = await sessions.redeem(code);
      if (opened === undefined) {
        await strangers.refused(request.socket.remoteAddress, 'smart.launch-expired');
        throw new WetreadError('smart.launch-expired');
      }
      const { session, token, banner } = opened;
      response.status(201).json({
        token,
        expiresAt: session.expiresAt,
        patient: { id: session.patientId, ...banner },
        user: session.reviewer,
        ...(session.opens ? { opens: session.opens } : {}),
      } satisfies SessionAnswer);
    })
    .delete(async (request, response) => {
      const token = bearerOf(request);
      if (token !== undefined) await sessions.end(token);
      response.status(204).end();
    })
    .all(onlyMethods('POST, DELETE'));

  router.use(requireSession(sessions, strangers));

  const chartOf = async ({ patientId }: LiveSession): Promise<Chart> => {
    const [records, all] = await Promise.all([studies.forPatient(patientId), readings.forPatient(patientId)]);
    return { studies: records, readings: all };
  };

  /** Another patient's reading and one that does not exist answer alike: nobody learns by asking what exists. */
  const refuse = async (session: LiveSession, subject: string): Promise<never> => {
    await audit.record({
      action: 'refused',
      actor: session.reviewer.reference,
      patientId: session.patientId,
      subject,
      code: 'request.not-found',
    });
    throw new WetreadError('request.not-found');
  };

  const readingInScope = async (session: LiveSession, id: string): Promise<Reading> => {
    const reading = isUuid(id) ? await readings.get(readingId(id)) : undefined;
    return reading?.patientId === session.patientId ? reading : refuse(session, `reading/${safeId(id)}`);
  };

  const viewed = async (session: LiveSession, reading: Reading): Promise<void> => {
    if (!firstView(`${session.key} ${reading.id}`)) return;
    await audit.record({
      action: 'reading-viewed',
      actor: session.reviewer.reference,
      patientId: session.patientId,
      subject: `reading/${reading.id}`,
    });
  };

  router
    .route('/studies')
    .get(async (_request, response) => {
      const session = sessionOf(response);
      const chart = await chartOf(session);
      await Promise.all(chart.readings.map((reading) => viewed(session, reading)));
      response.json({ studies: chart.studies.map((record) => studyView(record, chart)) });
    })
    .all(onlyMethods('GET'));

  router
    .route('/readings/:id')
    .get(async (request, response) => {
      const session = sessionOf(response);
      const reading = await readingInScope(session, request.params.id);
      await viewed(session, reading);
      response.json(readingView(reading, await chartOf(session)));
    })
    .all(onlyMethods('GET'));

  router
    .route('/readings/:id/verify')
    .post(async (request, response) => {
      const session = sessionOf(response);
      const reading = await readingInScope(session, request.params.id);
      // Agreeing to a whole reading must not silently confirm a suspicion nobody looked at.
      const open = reading.findings.some((finding) => isSuspicion(finding) && finding.verdict.kind === 'unreviewed');
      if (open) throw new WetreadError('request.conflict', 'a suspected finding has no verdict yet');
      const verified = await readings.verify(reading.id, session.reviewer);
      await verdictGiven(session, `reading/${reading.id}`);
      response.json(readingView(verified, await chartOf(session)));
    })
    .all(onlyMethods('POST'));

  const verdictGiven = async (session: LiveSession, subject: string): Promise<void> => {
    await audit.record({
      action: 'verdict',
      actor: session.reviewer.reference,
      patientId: session.patientId,
      subject,
    });
    logger.info('verdict given', { subject });
  };

  router
    .route('/findings/:id/verdict')
    .post(async (request, response) => {
      const session = sessionOf(response);
      const { id } = request.params;
      const found = isUuid(id) ? await readings.findingById(findingId(id)) : undefined;
      if (found?.reading.patientId !== session.patientId) return refuse(session, `finding/${safeId(id)}`);
      const verdict = parsed(verdictRequest, request);
      const reading = await readings.recordVerdict(found.finding.id, verdict, session.reviewer);
      await verdictGiven(session, `finding/${found.finding.id}`);
      response.json(readingView(reading, await chartOf(session)));
    })
    .all(onlyMethods('POST'));

  router
    .route('/packs/:name')
    .get((request, response) => {
      const pack = packs.find(({ name }) => name === request.params.name);
      if (pack === undefined) throw new WetreadError('request.not-found');
      response.json(packView(pack));
    })
    .all(onlyMethods('GET'));

  return router;
}

/** Results of one patient stay out of every cache, the browser's own included: ward computers are shared. */
const neverStored: RequestHandler = (_request, response, next) => {
  response.setHeader('Cache-Control', 'private, no-store');
  response.setHeader('X-Content-Type-Options', 'nosniff');
  next();
};

const onlyMethods =
  (allowed: string): RequestHandler =>
  (_request, response) => {
    response.setHeader('Allow', allowed);
    throw new WetreadError('request.method-not-allowed');
  };

/** What a caller sent as an id may be anything; the audit keeps only what has the form of one. */
const safeId = (id: string): string => (isUuid(id) ? id : 'malformed');

function parsed<Schema extends z.ZodType>(schema: Schema, request: Request): z.output<Schema> {
  const result = schema.safeParse(request.body);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new WetreadError('request.malformed', `${issue?.path.join('.') || 'body'}: ${issue?.message ?? 'not valid'}`);
}

/** Everything of one patient: a finding is compared with earlier films. */
type Chart = { readonly studies: readonly StudyRecord[]; readonly readings: readonly Reading[] };

function studyView(record: StudyRecord, chart: Chart): StudyView {
  return {
    studyUid: record.studyUid,
    ...(record.description === undefined ? {} : { description: record.description }),
    modalities: record.modalities,
    ...(record.startedAt === undefined ? {} : { startedAt: record.startedAt }),
    ...studyInWords(record.state),
    readings: chart.readings
      .filter(({ studyUid }) => studyUid === record.studyUid)
      .map((reading) => readingView(reading, chart)),
  };
}

function readingView(reading: Reading, chart: Chart): ReadingView {
  const { id, studyUid, pack, readAt, findings, review } = reading;
  const update = whyReadAgain(reading);
  return {
    id,
    studyUid,
    pack: { name: pack.name, version: pack.version, title: pack.title },
    readAt,
    ...(update === undefined ? {} : { update }),
    findings: findings.map((finding) => {
      const prior = priorView(finding, reading, chart);
      return prior === undefined ? finding : { ...finding, prior };
    }),
    review,
  };
}

function priorView(finding: Finding, reading: Reading, chart: Chart): PriorView | undefined {
  const comparison = comparisonOf(finding, reading, chart);
  if (comparison === undefined) return undefined;
  const { change, cautions, prior } = comparison;
  return {
    change,
    says: whatChanged(comparison),
    cautions: cautions.map(cautionInWords),
    finding: prior.finding,
    studyUid: prior.study,
    takenAt: prior.takenAt,
    ...(prior.verdict.kind === 'confirmed' ? { confirmed: { by: prior.verdict.by, at: prior.verdict.at } } : {}),
    reviewed: prior.reviewed,
  };
}

const packView = (pack: PackSummary): PackView => ({
  name: pack.name,
  version: pack.version,
  title: pack.title,
  sha256: pack.sha256,
  intendedUse: pack.intendedUse,
  trainedOn: pack.trainedOn,
  limitations: pack.limitations,
  licence: pack.licence,
  demonstration: pack.demonstration,
});
