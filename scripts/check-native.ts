/**
 * Tries what scripts/build-native.ts makes with each C library and architecture that there is a compiler for: loads it,
 * has it send, cancels, and ends it. With `--all` it fails where a compiler or an emulator is missing.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { arch, argv } from 'node:process';
import { nativeFile } from './build-native.ts';

const HOST = join(import.meta.dirname, '../native/check/host.c');

interface Machine {
  readonly name: string;
  readonly architecture: string;
  readonly compiler: readonly string[];
  /** What runs what it compiles; nothing where the machine does. */
  readonly emulator?: readonly string[];
}

const ARM: readonly string[] = ['qemu-aarch64-static', '-L', '/usr/aarch64-linux-gnu'];

const MACHINES: readonly Machine[] = [
  { name: `${arch}, glibc`, architecture: arch, compiler: ['cc', '-ldl'] },
  { name: `${arch}, musl`, architecture: arch, compiler: ['musl-gcc'] },
  ...(arch === 'x64'
    ? [
        {
          name: 'arm64, glibc',
          architecture: 'arm64',
          compiler: ['aarch64-linux-gnu-gcc', '-ldl'],
          emulator: ARM,
        },
      ]
    : []),
];

function isThere([program = '']: readonly string[]): boolean {
  return spawnSync(program, ['--version']).error === undefined;
}

const directory = mkdtempSync(join(tmpdir(), 'entrepot-check-'));
try {
  for (const { name, architecture, compiler, emulator } of MACHINES) {
    if (!argv.includes('--all') && !(isThere(compiler) && (!emulator || isThere(emulator)))) {
      console.log(`${name}: not tried`);
      continue;
    }
    const [program, ...libraries] = compiler as [string, ...string[]];
    const host = join(directory, 'host');
    execFileSync(program, ['-std=gnu11', '-Wall', '-rdynamic', HOST, '-o', host, ...libraries], {
      stdio: 'inherit',
    });
    const [runner, ...args] = [...(emulator ?? []), host, nativeFile(architecture)];
    console.log(`${name}: ${execFileSync(runner, args, { encoding: 'utf8', timeout: 60_000 }).trim()}`);
  }
} finally {
  rmSync(directory, { recursive: true });
}
