/** What the EHR page asks of its server: charts, orders, films, cards, launches. All of it plain JSON, for tests too. */
import { formatHumanName, getStatus, OperationOutcomeError, type WithId } from '@medplum/core';
import type { Patient, Practitioner, ServiceRequest } from '@medplum/fhirtypes';
import express, { Router, type NextFunction, type Request, type Response } from 'express';
import { z } from 'zod';
import type { Logger } from '../../src/domain/log.ts';
import type { Client } from '../auth/clients.ts';
import type { LaunchContext } from '../auth/launches.ts';
import type { CdsClient, HookName } from '../cds-client/cds-client.ts';
import { fullAccess, type Charts } from '../fhir/repository.ts';
import { archiveFaults, fhirFaults, type Faults } from '../faults.ts';
import type { Setting } from './chart-contract.ts';
import { chartView, patientRows, staffList } from './chart-view.ts';
import { exams } from './exams.ts';
import type { FilmRoom } from './films.ts';
import { draftBundle, draftOf, newAccession, newOrderId, orderOf, signed, type OrderForm } from './orders.ts';
import type { Progress } from './progress.ts';
import type { EhrSessions } from './sessions.ts';

export type EhrApiOptions = {
  readonly charts: Charts;
  readonly sessions: EhrSessions;
  readonly filmRoom: FilmRoom;
  readonly progress: Progress;
  readonly cds: CdsClient;
  readonly app: Client & { readonly launchUrl: string };
  readonly offerLaunch: (context: LaunchContext) => string;
  readonly fhirUrl: string;
  /** Present when faults may be switched. */
  readonly faults?: Faults;
  readonly logger: Logger;
};

const id = z.string().regex(/^[A-Za-z0-9.-]{1,64}$/);
const coding = z.object({ code: z.string(), system: z.string().exactOptional(), display: z.string().exactOptional() });
const orderBody = z.object({
  exam: z.string(),
  reason: z.string().max(500).default(''),
  priority: z.enum(['routine', 'urgent', 'asap', 'stat']).optional(),
  /** From order-select on, so that signing speaks of the same order. */
  draft: z.object({ id, accession: z.string().regex(/^[A-Z0-9]{1,16}$/) }).optional(),
  /** The cards of order-sign were seen. */
  cardsSeen: z.boolean().default(false),
});
const filmBody = z.object({
  patient: id,
  film: z.string(),
  order: z
    .string()
    .transform((text) => text.replace(/^ServiceRequest\//, ''))
    .pipe(id)
    .optional(),
  /** An earlier film that is brought here only now. */
  takenDaysAgo: z.int().min(0).max(36_500).default(0),
});
/** A suggestion of a card that was accepted. */
const suggestionBody = z.object({
  service: z.string().min(1),
  card: z.string().min(1),
  suggestion: z.string().min(1),
  actions: z
    .array(
      z.object({
        type: z.literal('create'),
        resource: z.looseObject({
          resourceType: z.literal('ServiceRequest'),
          status: z.literal('draft'),
          subject: z.object({ reference: z.string() }),
        }),
      }),
    )
    .min(1),
});
const feedbackBody = z.object({
  service: z.string().min(1),
  card: z.string().min(1),
  outcome: z.enum(['accepted', 'overridden']),
  acceptedSuggestions: z.array(z.object({ id: z.string() })).exactOptional(),
  reason: coding.exactOptional(),
  comment: z.string().max(2_000).exactOptional(),
});
const launchBody = z.object({
  patient: id,
  /** Of a card's smart link; the app's own address when the EHR opens it for a study. */
  url: z.url().optional(),
  appContext: z.string().max(4_000).optional(),
  imagingStudy: id.optional(),
});
const faultsBody = z.object({
  archive: z.enum(archiveFaults).nullable().exactOptional(),
  fhir: z.enum(fhirFaults).nullable().exactOptional(),
});

/** A request that cannot be done as asked; the text is for whoever asked. */
class Refused extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export function ehrApi(options: EhrApiOptions): Router {
  const { sessions, filmRoom, progress, cds, app, offerLaunch, fhirUrl, faults, logger } = options;
  const charts = options.charts.seenBy(fullAccess);
  const films = (patient: string) => progress.films(patient);
  const router = Router();

  router.use(sameSite);
  router.use((_request, response, next) => {
    response.setHeader('Cache-Control', 'no-store');
    next();
  });
  router.use(express.json({ limit: '256kb' }));

  router.get('/events', (_request, response) => progress.follow(response));

  router.get('/setting', async (request, response) => {
    const staff = await staffList(charts);
    const user = staff.find((one) => one.id === sessions.userOf(request))!;
    const setting: Setting = {
      hospital: 'Riverside General Hospital',
      user,
      staff,
      exams: exams.map(({ id, name }) => ({ id, name })),
      films: filmRoom.choices,
      appUrl: app.launchUrl,
    };
    response.json(setting);
  });
  router.post('/session', async (request, response) => {
    const { practitioner } = z.object({ practitioner: id }).parse(request.body);
    await charts.readResource('Practitioner', practitioner);
    sessions.become(request, response, practitioner);
    response.json({ practitioner });
  });

  router.get('/patients', async (_request, response) => {
    response.json(await patientRows(charts, films));
  });
  router.get('/patients/:patient', async (request, response) => {
    response.json(await chartView(charts, request.params.patient, films));
  });

  router.post('/patients/:patient/hooks/patient-view', async (request, response) => {
    const answers = await cds.call('patient-view', await contextOf(request, request.params.patient));
    response.json({ services: answers });
  });
  router.post('/patients/:patient/hooks/order-select', async (request, response) => {
    const form = await formOf(request, request.params.patient);
    const order = orderOf(form, 'draft');
    const services = await callOrderHook('order-select', form, request, { selections: [`ServiceRequest/${order.id}`] });
    response.json({ services, draft: { id: form.id, accession: form.accession } });
  });
  router.post('/patients/:patient/orders', async (request, response) => {
    const form = await formOf(request, request.params.patient);
    const { cardsSeen } = orderBody.parse(request.body);
    const draft = { id: form.id, accession: form.accession };
    if (!cardsSeen) {
      const services = await callOrderHook('order-sign', form, request, {});
      if (services.some(({ cards }) => cards.length > 0)) {
        response.json({ signed: false, services, draft });
        return;
      }
    }
    const order = await charts.updateResource<ServiceRequest>(orderOf(form, 'active'));
    logger.info('order signed', { exam: form.exam.id });
    response.status(201).json({ signed: true, services: [], draft, order: `ServiceRequest/${order.id}` });
  });

  router.get('/films', (_request, response) => void response.json(filmRoom.choices));
  router.post('/films', async (request, response) => {
    const { patient: patientId, film, order: orderId, takenDaysAgo } = filmBody.parse(request.body);
    const name = film.replace(/\.dcm$/, '');
    const template = filmRoom.templateOf(name);
    if (template === undefined) throw new Refused(404, `There is no film ${name.slice(0, 60)}.`);
    const patient = await charts.readResource<WithId<Patient>>('Patient', patientId);
    const order =
      orderId === undefined ? undefined : await charts.readResource<WithId<ServiceRequest>>('ServiceRequest', orderId);
    if (order !== undefined && order.subject?.reference !== `Patient/${patientId}`)
      throw new Refused(409, 'This order is of another patient.');
    if (order !== undefined && order.status !== 'active') throw new Refused(409, 'This order has its film already.');
    const arrived = await filmRoom.arrive({
      template,
      patient,
      takenDaysAgo,
      ...(order === undefined ? {} : { order }),
      storedFirst: (studyUid) => {
        progress.begin({ studyUid, patient: patientId, film: name });
        progress.reached(studyUid, 'stored');
      },
    });
    logger.info('film arrived', { film: name, studyUid: arrived.studyUid });
    response.status(201).json(arrived);
  });

  /** Nothing is ordered by accepting: the drafts wait in the chart for a signature. */
  router.post('/patients/:patient/suggestions', async (request, response) => {
    const { service, card, suggestion, actions } = suggestionBody.parse(request.body);
    const { patient } = request.params;
    if (actions.some(({ resource }) => resource.subject.reference !== `Patient/${patient}`))
      throw new Refused(409, 'This suggestion is for another patient.');
    const { today } = await chartView(charts, patient, films);
    const drafts: string[] = [];
    for (const { resource } of actions) {
      const about = { patient, ...(today === null ? {} : { encounter: today.encounter }) };
      const draft = await charts.updateResource<ServiceRequest>(draftOf(resource as unknown as ServiceRequest, about));
      drafts.push(`ServiceRequest/${draft.id}`);
    }
    const taken = await cds.sendFeedback(service, {
      card,
      outcome: 'accepted',
      acceptedSuggestions: [{ id: suggestion }],
    });
    logger.info('suggestion accepted', { drafts: drafts.length });
    response.status(201).json({ drafts, taken });
  });
  router.post('/patients/:patient/drafts/:order/sign', async (request, response) => {
    const { cardsSeen } = z.object({ cardsSeen: z.boolean().default(false) }).parse(request.body);
    const draft = await openDraft(request.params.patient, request.params.order);
    if (!cardsSeen) {
      const context = await contextOf(request, request.params.patient);
      const services = await cds.call('order-sign', { ...context, draftOrders: draftBundle(draft) });
      if (services.some(({ cards }) => cards.length > 0)) {
        response.json({ signed: false, services });
        return;
      }
    }
    const order = await charts.updateResource<ServiceRequest>(signed(draft, await requesterOf(request)));
    logger.info('draft signed', {});
    response.status(201).json({ signed: true, services: [], order: `ServiceRequest/${order.id}` });
  });
  router.post('/patients/:patient/drafts/:order/discard', async (request, response) => {
    const draft = await openDraft(request.params.patient, request.params.order);
    await charts.updateResource<ServiceRequest>({ ...draft, status: 'revoked' });
    response.json({ discarded: true });
  });

  router.post('/feedback', async (request, response) => {
    const { service, ...feedback } = feedbackBody.parse(request.body);
    response.json({ taken: await cds.sendFeedback(service, feedback) });
  });

  router.post('/launch', async (request, response) => {
    const { patient, url = app.launchUrl, appContext, imagingStudy } = launchBody.parse(request.body);
    // A card may lead only into an app that is registered here, whatever address it names.
    if (url.split(/[?#]/)[0] !== app.launchUrl) throw new Refused(403, 'This app is not registered at this hospital.');
    const chart = await chartView(charts, patient, films);
    const user = sessions.userOf(request);
    const practitioner = await charts.readResource<Practitioner>('Practitioner', user);
    const launch = offerLaunch({
      patient,
      user: `Practitioner/${user}`,
      userName: formatHumanName(practitioner.name![0]!, { prefix: true }),
      clientId: app.id,
      intent: 'review',
      ...(chart.today === null ? {} : { encounter: chart.today.encounter }),
      ...(appContext === undefined ? {} : { appContext }),
      ...(imagingStudy === undefined ? {} : { fhirContext: [{ reference: `ImagingStudy/${imagingStudy}` }] }),
    });
    const address = new URL(url);
    address.searchParams.set('iss', fhirUrl);
    address.searchParams.set('launch', launch);
    response.json({ url: address.href, iss: fhirUrl, launch });
  });

  if (faults !== undefined) {
    router.get('/faults', (_request, response) => void response.json(faults));
    router.post('/faults', (request, response) => {
      Object.assign(faults, faultsBody.parse(request.body));
      response.json(faults);
    });
  }

  router.use((_request, response) => void response.status(404).json({ error: 'There is nothing at this address.' }));
  router.use((error: unknown, _request: Request, response: Response, next: NextFunction) => {
    if (response.headersSent) {
      next(error);
      return;
    }
    const [status, text] = explained(error);
    if (status >= 500) logger.error('EHR request failed', { error: String(error) });
    response.status(status).json({ error: text });
  });

  async function contextOf(request: Request, patient: string) {
    const { today } = await chartView(charts, patient, films);
    return {
      userId: `Practitioner/${sessions.userOf(request)}`,
      patientId: patient,
      ...(today === null ? {} : { encounterId: today.encounter }),
    };
  }

  async function openDraft(patient: string, order: string): Promise<WithId<ServiceRequest>> {
    const draft = await charts.readResource<WithId<ServiceRequest>>('ServiceRequest', order);
    if (draft.subject?.reference !== `Patient/${patient}`) throw new Refused(409, 'This order is of another patient.');
    if (draft.status !== 'draft') throw new Refused(409, 'This order is no draft any more.');
    return draft;
  }

  async function requesterOf(request: Request): Promise<OrderForm['requester']> {
    const user = sessions.userOf(request);
    const practitioner = await charts.readResource<Practitioner>('Practitioner', user);
    return {
      reference: `Practitioner/${user}`,
      display: formatHumanName(practitioner.name![0]!, { prefix: true }),
    };
  }

  async function formOf(request: Request, patient: string): Promise<OrderForm> {
    const { exam: examId, reason, draft, priority } = orderBody.parse(request.body);
    const exam = exams.find((one) => one.id === examId);
    if (exam === undefined) throw new Refused(400, `There is no examination ${examId.slice(0, 60)}.`);
    const { today } = await chartView(charts, patient, films);
    return {
      exam,
      reason,
      patient,
      ...(priority === undefined ? {} : { priority }),
      requester: await requesterOf(request),
      id: draft?.id ?? newOrderId(),
      accession: draft?.accession ?? newAccession(),
      ...(today === null ? {} : { encounter: today.encounter }),
    };
  }

  async function callOrderHook(
    hook: HookName,
    form: OrderForm,
    request: Request,
    more: Readonly<Record<string, unknown>>,
  ) {
    const context = await contextOf(request, form.patient);
    return cds.call(hook, { ...context, ...more, draftOrders: draftBundle(orderOf(form, 'draft')) });
  }

  return router;
}

/** Another site's page may not act here in the name of whoever has this page open. */
function sameSite(request: Request, response: Response, next: NextFunction): void {
  const { origin, host } = request.headers;
  const foreign = typeof origin === 'string' && (!URL.canParse(origin) || new URL(origin).host !== host);
  if (foreign) response.status(403).json({ error: 'Only the EHR page may do this.' });
  else if (request.method === 'POST' && request.is('application/json') === false)
    response.status(415).json({ error: 'Send JSON.' });
  else next();
}

function explained(error: unknown): [number, string] {
  if (error instanceof Refused) return [error.status, error.message];
  if (error instanceof z.ZodError) {
    const [issue] = error.issues;
    return [400, `${issue?.path.join('.') ?? 'body'}: ${issue?.message ?? 'is not valid'}`];
  }
  if (error instanceof OperationOutcomeError)
    return [getStatus(error.outcome), error.outcome.issue[0]?.details?.text ?? 'The chart refused this.'];
  const { status } = error as { status?: number };
  if (status !== undefined && status < 500) return [status, 'The request cannot be read.'];
  return [500, 'Something went wrong in the demo hospital.'];
}
