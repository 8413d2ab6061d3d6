// The architecture as a rule: who may import whom, and the one home of each library (docs/architecture.md).
const BASE = ['^src/oci/', '^src/lib/'];
const PORTS = [
  '^src/blobs/(blob-store|spool)\\.ts$',
  '^src/metadata/(metadata-store|catalog-store)\\.ts$',
  '^src/upstream/upstream\\.ts$',
];
const MAY_USE = {
  oci: [],
  lib: [],
  config: BASE,
  blobs: BASE,
  metadata: BASE,
  upstream: BASE,
  repository: [...BASE, ...PORTS],
  jobs: [...BASE, ...PORTS],
  telemetry: [...BASE, ...PORTS],
  workers: [
    ...BASE,
    '^src/http/',
    '^src/config/config\\.ts$',
    '^src/blobs/blob-store\\.ts$',
    '^src/telemetry/metrics-merge\\.ts$',
  ],
  admin: [...BASE, ...PORTS, '^src/repository/', '^src/jobs/', '^src/telemetry/'],
  cli: [
    ...BASE,
    '^src/config/',
    '^src/admin/views\\.ts$',
    // What doctor reads, and to whom it may give a password: pure functions.
    '^src/upstream/(challenge|rate-limit|realm-policy)\\.ts$',
  ],
  // What a browser loads: of ours it knows the words of the API, as types.
  ui: ['^src/admin/views\\.ts$'],
  http: [
    ...BASE,
    '^src/repository/(repository|repositories)\\.ts$',
    '^src/admin/(administration|views)\\.ts$',
  ],
};
const ONLY_IN = {
  express: '^src/http/',
  undici: '^src/upstream/',
  'better-sqlite3': '^src/metadata/sqlite-',
  'prom-client': '^src/telemetry/metrics',
  zod: '^src/config/',
  yaml: '^src/config/',
  tldts: '^src/upstream/',
};
module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'no-orphans', severity: 'error', from: { orphan: true, path: '^src/' }, to: {} },
    {
      name: 'only-serve-imports-app',
      severity: 'error',
      from: { pathNot: '^src/serve\\.ts$' },
      to: { path: '^src/app\\.ts$' },
    },
    ...Object.entries(MAY_USE).map(([folder, allowed]) => ({
      name: `${folder}-may-use`,
      severity: 'error',
      from: { path: `^src/${folder}/` },
      to: { path: '^src/', pathNot: [`^src/${folder}/`, ...allowed] },
    })),
    ...Object.entries(ONLY_IN).map(([pkg, home]) => ({
      name: `only-one-home-for-${pkg}`,
      severity: 'error',
      from: { path: '^src/', pathNot: home },
      to: { path: `^node_modules/(@types/)?${pkg}/` },
    })),
    { name: 'not-to-unresolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
  },
};
