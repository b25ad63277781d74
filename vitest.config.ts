import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Real databases, browsers and archives start inside these tests, and a loaded machine takes several times as long
    // as an idle one: only what hangs meets these limits.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 60_000 } },
    // Each file has processes of its own; more workers than cores only make them wait for each other.
    // One at a time in CI: what is judged there must not depend on what runs beside it.
    maxWorkers: process.env['CI'] ? 1 : 2,
  },
});
