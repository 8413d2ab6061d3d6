/** The programs that the benchmark runs but does not bring along, and who has them. */
import { execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

export const PROGRAMS = {
  'docker-registry': { debianPackage: 'docker-registry' },
  nginx: { debianPackage: 'nginx-light' },
  cc: { debianPackage: 'gcc' },
} as const;

/** Debian has nginx here, which is on the path of the superuser only. */
const MORE_DIRECTORIES = ['/usr/sbin', '/usr/local/sbin'];

export type Program = keyof typeof PROGRAMS;

/** @returns undefined where it is not installed */
export function findProgram(name: string): string | undefined {
  const directories = [...(process.env['PATH'] ?? '').split(delimiter), ...MORE_DIRECTORIES];
  return directories.map((directory) => join(directory, name)).find(isExecutable);
}

/** Says by itself what is to be done. */
export class MissingError extends Error {}

/** @throws MissingError that names the Debian package */
export function program(name: Program): string {
  const path = findProgram(name);
  if (path === undefined) throw missing([PROGRAMS[name].debianPackage]);
  return path;
}

/** The Debian packages of what is missing, among them the headers that the load client is compiled with. */
export function missingPackages(): readonly string[] {
  const ofPrograms = Object.entries(PROGRAMS)
    .filter(([name]) => findProgram(name) === undefined)
    .map(([, { debianPackage }]) => debianPackage);
  const compiler = findProgram('cc');
  const hasHeaders = compiler === undefined || canInclude(compiler, 'openssl/ssl.h');
  return hasHeaders ? ofPrograms : [...ofPrograms, 'libssl-dev'];
}

export function missing(debianPackages: readonly string[]): MissingError {
  const command = `apt-get install ${debianPackages.join(' ')}`;
  return new MissingError(`the benchmark needs what is not installed; on Debian: ${command}`);
}

function canInclude(compiler: string, header: string): boolean {
  try {
    execFileSync(compiler, ['-E', '-x', 'c', '-'], {
      input: `#include <${header}>\n`,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    return true;
  } catch {
    return false;
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
