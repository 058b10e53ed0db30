import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    globalSetup: 'test/support/redis-install.ts',
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // Node itself loads the modules of operators, as in production.
    server: { deps: { external: [/\.mjs(?:\?|$)/] } },
  },
})
