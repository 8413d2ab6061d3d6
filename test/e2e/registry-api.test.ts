import { readdir } from 'node:fs/promises';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { blobsOf, nameOf, type Catalog } from './support/catalog.ts';
import { ContainerdHost } from './support/containerd-host.ts';
import { DockerHost } from './support/docker-host.ts';
import { Mirror } from './support/mirror.ts';
import { run, runToFailure } from './support/run.ts';
import { checkFolder } from './support/skopeo-host.ts';
import { until } from './support/until.ts';
import { blobDownloads, type UpstreamRegistry } from './support/upstream-registry.ts';
import { useWorkspace } from './support/workspace.ts';
import { startFullUpstream } from './support/world.ts';

const workspace = useWorkspace();
let catalog: Catalog;
let upstream: UpstreamRegistry;
let mirror: Mirror;
let before: number;

beforeAll(async () => {
  ({ upstream, catalog } = await startFullUpstream(workspace()));
});

beforeEach(async () => {
  mirror = await Mirror.start(workspace(), { upstreamUrl: upstream.url });
  before = (await upstream.requests()).length;
  return () => mirror.remove();
});

/** What upstream was asked in this test, as "METHOD path", without the probes of its API version. */
async function asked(): Promise<readonly string[]> {
  const requests = await upstream.requests(before);
  return requests.filter(({ path }) => path !== '/v2/').map(({ method, path }) => `${method} ${path}`);
}

function copy(source: string, folder: string, ...options: readonly string[]): Promise<string> {
  const argv = ['copy', '--src-tls-verify=false', `docker://${mirror.address}/${source}`];
  return run(['skopeo', ...options, ...argv, `dir:${workspace().path(folder)}`]);
}

describe('pulling by digest', () => {
  it('asks upstream for nothing but that digest and what it names', async () => {
    const { repository, digest, amd64 } = catalog.debian;
    await using machine = await DockerHost.open(workspace(), mirror);
    await machine.docker('pull', `${repository.replace('library/', '')}@${digest}`);
    expect((await asked()).toSorted()).toEqual(
      [
        `GET /v2/${repository}/manifests/${digest}`,
        ...blobsOf(amd64).map((blob) => `GET /v2/${repository}/blobs/${blob}`),
      ].toSorted(),
    );
  });
});

describe('an index of two platforms', () => {
  it('gives each platform its own image', async () => {
    const { repository, amd64, arm64 } = catalog.alpine;
    await copy(`${repository}:latest`, 'amd64', '--override-arch=amd64');
    await checkFolder(workspace().path('amd64'), amd64);
    await copy(`${repository}:latest`, 'arm64', '--override-arch=arm64');
    await checkFolder(workspace().path('arm64'), arm64!);
  });

  it('is copied whole, byte for byte', async () => {
    const { repository, digest } = catalog.alpine;
    const source = `docker://${mirror.address}/${repository}@${digest}`;
    const target = `oci:${workspace().path('whole')}`;
    const options = ['--all', '--preserve-digests', '--src-tls-verify=false'];
    await run(['skopeo', 'copy', ...options, source, target]);
    const blobs = await readdir(workspace().path('whole', 'blobs', 'sha256'));
    expect(blobs).toContain(digest.slice('sha256:'.length));
  });
});

describe('looking without pulling', () => {
  it('lists the tags that upstream has', async () => {
    const { repository } = catalog.alpine;
    const source = `docker://${mirror.address}/${repository}`;
    const listed = await run(['skopeo', 'list-tags', '--tls-verify=false', source]);
    expect(JSON.parse(listed)).toMatchObject({ Tags: ['3', 'latest'] });
  });

  it('costs upstream no download: the HEAD of a tag', async () => {
    const { repository, tag, digest } = catalog.debian;
    const url = `${mirror.url}/v2/${repository}/manifests/${tag}`;
    const answer = await fetch(url, { method: 'HEAD' });
    expect(answer.headers.get('docker-content-digest')).toBe(digest);
    expect(await asked()).toEqual([`HEAD /v2/${repository}/manifests/${tag}`]);
  });

  it('costs upstream no download: the HEAD of a blob', async () => {
    const { repository, tag, amd64 } = catalog.debian;
    await fetch(`${mirror.url}/v2/${repository}/manifests/${tag}`);
    const url = `${mirror.url}/v2/${repository}/blobs/${amd64.layers[0]!}`;
    const answer = await fetch(url, { method: 'HEAD' });
    expect(answer.status).toBe(200);
    expect(Number(answer.headers.get('content-length'))).toBeGreaterThan(0);
    expect(blobDownloads(await upstream.requests(before))).toEqual({});
  });
});

describe('the namespace that containerd names', () => {
  it('is understood, and named back', async () => {
    await using machine = await ContainerdHost.open(workspace(), mirror);
    await machine.pull(catalog.alpine);
    await until('the mirror has logged the pull', async () => {
      const requests = await mirror.requests();
      return requests.filter(({ route }) => route === 'blob').length === 3;
    });
    const requests = await mirror.requests();
    const ofContainerd = requests.filter(({ userAgent }) => userAgent?.startsWith('containerd/'));
    expect(ofContainerd.map(({ namespace }) => namespace)).toEqual(ofContainerd.map(() => 'docker.io'));
    const url = `${mirror.url}/v2/${catalog.alpine.repository}/manifests/latest?ns=docker.io`;
    const answer = await fetch(url);
    expect(answer.headers.get('oci-namespace')).toBe('docker.io');
  });
});

describe('pushing through the mirror', () => {
  /** Neither upstream nor the mirror itself has taken anything. */
  async function expectNothingStored(repository: string): Promise<void> {
    const writes = (await asked()).filter((request) => !/^(?:GET|HEAD) /.test(request));
    expect(writes).toEqual([]);
    const answer = await fetch(`${mirror.url}/v2/${repository}/tags/list`);
    expect(answer.status).toBe(404);
  }

  it('is refused to docker', async () => {
    await using machine = await DockerHost.open(workspace(), mirror);
    await machine.pull(catalog.alpine);
    const target = `${mirror.address}/team/pushed:1`;
    await machine.docker('tag', nameOf(catalog.alpine), target);
    const said = await runToFailure(machine.argv('push', target));
    expect(said).toMatch(/unsupported/i);
    await expectNothingStored('team/pushed');
  });

  it('is refused to skopeo', async () => {
    await copy('library/alpine:latest', 'to-push');
    const said = await runToFailure([
      ...['skopeo', 'copy', '--dest-tls-verify=false', `dir:${workspace().path('to-push')}`],
      `docker://${mirror.address}/team/pushed:1`,
    ]);
    expect(said).toMatch(/unsupported/i);
    await expectNothingStored('team/pushed');
  });
});
