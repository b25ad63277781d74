/** What `GET /cds-services` says. */
import type { LoadedHook } from './load-hooks.ts';
import type { DiscoveredService } from './wire.ts';

export const discoveryOf = (hooks: readonly LoadedHook[]): { readonly services: readonly DiscoveredService[] } => ({
  services: hooks.map(({ id, hook: { hook, title, description, prefetch, usageRequirements } }) => ({
    id,
    hook,
    title,
    description,
    ...(prefetch === undefined || Object.keys(prefetch).length === 0
      ? {}
      : {
          prefetch: Object.fromEntries(
            Object.entries(prefetch).map(([key, template]) => [
              key,
              typeof template === 'string' ? template : template.query,
            ]),
          ),
        }),
    ...(usageRequirements === undefined ? {} : { usageRequirements }),
  })),
});
