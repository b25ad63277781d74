/** The hospital's charts at the start: the fictional patients and staff of this folder, or what was kept in a data folder. */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { WithId } from '@medplum/core';
import type { Bundle, Resource } from '@medplum/fhirtypes';
import { loadDefinitions } from './fhir/definitions.ts';
import { fullAccess, openCharts, type Charts, type SavedCharts } from './fhir/repository.ts';

const patientsFolder = join(import.meta.dirname, 'patients');
const staffFile = join(import.meta.dirname, 'staff.json');
const writeDelayMs = 200;

export async function openHospitalCharts(dataDir?: string): Promise<Charts & { close(): void }> {
  loadDefinitions();
  const file = dataDir === undefined ? undefined : join(dataDir, 'charts.json');
  if (file !== undefined && existsSync(file)) {
    return kept(openCharts(JSON.parse(readFileSync(file, 'utf8')) as SavedCharts), file);
  }
  const charts = openCharts();
  const files = [staffFile, ...readdirSync(patientsFolder).map((name) => join(patientsFolder, name))];
  const resources = files.flatMap(resourcesIn);
  await charts.seenBy(fullAccess).withTransaction(async (draft) => {
    for (const resource of resources) await draft.updateResource(resource);
  });
  return kept(charts, file);
}

/** `{{today}}` and `{{today-14}}` keep the visits of a demonstration recent. */
function resourcesIn(file: string): WithId<Resource>[] {
  const text = readFileSync(file, 'utf8').replaceAll(/\{\{today(?:-(\d+))?\}\}/g, (_, days: string | undefined) =>
    new Date(Date.now() - Number(days ?? 0) * 86_400_000).toISOString().slice(0, 10),
  );
  return ((JSON.parse(text) as Bundle).entry ?? []).map(({ resource }) => resource as WithId<Resource>);
}

function kept(charts: Charts, file: string | undefined): Charts & { close(): void } {
  if (file === undefined) return { ...charts, close() {} };
  mkdirSync(join(file, '..'), { recursive: true });
  let timer: NodeJS.Timeout | undefined;
  const write = (): void => {
    clearTimeout(timer);
    timer = undefined;
    writeFileSync(`${file}.part`, JSON.stringify(charts.saved()));
    renameSync(`${file}.part`, file);
  };
  charts.onCommit(() => {
    timer ??= setTimeout(write, writeDelayMs);
  });
  return { ...charts, close: write };
}
