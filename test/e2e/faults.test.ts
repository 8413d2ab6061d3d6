/** Real clients pull while something goes wrong: upstream, in the mirror, on its disk, or with one of the clients. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { smallDisk } from '../support/mounted-disk.ts';
import { blobsOf, nameOf, type Catalog, type CatalogImage } from './support/catalog.ts';
import { ContainerdHost } from './support/containerd-host.ts';
import { DockerHost } from './support/docker-host.ts';
import { FaultyProxy, type Ending } from './support/faulty-proxy.ts';
import { Mirror, type MirrorOptions, type MirrorRequest } from './support/mirror.ts';
import { PodmanHost } from './support/podman-host.ts';
import type { OpenHost, PullingHost } from './support/pulling-host.ts';
import { runToFailure } from './support/run.ts';
import { SkopeoHost } from './support/skopeo-host.ts';
import { until } from './support/until.ts';
import type { UpstreamRegistry } from './support/upstream-registry.ts';
import { useWorkspace } from './support/workspace.ts';
import { startFullUpstream } from './support/world.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
/** What a cut may cost: after a FIN what the mirror's HTTP client had not passed on, after a RST also the socket's. */
const IN_FLIGHT: Readonly<Record<Ending, number>> = { FIN: 256 * KIB, RST: 8 * MIB };
/** A partial file is good up to its last checkpoint: one every 4 MiB. */
const LOST_IN_A_CRASH = 5 * MIB;

const docker: OpenHost = (space, mirror) => DockerHost.open(space, mirror);
const containerd: OpenHost = (space, mirror) => ContainerdHost.open(space, mirror);
const podman: OpenHost = (space, mirror) => PodmanHost.open(space, mirror);
const skopeo: OpenHost = (space, mirror) => SkopeoHost.open(space, mirror);

const workspace = useWorkspace();
let catalog: Catalog;
let upstream: UpstreamRegistry;

beforeAll(async () => {
  ({ upstream, catalog } = await startFullUpstream(workspace()));
});

interface Faulty {
  readonly mirror: Mirror;
  readonly proxy: FaultyProxy;
}

/** A mirror with an empty cache, and the one that does harm between it and the real upstream. */
async function startFaulty(options: Omit<MirrorOptions, 'upstreamUrl'> = {}): Promise<Faulty> {
  const proxy = await FaultyProxy.start(upstream.url);
  onTestFinished(() => proxy.stop());
  const mirror = await Mirror.start(workspace(), { ...options, upstreamUrl: proxy.url });
  onTestFinished(() => mirror.remove());
  return { mirror, proxy };
}

/** Each on a machine of its own, all at the same time. */
async function pullAll(mirror: Mirror, pulls: readonly (readonly [OpenHost, CatalogImage])[]): Promise<void> {
  await Promise.all(
    pulls.map(async ([open, image]) => {
      await using host = await open(workspace(), mirror);
      await pullAndCheck(host, image);
    }),
  );
}

async function pullAndCheck(host: PullingHost, image: CatalogImage): Promise<void> {
  await host.pull(image);
  await host.check(image);
}

/** Of all its blobs, as the real upstream has them. */
async function bytesOf({ repository, amd64 }: CatalogImage): Promise<number> {
  const lengths = blobsOf(amd64).map(async (digest) => {
    const answer = await fetch(`${upstream.url}/v2/${repository}/blobs/${digest}`, { method: 'HEAD' });
    return Number(answer.headers.get('content-length'));
  });
  return (await Promise.all(lengths)).reduce((sum, length) => sum + length, 0);
}

/** What clients asked for, when there are that many: a request is logged when its answer is over. */
async function blobRequests(mirror: Mirror, count: number): Promise<readonly MirrorRequest[]> {
  const ofBlobs = async () => (await mirror.requests()).filter(({ route }) => route === 'blob');
  await until(`${count} requests of blobs are logged`, async () => (await ofBlobs()).length >= count);
  return ofBlobs();
}

describe('an upstream that breaks off in the middle of every blob', () => {
  it.each<{ times: number; by: Ending; clients: readonly OpenHost[] }>([
    { times: 1, by: 'FIN', clients: [docker] },
    { times: 1, by: 'RST', clients: [docker] },
    { times: 5, by: 'FIN', clients: [docker, containerd, podman] },
    { times: 5, by: 'RST', clients: [docker, containerd, podman] },
  ])('$times times by $by is noticed by no client', async ({ times, by, clients }) => {
    const { mirror, proxy } = await startFaulty();
    proxy.cutEveryBlob({ times, by });
    const pulls = clients.map((open) => [open, catalog.app] as const);
    await pullAll(mirror, [...pulls, [skopeo, catalog.debian]]);

    const { app, debian } = catalog;
    const count = clients.length * blobsOf(app.amd64).length + blobsOf(debian.amd64).length;
    const requests = await blobRequests(mirror, count);
    expect(requests.filter(({ status, aborted }) => status !== 200 || aborted)).toEqual([]);
    expect(requests.length).toBe(count);
    for (const { size, sentBytes, starts } of Object.values(proxy.blobs)) {
      expect(starts.length).toBe(times + 1);
      expect(starts).toEqual(starts.toSorted((one, other) => one - other));
      expect(sentBytes).toBeLessThanOrEqual(size + times * Math.min(IN_FLIGHT[by], size));
    }
  });
});

describe('a mirror that is killed in the middle of a pull', () => {
  /** Nothing that upstream has sent is still on its way. */
  async function isAllOnDisk({ mirror, proxy }: Faulty): Promise<boolean> {
    const files = await readdir(join(mirror.dataDir, 'spool'));
    for (const [digest, { size, sentBytes }] of Object.entries(proxy.blobs)) {
      const file = files.find((name) => name.startsWith(digest.replace(':', '-')) && /[0-9a-f]$/.test(name));
      // It is stored, or its answer is held back from the start.
      if (file === undefined && (sentBytes === size || sentBytes === 0)) continue;
      if (file === undefined || (await stat(join(mirror.dataDir, 'spool', file))).size < sentBytes)
        return false;
    }
    return true;
  }

  it('goes on where it was after its restart, and so does docker', async () => {
    const { mirror, proxy } = await startFaulty();
    await using machine = await DockerHost.open(workspace(), mirror);
    const held = proxy.holdAfter((await bytesOf(catalog.debian)) / 2);
    const pull = machine.pull(catalog.debian);
    await held;
    await until('all that was sent is on the disk', () => isAllOnDisk({ mirror, proxy }));
    await mirror.kill();
    proxy.heal();
    await mirror.start();
    await pull;
    await machine.check(catalog.debian);

    const requests = await blobRequests(mirror, blobsOf(catalog.debian.amd64).length);
    expect(requests.map(({ status }) => status)).toContain(206);
    expect(Object.values(proxy.blobs).filter(({ starts }) => starts.length > 1)).not.toEqual([]);
    for (const { size, sentBytes } of Object.values(proxy.blobs)) {
      expect(sentBytes).toBeLessThanOrEqual(size + LOST_IN_A_CRASH);
    }
  });
});

describe('an upstream that is stopped', () => {
  it('keeps nobody from an image that was pulled before, by its tag, whose time to live is over', async () => {
    const { mirror, proxy } = await startFaulty({ tagTtl: '1s' });
    await pullAll(mirror, [[skopeo, catalog.app]]);
    await proxy.stop();
    const url = `${mirror.url}/v2/${catalog.app.repository}/manifests/${catalog.app.tag}`;
    await until('the time to live of the tag is over', async () => {
      await fetch(url, { method: 'HEAD' });
      return (await mirror.requests()).at(-1)?.source === 'stale';
    });
    await pullAll(
      mirror,
      [docker, containerd, podman].map((open) => [open, catalog.app]),
    );
    const requests = await blobRequests(mirror, 4 * blobsOf(catalog.app.amd64).length);
    expect(requests.filter(({ status }) => status !== 200)).toEqual([]);
  });
});

describe('an upstream that flips a byte of a layer', () => {
  it('makes pulls fail, leaves nothing of it behind, and is forgotten when it has healed', async () => {
    const { mirror, proxy } = await startFaulty();
    const wrong = catalog.app.amd64.layers.at(-1)!;
    proxy.flipByteOf(wrong);
    // It waits 5 s before its second try, 10 s before its third, and so on to a fifth.
    const settings = { 'max-download-attempts': 1 };
    await using ofDocker = await DockerHost.open(workspace(), mirror, undefined, settings);
    await using ofContainerd = await containerd(workspace(), mirror);
    await using ofPodman = await podman(workspace(), mirror);
    const machines = [ofDocker, ofContainerd, ofPodman];
    const results = await Promise.allSettled(machines.map((machine) => machine.pull(catalog.app)));
    expect(results.map(({ status }) => status)).toEqual(machines.map(() => 'rejected'));
    expect(await ofDocker.docker('images', '--quiet')).toBe('');
    // Nor does whoever does not verify get a body that looks whole.
    const blob = await fetch(`${mirror.url}/v2/${catalog.app.repository}/blobs/${wrong}`);
    await expect(blob.bytes()).rejects.toThrow();
    await until('nothing of it is left', async () => {
      const files = await readdir(mirror.dataDir, { recursive: true });
      return !files.some((path) => path.includes(wrong.slice('sha256:'.length)));
    });
    expect(await mirror.storedBlobs()).not.toContain(wrong);

    proxy.heal();
    await Promise.all(machines.map((machine) => pullAndCheck(machine, catalog.app)));
    expect(await mirror.storedBlobs()).toContain(wrong);
  });
});

describe('a disk that is far too small for an image', () => {
  it('is noticed by none of the clients that pull at once', async () => {
    await using disk = await smallDisk(8 * MIB);
    const { mirror, proxy } = await startFaulty({ dataDir: disk.dataDir });
    const clients = [docker, containerd, podman];
    await pullAll(mirror, [...clients.map((open) => [open, catalog.app] as const), [skopeo, catalog.debian]]);
    const { app, debian } = catalog;
    const count = clients.length * blobsOf(app.amd64).length + blobsOf(debian.amd64).length;
    const requests = await blobRequests(mirror, count);
    expect(requests.filter(({ status, aborted }) => status !== 200 || aborted)).toEqual([]);
    expect(requests.length).toBe(count);
    // What finds no room comes once for each client that wants it; where the room ends in the middle, once more.
    for (const digest of app.amd64.layers) {
      expect(proxy.blobs[digest]!.starts.length).toBeLessThanOrEqual(clients.length + 1);
    }
    for (const digest of blobsOf(debian.amd64)) {
      expect(proxy.blobs[digest]!.starts.length).toBeLessThanOrEqual(2);
    }
    await pullAll(mirror, [[skopeo, catalog.alpine]]);
    await mirror.stop();
  });
});

describe('a pull that its user interrupts', () => {
  it('does not disturb another of the same image, nor cost upstream a byte', async () => {
    const { mirror, proxy } = await startFaulty();
    await using ofDocker = await DockerHost.open(workspace(), mirror);
    await using ofContainerd = await containerd(workspace(), mirror);
    const bytes = await bytesOf(catalog.app);
    const held = proxy.holdAfter(bytes / 2);
    const interruption = new AbortController();
    const interrupted = runToFailure(ofDocker.argv('pull', nameOf(catalog.app)), {
      interrupt: interruption.signal,
    });
    const other = ofContainerd.pull(catalog.app);
    await held;
    interruption.abort();
    await interrupted;
    await until('docker has left', async () => (await mirror.requests()).some(({ aborted }) => aborted));
    proxy.heal();
    await other;
    await ofContainerd.check(catalog.app);
    expect(proxy.sentBytes).toBe(bytes);
    const requests = await mirror.requests();
    const ofTheOther = requests.filter(({ userAgent }) => userAgent?.startsWith('containerd/'));
    expect(ofTheOther.filter(({ status, aborted }) => status !== 200 || aborted)).toEqual([]);
  });
});

describe('a mirror that is switched offline', () => {
  it('serves what it holds, refuses the rest at once, and asks upstream nothing', async () => {
    const upstreamUrl = upstream.url;
    const online = await Mirror.start(workspace(), { upstreamUrl });
    await pullAll(online, [[skopeo, catalog.app]]);
    await online.stop();
    const asked = (await upstream.requests()).length;
    const { dataDir } = online;
    const settings = { ENTREPOT_OFFLINE: 'true' };
    const mirror = await Mirror.start(workspace(), { upstreamUrl, dataDir, settings });
    onTestFinished(() => mirror.remove());
    await using machine = await DockerHost.open(workspace(), mirror);
    await pullAndCheck(machine, catalog.app);
    await pullAll(mirror, [[podman, catalog.app]]);

    const { repository, tag } = catalog.alpine;
    const said = await runToFailure(machine.argv('pull', `${mirror.address}/${repository}:${tag}`));
    // Of a 5xx clients show its reason phrase, and nothing of its body.
    expect(said).toMatch(/503 the mirror is offline/);
    const answer = await fetch(`${mirror.url}/v2/${repository}/manifests/${tag}`);
    expect(await answer.text()).toContain('the mirror is offline');
    expect(await upstream.requests(asked)).toEqual([]);
  });
});
