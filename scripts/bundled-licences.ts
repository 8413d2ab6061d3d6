/** The licences of the packages whose code is in the bundle: most of them ask for their text to go along. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, sep } from 'node:path';

const LICENCE_FILE = /^(licen[cs]e|copying|notice)([.-].*)?$/i;
const RULE = '-'.repeat(80);

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
}

/** @param modules the files of the bundle's modules. @throws Error where a package names no licence */
export function licencesOf(modules: readonly string[]): string {
  const directories = new Set(modules.flatMap((file) => packageOf(file) ?? []));
  const texts = [...directories].sort().map((directory) => describe(directory));
  return ['The licences of the packages that are part of these programs.', ...texts].join(`\n\n${RULE}\n`);
}

function describe(directory: string): string {
  const { name, version, license } = readManifest(directory);
  if (license === undefined) throw new Error(`${name} names no licence`);
  const files = readdirSync(directory).filter((file) => LICENCE_FILE.test(file));
  const texts = files.map((file) => readFileSync(join(directory, file), 'utf8').trim());
  return [`${name} ${version}: ${license}`, ...texts].join('\n\n');
}

/** @returns the directory of the package that the file is of; undefined where it is of none */
function packageOf(file: string): string | undefined {
  const place = file.lastIndexOf(`${sep}node_modules${sep}`);
  if (place < 0) return undefined;
  for (let directory = dirname(file); directory.length > place; directory = dirname(directory)) {
    // Folders within a package may have one that says no more than "type": "module".
    const path = join(directory, 'package.json');
    if (existsSync(path) && 'version' in readManifest(directory)) return directory;
  }
  throw new Error(`${file} is of no package`);
}

function readManifest(directory: string): Manifest {
  return JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as Manifest;
}
