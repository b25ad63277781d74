/** Finds the hooks: each file in the folder is a service, its name is the service's id. A broken one stops the start. */
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import { WetreadError } from '../domain/errors.ts';
import type { DefinedHook } from '../kit/hook.ts';
import { isHookName } from '../kit/hook-context.ts';
import { faultOfTemplate } from './prefetch-template.ts';

export type LoadedHook = { readonly id: string; readonly hook: DefinedHook };

const text = z.string().trim().min(1);
const query = z.union([z.string(), z.object({ query: z.string(), needed: z.literal(false) })], {
  error: 'is neither a template nor ifAvailable(template)',
});
const declaration = z
  .object({
    kind: z.literal('wetread-hook', { error: 'is not made by defineHook' }),
    hook: z.string().refine(isHookName, 'is not a hook of the CDS Hooks library'),
    title: text,
    description: text,
    usageRequirements: text.optional(),
    prefetch: z.record(z.string().regex(/^[\w-]+$/), query).optional(),
    handle: z.custom((value) => typeof value === 'function', 'is not a function'),
  })
  .superRefine(({ hook, prefetch = {} }, context) => {
    if (!isHookName(hook)) return;
    for (const [key, template] of Object.entries(prefetch)) {
      const fault = faultOfTemplate(typeof template === 'string' ? template : template.query, hook);
      if (fault !== undefined) context.addIssue({ code: 'custom', path: ['prefetch', key], message: fault });
    }
  });

export async function loadHooks(folder: string): Promise<readonly LoadedHook[]> {
  const files = (
    await readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
      throw new WetreadError('cds.hook-invalid', `${folder}: cannot be read`, { cause });
    })
  )
    .filter((entry) => entry.isFile() && /\.(ts|js|mjs)$/.test(entry.name) && !entry.name.endsWith('.d.ts'))
    .map(({ name }) => name)
    .sort();
  return Promise.all(files.map((file) => loadHook(join(folder, file))));
}

async function loadHook(path: string): Promise<LoadedHook> {
  const file = basename(path);
  const id = file.replace(/\.\w+$/, '');
  if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(id))
    throw broken(file, 'name: a service id is written in small letters, digits and hyphens');
  const module = (await import(pathToFileURL(path).href).catch((cause: unknown) => {
    throw broken(file, `cannot be loaded (${cause instanceof Error ? cause.message : 'unknown reason'})`, cause);
  })) as { default?: unknown };
  if (module.default === undefined) throw broken(file, 'default: missing; write `export default defineHook(…)`');
  const checked = declaration.safeParse(module.default);
  if (!checked.success) {
    const [issue] = checked.error.issues;
    throw broken(file, `${issue?.path.join('.') || 'default'}: ${issue?.message}`);
  }
  return { id, hook: module.default as DefinedHook };
}

const broken = (file: string, detail: string, cause?: unknown): WetreadError =>
  new WetreadError('cds.hook-invalid', `hooks/${file}: ${detail}`, { cause });
