/** Numbers for Prometheus under /metrics: nothing in them identifies a patient or a study. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { ErrorCode } from './domain/errors.ts';

export type QueueCounts = {
  readonly pending: number;
  readonly reading: number;
  readonly dead: number;
  readonly owedOutputs: number;
};

type ModelRun = {
  readonly pack: string;
  readonly executionProvider: string;
  readonly outcome: 'ok' | ErrorCode;
  readonly totalMs: number;
  readonly netMs?: number;
};

type ModelsStatus = {
  readonly waiting: number;
  readonly running: number;
  readonly deaths: number;
  readonly processes: readonly { readonly rssBytes: number }[];
};

export function metrics() {
  const registers = [new Registry()];
  const [registry] = registers as [Registry];
  collectDefaultMetrics({ register: registry });

  const cards = new Histogram({
    name: 'wetread_cds_answer_seconds',
    help: 'Time to answer a CDS Hooks call.',
    labelNames: ['service', 'status'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
    registers,
  });
  const runs = new Histogram({
    name: 'wetread_model_run_seconds',
    help: 'Time of a model run, preparation included.',
    labelNames: ['pack', 'provider', 'outcome'],
    buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  });
  const networks = new Histogram({
    name: 'wetread_model_network_seconds',
    help: 'Time of a model run that its networks took; of a server, with the way there and back.',
    labelNames: ['pack', 'provider'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  });
  const pictures = new Gauge({
    name: 'wetread_model_pictures',
    help: 'Pictures that wait for a model process, and those that are in one.',
    labelNames: ['state'],
    registers,
  });
  const memory = new Gauge({
    name: 'wetread_model_process_bytes',
    help: 'Memory of all model processes together, as each told after its last run.',
    registers,
  });
  const processDeaths = new Gauge({
    name: 'wetread_model_process_deaths',
    help: 'Model processes that ended in mid-run since the start, deadlines included.',
    registers,
  });
  let modelPictures: (() => ModelsStatus) | undefined;
  const studies = new Counter({
    name: 'wetread_studies_total',
    help: 'Studies by how a try to read them ended: ok, or the code of the error.',
    labelNames: ['outcome'],
    registers,
  });
  const outputs = new Counter({
    name: 'wetread_outputs_total',
    help: 'Writes to outputs by how they ended.',
    labelNames: ['output', 'outcome'],
    registers,
  });
  const queued = new Gauge({
    name: 'wetread_queue',
    help: 'Studies and outputs waiting, by state.',
    labelNames: ['state'],
    registers,
  });

  const objects = new Counter({
    name: 'wetread_objects_received_total',
    help: 'Objects that were sent here by road (stow, dimse) and what became of them: ok, or the code they were refused with.',
    labelNames: ['road', 'outcome'],
    registers,
  });
  const hl7Messages = new Counter({
    name: 'wetread_hl7_messages_total',
    help: 'HL7 messages by what became of them: ok, or the code they were refused with.',
    labelNames: ['outcome'],
    registers,
  });
  const archiveAnswers = new Counter({
    name: 'wetread_archive_answers_total',
    help: 'Answers of the image archive: ok, or the code of what came instead.',
    labelNames: ['outcome'],
    registers,
  });
  const archiveCircuit = new Gauge({
    name: 'wetread_archive_circuit',
    help: 'Whether the archive is asked: 0 yes (closed), 1 one request tries (half-open), 2 no (open).',
    registers,
  });

  return {
    archiveAnswered: (outcome: 'ok' | ErrorCode) => archiveAnswers.inc({ outcome }),
    archiveCircuit: ({ kind }: { kind: 'closed' | 'half-open' | 'open' }) =>
      archiveCircuit.set({ closed: 0, 'half-open': 1, open: 2 }[kind]),
    objectReceived: (road: 'stow' | 'dimse', outcome: 'ok' | ErrorCode) => objects.inc({ road, outcome }),
    hl7Answered: (outcome: 'ok' | ErrorCode) => hl7Messages.inc({ outcome }),
    answered: ({ service, status, seconds }: { service: string; status: number; seconds: number }) =>
      cards.observe({ service, status: String(status) }, seconds),
    modelRun({ pack, executionProvider: provider, outcome, totalMs, netMs }: ModelRun): void {
      runs.observe({ pack, provider, outcome }, totalMs / 1000);
      if (netMs !== undefined) networks.observe({ pack, provider }, netMs / 1000);
    },
    /** Pictures and processes are counted when somebody looks. */
    watchModels(status: () => ModelsStatus): void {
      modelPictures = status;
    },
    studyEnded: (outcome: 'ok' | ErrorCode) => studies.inc({ outcome }),
    outputEnded: (output: string, outcome: 'ok' | ErrorCode) => outputs.inc({ output, outcome }),
    contentType: registry.contentType,
    async text(counts: QueueCounts): Promise<string> {
      if (modelPictures !== undefined) {
        const { waiting, running, processes, deaths } = modelPictures();
        pictures.set({ state: 'waiting' }, waiting);
        pictures.set({ state: 'running' }, running);
        memory.set(processes.reduce((sum, { rssBytes }) => sum + rssBytes, 0));
        processDeaths.set(deaths);
      }
      for (const [state, count] of Object.entries(counts)) queued.set({ state }, count);
      return registry.metrics();
    },
  };
}

export type Metrics = ReturnType<typeof metrics>;
