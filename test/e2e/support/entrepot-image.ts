/** Our own image, as the Dockerfile makes it, on a base that is made here: a Debian with Node.js and npm. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { glob, mkdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from './free-port.ts';
import { run } from './run.ts';
import { UpstreamRegistry } from './upstream-registry.ts';
import { Workspace } from './workspace.ts';
import { CACHE, openWorld } from './world.ts';

const ROOT = join(import.meta.dirname, '../../..');
/** What the Dockerfile copies, and itself. */
const CONTEXT = [
  ...['Dockerfile', '.dockerignore', 'LICENSE', 'package.json', 'package-lock.json', '.npmrc'],
  ...['{scripts,src}/**', 'dist/native/**'],
];
/** To be raised with every change of how it is built here. */
const RECIPE = 1;
const BUILD_TIMEOUT_MS = 240_000;

/** As the deploy files name it. */
export const IMAGE = 'entrepot:latest';

/** A docker-archive of it; built again only where something has changed of what it is built of. */
export async function entrepotImage(): Promise<string> {
  const archive = join(CACHE, `image-${RECIPE}-${await contextDigest()}.tar`);
  if (await exists(archive)) return archive;
  await mkdir(CACHE, { recursive: true });
  for await (const old of glob(join(CACHE, 'image-*.tar'))) await rm(old, { force: true });
  const building = `${archive}-${process.pid}`;
  try {
    await build(building);
    await rename(building, archive);
  } finally {
    await rm(building, { force: true });
  }
  return archive;
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

async function contextDigest(): Promise<string> {
  const hash = createHash('sha256');
  const paths = await Array.fromAsync(glob(CONTEXT, { cwd: ROOT }));
  for (const path of paths.sort()) {
    if (!(await stat(join(ROOT, path))).isFile()) continue;
    const content = await readFile(join(ROOT, path));
    hash.update(`${path}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex').slice(0, 16);
}

/** In a workspace of its own: what buildah keeps goes with it. */
async function build(archive: string): Promise<void> {
  await using workspace = await Workspace.open();
  const storage = ['--root', workspace.path('root'), '--runroot', workspace.path('run')];
  const buildah = (...args: readonly string[]) =>
    run(['buildah', ...storage, '--storage-driver=vfs', ...args], { timeoutMs: BUILD_TIMEOUT_MS });
  await makeBase(workspace, buildah);
  await buildah(
    ...['build', '--isolation=chroot', '--network=host', '--layers=false', ...(await npmSettings(workspace))],
    // The other format has no health check.
    ...['--format=docker', '--build-arg=BASE=localhost/base', '--tag=entrepot', ROOT],
  );
  await buildah('push', '--format=v2s2', 'localhost/entrepot', `docker-archive:${archive}:${IMAGE}`);
}

/** `localhost/base`, of the Debian that the world's upstream has. */
async function makeBase(
  workspace: Workspace,
  buildah: (...args: readonly string[]) => Promise<string>,
): Promise<void> {
  const registry = await UpstreamRegistry.start(workspace, {
    storageDir: join((await openWorld()).dir, 'storage'),
    port: await freePort(),
    isReadOnly: true,
  });
  const debian = `docker://${new URL(registry.url).host}/library/debian:bookworm`;
  const base = (await buildah('from', '--tls-verify=false', debian)).trim();
  const npm = join(await realpath((await run(['sh', '-c', 'command -v npm'])).trim()), '../..');
  await buildah('copy', base, process.execPath, '/usr/local/bin/node');
  await buildah('copy', base, npm, '/usr/local/lib/node_modules/npm');
  const link = ['ln', '-s', '../lib/node_modules/npm/bin/npm-cli.js', '/usr/local/bin/npm'];
  await buildah('run', '--isolation=chroot', base, '--', ...link);
  await buildah('config', '--env=PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', base);
  await buildah('commit', '--squash', '--rm', base, 'localhost/base');
}

/** Where this machine gets its packages from is where the builder does, without a word of it in the image. */
async function npmSettings(workspace: Workspace): Promise<string[]> {
  // Outside our own folder: its settings are the builder's anyway.
  const { stdout } = await promisify(execFile)('npm', ['config', 'list', '--json'], { cwd: '/' });
  const { registry, cafile } = JSON.parse(stdout) as { registry: string; cafile?: string | null };
  const npmrc = workspace.path('npmrc');
  const lines = [`registry=${registry}`];
  const volumes = [`--volume=${npmrc}:/usr/local/etc/npmrc:ro`];
  const authorities = cafile ?? process.env['NODE_EXTRA_CA_CERTS'];
  if (authorities !== undefined) {
    lines.push('cafile=/usr/local/etc/npm-ca.crt');
    volumes.push(`--volume=${authorities}:/usr/local/etc/npm-ca.crt:ro`);
  }
  await writeFile(npmrc, `${lines.join('\n')}\n`);
  return volumes;
}
