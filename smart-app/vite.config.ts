/** How the app is bundled: one page under /app/, decoders as module workers. */
import { join } from 'node:path';
import { defineConfig } from 'vite';

const notInBrowsers = join(import.meta.dirname, 'src/not-in-browsers.ts');

export default defineConfig({
  root: import.meta.dirname,
  base: '/app/',
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    target: 'es2022',
    // Inlined assets would be data: addresses, which the page's policy allows to nobody but the image codecs.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 5_000,
    reportCompressedSize: false,
    // Where a slow machine's build spends its time is nothing for whoever starts the demo.
    rolldownOptions: { checks: { pluginTimings: false } },
  },
  resolve: {
    alias: [
      // Cornerstone's dependencies import Node's names; without these the bundle dies at load ("Class extends value undefined").
      { find: 'events', replacement: 'events/' },
      { find: 'url', replacement: 'url/' },
      // The codecs name these for their life under Node; in a browser they never touch them.
      { find: /^(fs|path)$/, replacement: notInBrowsers },
    ],
  },
  worker: { format: 'es' },
});
