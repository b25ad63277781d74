/** The worklist's source with its database, as a process of its own so that tests can kill it. */
import { silentLogger } from '../../src/domain/log.ts';
import { upsClient } from '../../src/dicom/ups-client.ts';
import { upsWorklist } from '../../src/events/ups-worklist.ts';
import { openStore } from '../../src/store/open-store.ts';

const { databaseUrl, root } = JSON.parse(process.argv[2] ?? '{}') as { databaseUrl: string; root: string };
const store = await openStore({ databaseUrl, dataDir: '', outputs: [], logger: silentLogger });
upsWorklist({
  worklist: upsClient({ baseUrl: root, timeoutMs: 30_000, logger: silentLogger }),
  claims: store.workitems,
  register: store.register,
  meantFor: { station: { value: 'WETREAD' } },
  subscriber: 'WETREAD',
  everySeconds: 0.2,
  logger: { ...silentLogger, info: (message) => console.log(message) },
}).start();
setInterval(() => {}, 1000);
