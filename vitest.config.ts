import { defineConfig } from 'vitest/config';

const project = (name: string, include: string[], timeoutMs: number) => ({
  test: {
    name,
    include,
    globalSetup: 'test/support/build-native.ts',
    testTimeout: timeoutMs,
    hookTimeout: timeoutMs,
    sequence: { shuffle: true },
    restoreMocks: true,
  },
});

export default defineConfig({
  test: {
    projects: [
      project('unit', ['test/unit/**/*.test.ts', 'test/architecture.test.ts'], 30_000),
      project('contract', ['test/contract/**/*.test.ts'], 30_000),
      project('integration', ['test/integration/**/*.test.ts'], 60_000),
      project('fuzz', ['test/fuzz/**/*.test.ts'], 120_000),
      project('chaos', ['test/chaos/**/*.test.ts'], 300_000),
      {
        test: {
          ...project('e2e', ['test/e2e/**/*.test.ts'], 300_000).test,
          // Real daemons share the machine: one file after the other, in the order written.
          fileParallelism: false,
          sequence: { shuffle: false },
        },
      },
    ],
  },
});
