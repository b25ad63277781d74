/** `npm run bench`: every number beside a limit measured in the same run, so that a slow machine slows both. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { BenchRow } from './row.ts';

const benches: Readonly<Record<string, () => Promise<BenchRow[]>>> = {
  cards: async () => (await import('./cards.ts')).benchCards(),
  'cards-while-reading': async () => (await import('./cards-while-reading.ts')).benchCardsWhileReading(),
  arrival: async () => (await import('./arrival.ts')).benchArrival(),
  decoders: async () => (await import('./decoders.ts')).benchDecoders(),
  fuzz: async () => (await import('./fuzz.ts')).benchFuzz(),
  pool: async () => (await import('./pool.ts')).benchPool(),
  triton: async () => (await import('./triton.ts')).benchTriton(),
  infer: async () => (await import('./infer.ts')).benchInfer(),
  lumbar: async () => (await import('./lumbar.ts')).benchLumbar(),
  peers: async () => (await import('./peers.ts')).benchPeers(),
  'ct-memory': async () => (await import('./ct-memory.ts')).benchCtMemory(),
};

const usage = `npm run bench -- [${Object.keys(benches).join('] [')}] [--json]

Runs all benches, or the named ones. Nothing else should run on the machine meanwhile.
Exits 1 when a target is missed. Results are kept in bench/results/latest.json.
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
});
const unknown = positionals.filter((name) => !(name in benches));
if (values.help || unknown.length > 0) {
  process.stdout.write(usage);
  process.exit(values.help ? 0 : 2);
}

const rows: BenchRow[] = [];
for (const name of positionals.length > 0 ? positionals : Object.keys(benches)) {
  if (!values.json) process.stderr.write(`${name} …\n`);
  const found = await benches[name]!();
  rows.push(...found);
  if (!values.json) process.stdout.write(`\n${table(found)}\n`);
}

const machine = {
  cpu: cpus()[0]?.model ?? 'unknown',
  cores: cpus().length,
  node: process.version,
  at: new Date().toISOString(),
};
const results = join(import.meta.dirname, 'results');
mkdirSync(results, { recursive: true });
writeFileSync(join(results, 'latest.json'), `${JSON.stringify({ machine, rows }, null, 2)}\n`);
if (values.json) process.stdout.write(`${JSON.stringify({ machine, rows })}\n`);
else process.stdout.write(`${machine.cores} × ${machine.cpu}, Node ${machine.node}\n`);
process.exit(rows.some(({ pass }) => pass === false) ? 1 : 0);

function table(all: readonly BenchRow[]): string {
  if (all.length === 0) return 'nothing measured';
  const cells = all.map(({ name, value, unit, limit, limitName, ratio, target, pass }) => [
    name,
    `${shown(value)} ${unit}`,
    limit === undefined ? '' : `${limitName ?? 'limit'} ${shown(limit)} ${unit}`,
    ratio === undefined ? '' : `× ${ratio.toFixed(2)}`,
    target ?? '',
    pass === undefined ? '' : pass ? 'reached' : 'MISSED',
  ]);
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  return cells
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function shown(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
