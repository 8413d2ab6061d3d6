/** Builds what the upstream holds, once: a registry's storage full of real images, kept between runs. */
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { imageAt, type Catalog } from './catalog.ts';
import { makeBusyboxTree, makeDebianTree, makePlatformTree } from './file-trees.ts';
import { freePort } from './free-port.ts';
import type { Layer } from './layers.ts';
import { OciLayout } from './oci-layout.ts';
import type { NetworkHost } from './network.ts';
import { run } from './run.ts';
import { UpstreamRegistry } from './upstream-registry.ts';
import { Workspace } from './workspace.ts';

/** What takes long to make and is kept between runs. */
export const CACHE = process.env['ENTREPOT_E2E_CACHE'] ?? join(tmpdir(), 'entrepot-e2e');

/** To be raised with every change of what is built, so that a kept world of another kind is not used. */
const RECIPE = 1;
const DEBIAN_LAYERS = [1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144];
const APP_LAYERS = [1, 2, 4, 8];

const IS_AMD64 = ['sh', '-c', 'grep -qx amd64 /etc/platform'];
/** Compares every file of every package with the checksum that the package came with. */
const IS_WHOLE = ['dpkg', '--verify'];

export interface FullUpstream {
  readonly upstream: UpstreamRegistry;
  readonly catalog: Catalog;
}

/** With the same images every time; nobody can change them. */
export async function startFullUpstream(workspace: Workspace, host?: NetworkHost): Promise<FullUpstream> {
  const { dir, catalog } = await openWorld();
  const upstream = await UpstreamRegistry.start(workspace, {
    storageDir: join(dir, 'storage'),
    port: await freePort(),
    isReadOnly: true,
    host,
  });
  return { upstream, catalog };
}

/** The folder with the storage, and what is in it. */
export async function openWorld(): Promise<{ readonly dir: string; readonly catalog: Catalog }> {
  const dir = join(CACHE, `world-${RECIPE}`);
  const read = () => readFile(join(dir, 'catalog.json'), 'utf8');
  const json = await read().catch(async () => {
    await build(dir);
    return read();
  });
  return { dir, catalog: JSON.parse(json) as Catalog };
}

/** In a folder beside it first: a build that was interrupted leaves nothing that looks like a world. */
async function build(dir: string): Promise<void> {
  await mkdir(dirname(dir), { recursive: true });
  const building = await mkdtemp(`${dir}-`);
  try {
    await using workspace = await Workspace.open();
    const registry = await UpstreamRegistry.start(workspace, {
      storageDir: join(building, 'storage'),
      port: await freePort(),
      isReadOnly: false,
    });
    await pushImages(workspace, registry.url);
    await writeFile(join(building, 'catalog.json'), JSON.stringify(await readCatalog(registry)));
    await registry.stop();
    await rename(building, dir);
  } catch (error) {
    await rm(building, { recursive: true, force: true });
    throw error;
  }
}

async function pushImages(workspace: Workspace, registryUrl: string): Promise<void> {
  const registry = `docker://${new URL(registryUrl).host}`;
  const push = (source: string, target: string, ...options: readonly string[]) =>
    run(['skopeo', 'copy', '--all', '--dest-tls-verify=false', ...options, source, target]);
  const tree = (name: string) => workspace.path('trees', name);
  await makeDebianTree(await workspace.folder('trees', 'debian'));
  await makeBusyboxTree(tree('busybox'), tree('debian'));
  await makePlatformTree(tree('amd64'), 'amd64');
  await makePlatformTree(tree('arm64'), 'arm64');

  const layout = await OciLayout.create(workspace.path('layout'));
  const layersOf = async (name: string, weights: readonly number[]): Promise<Layer[]> =>
    layout.addTree(tree(name), weights);
  const [busybox, amd64, arm64] = [
    await layersOf('busybox', [1]),
    await layersOf('amd64', [1]),
    await layersOf('arm64', [1]),
  ];
  const index = await layout.addIndex([
    await layout.addImage('amd64', [...busybox, ...amd64]),
    await layout.addImage('arm64', [...busybox, ...arm64]),
  ]);
  const alpine = await layout.name('alpine', index);
  await push(alpine, `${registry}/library/alpine:latest`);
  await push(alpine, `${registry}/library/alpine:3`);

  const debian = await layout.addImage('amd64', await layersOf('debian', DEBIAN_LAYERS));
  const bookworm = await layout.name('debian', debian);
  await push(bookworm, `${registry}/library/debian:bookworm`, '--format=v2s2');

  const share = await layersOf('debian/usr/share', APP_LAYERS);
  const app = await layout.addImage('amd64', [...busybox, ...amd64, ...share]);
  await push(await layout.name('app', app), `${registry}/team/app:1`);
}

async function readCatalog({ url }: UpstreamRegistry): Promise<Catalog> {
  return {
    alpine: { ...(await imageAt(url, 'library/alpine', 'latest')), check: IS_AMD64 },
    debian: { ...(await imageAt(url, 'library/debian', 'bookworm')), check: IS_WHOLE },
    app: { ...(await imageAt(url, 'team/app', '1')), check: IS_AMD64 },
  };
}
