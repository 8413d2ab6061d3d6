/** The image that the Dockerfile makes, run by a real dockerd as deploy/ runs it. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { blobsOf, type Catalog } from './support/catalog.ts';
import { DockerHost } from './support/docker-host.ts';
import { entrepotImage, IMAGE } from './support/entrepot-image.ts';
import { createNetwork } from './support/network.ts';
import { run } from './support/run.ts';
import { until } from './support/until.ts';
import { blobDownloads, type UpstreamRegistry } from './support/upstream-registry.ts';
import { useWorkspace } from './support/workspace.ts';
import { startFullUpstream } from './support/world.ts';

const UNIT = join(import.meta.dirname, '../../deploy/systemd/entrepot.service');
const HARDENED = ['--read-only', '--cap-drop=ALL', '--security-opt=no-new-privileges', '--network=host'];
/** The image's own health check, sooner than in its ten seconds. */
const SOON = '--health-interval=1s';

const workspace = useWorkspace();
let catalog: Catalog;
let upstream: UpstreamRegistry;
let server: DockerHost;
let client: DockerHost;

beforeAll(async () => {
  const network = await createNetwork(workspace(), ['client']);
  ({ upstream, catalog } = await startFullUpstream(workspace(), network.hub));
  const archive = await entrepotImage();
  const mirror = { url: `http://${network.hub.address}:5000` };
  server = await DockerHost.open(workspace(), mirror, network.hub);
  client = await DockerHost.open(workspace(), mirror, network.nodes[0]);
  await server.docker('load', '--input', archive);
});

/** Of `docker inspect`. */
async function inspect(format: string): Promise<string> {
  return (await server.docker('inspect', '--format', format, 'mirror')).trim();
}

async function start(...options: readonly string[]): Promise<void> {
  const env = [`--env=ENTREPOT_UPSTREAM_URL=${upstream.url}`, '--env=ENTREPOT_CACHE_MAX_SIZE=20GiB'];
  await server.docker('run', '--detach', '--name=mirror', ...HARDENED, ...env, ...options, IMAGE);
  await until('the mirror is healthy', async () => (await inspect('{{.State.Health.Status}}')) === 'healthy');
}

/** As `docker stop` with its own patience, which is longer than the mirror takes with nothing to do. */
async function stop(): Promise<void> {
  await server.docker('stop', '--time=30', 'mirror');
  expect(await inspect('{{.State.ExitCode}} {{.State.OOMKilled}}')).toBe('0 false');
}

describe('the image', () => {
  it('becomes healthy as a user without privileges on a root that it can not write', async () => {
    await start('--volume=cache:/var/lib/entrepot');
    expect(await inspect('{{.Config.User}}')).toBe('65532:65532');
    const status = await server.docker('exec', 'mirror', 'cat', '/proc/1/status');
    expect(status).toMatch(/^Uid:\t65532\t65532\t65532\t65532$/m);
    expect(status).toMatch(/^CapEff:\t0+$/m);
    expect(status).toMatch(/^CapBnd:\t0+$/m);
    await expect(server.docker('exec', 'mirror', 'touch', '/opt/entrepot/new')).rejects.toThrow(
      'Read-only file system',
    );
  });

  it('is pulled through by another dockerd, and asks the upstream for each layer once', async () => {
    await client.pull(catalog.alpine);
    await client.check(catalog.alpine);
    expect(blobDownloads(await upstream.requests())).toEqual(
      Object.fromEntries(blobsOf(catalog.alpine.amd64).map((digest) => [digest, 1])),
    );
  });

  it('ends by itself when it is stopped, within the grace', stop);

  it('has the cache again in the next container with its volume, while the upstream is stopped', async () => {
    await server.docker('rm', 'mirror');
    await upstream.whileStopped(async () => {
      await start('--volume=cache:/var/lib/entrepot', SOON);
      await client.docker('image', 'prune', '--all', '--force');
      await client.pull(catalog.alpine);
    });
    await stop();
  });

  it('needs no system call but those that the systemd unit leaves it', async () => {
    await server.docker('rm', 'mirror');
    const profile = workspace().path('seccomp.json');
    await writeFile(profile, JSON.stringify(await seccompProfile()));
    await start(
      `--security-opt=seccomp=${profile}`,
      ...['--env=ENTREPOT_SENDFILE=always', '--env=ENTREPOT_WORKERS=2', SOON],
    );
    expect(await server.docker('exec', 'mirror', 'cat', '/proc/1/status')).toMatch(/^Seccomp:\t2$/m);
    await client.pull(catalog.debian);
    await client.check(catalog.debian);
    // From the cache too.
    await client.docker('image', 'prune', '--all', '--force');
    await client.pull(catalog.debian);
    await stop();
  });

  it('shows its version, and refuses a variable that it does not know', async () => {
    const once = ['run', '--rm', ...HARDENED];
    const { version } = JSON.parse(
      await readFile(join(import.meta.dirname, '../../package.json'), 'utf8'),
    ) as { version: string };
    expect(await server.docker(...once, IMAGE, '--version')).toContain(version);
    await expect(server.docker(...once, '--env=ENTREPOT_LISTN=:5000', IMAGE)).rejects.toThrow(
      'ENTREPOT_LISTN',
    );
  });

  it('carries nothing of where its packages came from', async () => {
    const config = await server.docker('image', 'inspect', IMAGE);
    const history = await server.docker('history', '--no-trunc', IMAGE);
    expect(config + history).not.toMatch(/npm_config|npmrc:|cafile/);
  });
});

/** What the unit's SystemCallFilter comes to, for dockerd. */
async function seccompProfile(): Promise<object> {
  const unit = await readFile(UNIT, 'utf8');
  const allowed = await callsOf('@default');
  for (const [, value = ''] of unit.matchAll(/^SystemCallFilter=(.*)$/gm)) {
    const isTaken = value.startsWith('~');
    for (const set of value.replace('~', '').split(' ')) {
      for (const call of await callsOf(set)) {
        if (isTaken) allowed.delete(call);
        else allowed.add(call);
      }
    }
  }
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    syscalls: [{ names: [...allowed], action: 'SCMP_ACT_ALLOW' }],
  };
}

/** A set of systemd's with the sets in it. */
async function callsOf(set: string): Promise<Set<string>> {
  const lines = (await run(['systemd-analyze', 'syscall-filter', set])).split('\n').slice(1);
  const calls = new Set<string>();
  for (const line of lines.map((text) => text.trim()).filter((text) => /^[@a-z_]/.test(text))) {
    for (const call of line.startsWith('@') ? await callsOf(line) : [line]) calls.add(call);
  }
  return calls;
}
