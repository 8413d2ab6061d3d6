/**
 * Makes dist/native/: what src/blobs/sendfile.ts loads, one file for each architecture, for every C library. With `--all`
 * it fails where a compiler is missing; without, it makes what it can.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { argv, platform, arch as ownArch, pid } from 'node:process';

const ROOT = join(import.meta.dirname, '..');
const SOURCES = join(ROOT, 'native');
const HEADERS = join(ROOT, 'node_modules/node-api-headers/include');
const TARGET = join(ROOT, 'dist/native');

const ARCHITECTURES = ['x64', 'arm64'] as const;
type Architecture = (typeof ARCHITECTURES)[number];

const CROSS_COMPILERS: Readonly<Record<Architecture, string>> = {
  x64: 'x86_64-linux-gnu-gcc',
  arm64: 'aarch64-linux-gnu-gcc',
};

const FLAGS: readonly string[] = [
  ...['-std=c11', '-O2', '-Wall', '-Wextra', '-Werror'],
  ...['-shared', '-fPIC', '-Wl,-Bsymbolic', '-Wl,-z,relro', '-Wl,--build-id=none', '-s'],
  // Without a C library: what it needs it finds in the process that loads it, be that glibc or musl, in any version. So
  // there may be no call that only one of them has, as those that the compiler makes of its own accord.
  ...['-nostdlib', '-fno-stack-protector', '-U_FORTIFY_SOURCE', '-D_FORTIFY_SOURCE=0'],
];

const FLAGS_OF: Readonly<Record<Architecture, readonly string[]>> = {
  x64: [],
  // They would be calls of libgcc.
  arm64: ['-mno-outline-atomics'],
};

export function nativeFile(architecture: string = ownArch): string {
  return join(TARGET, `sendfile-linux-${architecture}.node`);
}

/** Whether it is there and not older than its sources. */
export function isBuilt(): boolean {
  const file = nativeFile();
  if (!existsSync(file)) return false;
  const builtAt = statSync(file).mtimeMs;
  return sources(/\.[ch]$/).every((source) => statSync(source).mtimeMs <= builtAt);
}

/** For the architecture that this runs on, unless another is given. @throws Error where there is no compiler for it */
export function buildNative(architecture: Architecture = ownArch as Architecture): string {
  mkdirSync(TARGET, { recursive: true });
  const file = nativeFile(architecture);
  // Others may load it meanwhile, or make it too.
  const unfinished = `${file}.${pid}`;
  try {
    execFileSync(
      compilerOf(architecture),
      [...FLAGS, ...FLAGS_OF[architecture], `-I${HEADERS}`, ...sources(/\.c$/), '-o', unfinished],
      { stdio: ['ignore', 'inherit', 'inherit'] },
    );
    checkIndependence(unfinished);
    renameSync(unfinished, file);
  } finally {
    rmSync(unfinished, { force: true });
  }
  return file;
}

function sources(pattern: RegExp): string[] {
  return readdirSync(SOURCES)
    .filter((name) => pattern.test(name))
    .map((name) => join(SOURCES, name));
}

function compilerOf(architecture: Architecture): string {
  return architecture === ownArch ? 'cc' : CROSS_COMPILERS[architecture];
}

function hasCompiler(architecture: Architecture): boolean {
  try {
    execFileSync(compilerOf(architecture), ['--version'], { stdio: 'ignore' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

/** One that needs a library, or a version of one, would not load everywhere. */
function checkIndependence(file: string): void {
  const dynamic = execFileSync('readelf', ['--wide', '--dynamic', '--version-info', file], {
    encoding: 'utf8',
  });
  if (/\(NEEDED\)|\(VERNEED\)|GLIBC/.test(dynamic)) {
    throw new Error(`${file} depends on a C library:\n${dynamic}`);
  }
}

if (import.meta.main) {
  if (platform !== 'linux') throw new Error('sendfile(2) as it is used here is of Linux');
  const isAll = argv.includes('--all');
  for (const architecture of ARCHITECTURES) {
    if (isAll || hasCompiler(architecture)) console.log(buildNative(architecture));
    else console.log(`no compiler for ${architecture}: ${compilerOf(architecture)}`);
  }
}
