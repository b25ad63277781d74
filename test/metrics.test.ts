/** What /metrics says of models: where they ran, how long, what waits. */
import { expect, test } from 'vitest';
import { metrics } from '../src/metrics.ts';

const none = { pending: 0, reading: 0, dead: 0, owedOutputs: 0 };

test('a model run is counted by pack, provider and outcome, its networks by themselves', async () => {
  const counted = metrics();
  const run = { pack: 'spine', executionProvider: 'kserve-grpc', totalMs: 120 };
  counted.modelRun({ ...run, outcome: 'ok', netMs: 90 });
  counted.modelRun({ ...run, outcome: 'model.bad-output' });
  const text = await counted.text(none);
  expect(text).toContain('wetread_model_run_seconds_count{pack="spine",provider="kserve-grpc",outcome="ok"} 1');
  expect(text).toContain('outcome="model.bad-output"} 1');
  expect(text).toContain('wetread_model_network_seconds_sum{pack="spine",provider="kserve-grpc"} 0.09');
});

test('pictures that wait and processes are counted when somebody looks', async () => {
  const counted = metrics();
  const status = { waiting: 3, running: 2, deaths: 1, processes: [{ rssBytes: 100 }, { rssBytes: 50 }] };
  counted.watchModels(() => status);
  expect(await counted.text(none)).toContain('wetread_model_pictures{state="waiting"} 3');
  status.waiting = 0;
  const text = await counted.text(none);
  expect(text).toContain('wetread_model_pictures{state="waiting"} 0');
  expect(text).toContain('wetread_model_pictures{state="running"} 2');
  expect(text).toContain('wetread_model_process_bytes 150');
  expect(text).toContain('wetread_model_process_deaths 1');
});
