/** Radiomics of many crops by the service's own code: `node radiomics.ts FOLDER COUNT` reads crops.f32 and masks.u8, writes radiomics.json. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { radiomicsOf } from '../../src/kit/radiomics/radiomics.ts';

const side = 128;
const [folder, count] = [process.argv[2]!, Number(process.argv[3])];
const cropBytes = readFileSync(join(folder, 'crops.f32'));
const crops = new Float32Array(cropBytes.buffer, cropBytes.byteOffset, cropBytes.byteLength / 4);
const masks = readFileSync(join(folder, 'masks.u8'));
const area = side * side;
let names: string[] = [];
const rows: number[][] = [];
// Of the processor, not of the clock: other work on the machine does not count.
const milliseconds: number[] = [];
for (let index = 0; index < count; index += 1) {
  const values = crops.subarray(index * area, (index + 1) * area);
  const mask = masks.subarray(index * area, (index + 1) * area);
  const before = process.cpuUsage();
  const features = radiomicsOf({ columns: side, rows: side, slices: 1, values, mask });
  const { user, system } = process.cpuUsage(before);
  milliseconds.push((user + system) / 1000);
  names = Object.keys(features);
  rows.push(Object.values(features));
}
writeFileSync(join(folder, 'radiomics.json'), JSON.stringify({ names, rows, milliseconds }));
