/** Makes dist/ of src/: JavaScript, what it reads at run time, and an executable main.js. For the package and the image. */
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, rmSync, statSync } from 'node:fs';
import { extname, join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const SRC = join(ROOT, 'src');
const DIST = join(ROOT, 'dist');

/** Files beside the code that it opens by its own place. */
const ASSETS: readonly string[] = ['.sql'];

rmSync(DIST, { recursive: true, force: true });
const compiler = join(ROOT, 'node_modules/typescript/bin/tsc');
execFileSync(process.execPath, [compiler, '--project', join(ROOT, 'tsconfig.build.json')], {
  stdio: 'inherit',
});
cpSync(SRC, DIST, {
  recursive: true,
  filter: (path) => statSync(path).isDirectory() || ASSETS.includes(extname(path)),
});
// npm does so for a package that it installs, but nobody does for a copy of dist/.
chmodSync(join(DIST, 'main.js'), 0o755);
