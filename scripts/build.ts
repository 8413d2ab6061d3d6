/**
 * Makes dist/ of src/: the programs, bundled with the packages that are not installed beside them, the files that they
 * read, and the licences of what is bundled. For the package and the image. What native code is there stays.
 */
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { extname, join } from 'node:path';
import { argv } from 'node:process';
import { bundle, bundlePage } from './bundle.ts';
import { licencesOf } from './bundled-licences.ts';

const ROOT = join(import.meta.dirname, '..');
const SRC = join(ROOT, 'src');

/** Files beside the code that it opens by its own place, those of the web page among them. */
const ASSETS: readonly string[] = ['.sql', '.html', '.css', '.svg'];
/** What scripts/build-native.ts makes. */
const NATIVE = 'native';

/** @param target the directory that is made anew */
export async function build(target: string): Promise<void> {
  mkdirSync(target, { recursive: true });
  for (const name of readdirSync(target)) {
    if (name !== NATIVE) rmSync(join(target, name), { recursive: true });
  }
  const modules = await bundle(SRC, target);
  cpSync(SRC, target, {
    recursive: true,
    filter: (path) => (statSync(path).isDirectory() ? hasAssets(path) : isAsset(path)),
  });
  await bundlePage(join(SRC, 'ui'), join(target, 'ui'));
  writeFileSync(join(target, 'LICENSES.txt'), licencesOf(modules));
  // npm does so for a package that it installs, but nobody does for a copy of dist/.
  chmodSync(join(target, 'main.js'), 0o755);
}

const isAsset = (path: string): boolean => ASSETS.includes(extname(path));

function hasAssets(directory: string): boolean {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' }).some(isAsset);
}

if (import.meta.main) {
  const [, , target = join(ROOT, 'dist'), ...rest] = argv;
  if (rest.length > 0) throw new Error('usage: node scripts/build.ts [DIRECTORY]');
  if (!existsSync(join(ROOT, 'node_modules'))) throw new Error('the packages are not installed; run: npm ci');
  await build(target);
}
