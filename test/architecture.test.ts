/** The import rule of docs/architecture.md, and that the tool which checks it really sees the code. */
import { execFile } from 'node:child_process';
import { appendFile, cp, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const CONFIG = '.dependency-cruiser.cjs';

interface Cruise {
  readonly modules: readonly { readonly source: string }[];
  readonly summary: {
    readonly violations: readonly {
      readonly from: string;
      readonly to: string;
      readonly rule: { readonly name: string };
    }[];
  };
}

/** As `npm run structure` does, in any directory that is laid out like the checkout. */
async function cruise(directory: string): Promise<Cruise> {
  const tool = join(ROOT, 'node_modules/.bin/depcruise');
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [tool, '--config', CONFIG, '--output-type', 'json', 'src'],
    { cwd: directory, maxBuffer: 64 * 2 ** 20 },
  );
  return JSON.parse(stdout) as Cruise;
}

const ownModules = ({ modules }: Cruise) =>
  modules.map(({ source }) => source).filter((source) => source.startsWith('src/'));
const violations = ({ summary }: Cruise) =>
  summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} -> ${to}`);

describe('the architecture', () => {
  let cruised: Cruise;
  beforeAll(async () => {
    cruised = await cruise(ROOT);
  });

  // A version of TypeScript that the tool can't load makes it see nothing, and report success.
  it('is checked over the whole of src', () => {
    expect(ownModules(cruised).length).toBeGreaterThan(30);
  });

  it('is kept', () => {
    expect(violations(cruised)).toEqual([]);
  });
});

describe('the check of the architecture', () => {
  /** Files that a careless change might add, what they import, and the rule that has to catch it. */
  const PLANTED = [
    ['src/oci/planted.ts', '../blobs/blob-store.ts', 'oci-may-use'],
    ['src/lib/planted.ts', '../oci/digest.ts', 'lib-may-use'],
    ['src/config/planted.ts', '../metadata/metadata-store.ts', 'config-may-use'],
    ['src/blobs/planted.ts', '../metadata/metadata-store.ts', 'blobs-may-use'],
    ['src/metadata/planted.ts', '../upstream/upstream.ts', 'metadata-may-use'],
    ['src/upstream/planted.ts', '../config/config.ts', 'upstream-may-use'],
    ['src/repository/planted.ts', '../metadata/sqlite-planted.ts', 'repository-may-use'],
    ['src/http/planted.ts', '../metadata/sqlite-planted.ts', 'http-may-use'],
    ['src/jobs/planted.ts', '../metadata/sqlite-planted.ts', 'jobs-may-use'],
    ['src/workers/planted.ts', '../metadata/sqlite-planted.ts', 'workers-may-use'],
    ['src/telemetry/planted.ts', '../http/planted.ts', 'telemetry-may-use'],
    ['src/repository/planted-app.ts', '../app.ts', 'only-serve-imports-app'],
    ['src/blobs/planted-express.ts', 'express', 'only-one-home-for-express'],
    ['src/repository/planted-sql.ts', 'better-sqlite3', 'only-one-home-for-better-sqlite3'],
    ['src/http/planted-undici.ts', 'undici', 'only-one-home-for-undici'],
    ['src/oci/planted-zod.ts', 'zod', 'only-one-home-for-zod'],
    ['src/http/planted-yaml.ts', 'yaml', 'only-one-home-for-yaml'],
    ['src/http/planted-metrics.ts', 'prom-client', 'only-one-home-for-prom-client'],
    ['src/repository/planted-tldts.ts', 'tldts', 'only-one-home-for-tldts'],
    ['src/oci/planted-missing.ts', './nowhere.ts', 'not-to-unresolvable'],
    ['src/lib/planted-cycle.ts', './planted-cycle.ts', 'no-cycles'],
  ] as const;

  let directory: string;
  let caught: readonly string[];

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'entrepot-architecture-'));
    await cp(join(ROOT, 'src'), join(directory, 'src'), { recursive: true });
    await cp(join(ROOT, 'tsconfig.json'), join(directory, 'tsconfig.json'));
    await symlink(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
    // Libraries keep the path below node_modules that the rules know them by.
    const config = `const rules = require(${JSON.stringify(join(ROOT, CONFIG))});
      module.exports = { ...rules, options: { ...rules.options, preserveSymlinks: true } };`;
    await writeFile(join(directory, CONFIG), config);
    await appendFile(join(directory, 'src/app.ts'), '\nexport {};\n');
    await writeFile(join(directory, 'src/metadata/sqlite-planted.ts'), 'export {};\n');
    await writeFile(join(directory, 'src/lib/planted-orphan.ts'), 'export {};\n');
    for (const [file, imported] of PLANTED) {
      // An import of types only is an import.
      await writeFile(join(directory, file), `import type {} from '${imported}';\n`);
    }
    caught = violations(await cruise(directory));
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  it.each(PLANTED)('catches %s importing %s', (file, _, rule) => {
    expect(caught).toContainEqual(expect.stringMatching(new RegExp(`^${rule}: ${file} -> `)));
  });

  it('catches a file that nobody imports', () => {
    expect(caught).toContainEqual(expect.stringMatching(/^no-orphans: src\/lib\/planted-orphan\.ts -> /));
  });
});
