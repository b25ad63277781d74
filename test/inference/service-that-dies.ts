/** A service for orphans.test.ts: starts a run that never ends, tells the model process's id, and waits to be killed. */
import { silentLogger } from '../../src/domain/log.ts';
import { loadPacks } from '../../src/inference/load-packs.ts';
import { modelRunner } from '../../src/inference/model-runner.ts';
import { picture } from './fixture-pack.ts';

const [pack] = await loadPacks(process.argv[2]!, silentLogger);
const runner = modelRunner({ packs: [pack!], processes: 1, threads: 1, provider: 'cpu', logger: silentLogger });
await runner.ready();
void runner.run(
  pack!.identity,
  picture(8, 8, () => 1),
);
while (runner.status().running === 0) await new Promise((resolve) => setTimeout(resolve, 5));
process.stdout.write(`${runner.status().processes[0]!.pid}\n`);
