import { networkInterfaces } from 'node:os';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { ClientFile } from '../../../src/cli/client-files.ts';
import { runLine, serveAdministration } from '../../support/command-line.ts';
import { parseToml } from '../../support/toml.ts';

const KINDS = ['dockerd', 'containerd', 'podman', 'buildkit', 'k3s'];

/** Of the scripted mirror: Docker Hub by default, and ghcr.io. */
async function filesOf(kind: string, mirror = 'http://mirror:5000'): Promise<readonly ClientFile[]> {
  await using served = await serveAdministration();
  const { code, stdout } = await runLine(['client-config', kind, '--mirror', mirror, '--json'], served.url);
  expect(code).toBe(0);
  return JSON.parse(stdout) as readonly ClientFile[];
}

async function contentOf(kind: string, mirror?: string): Promise<string> {
  const files = await filesOf(kind, mirror);
  return files.at(-1)!.content;
}

describe('client-config', () => {
  it('dockerd: a mirror may speak HTTP, a registry that is named may not', async () => {
    expect(JSON.parse(await contentOf('dockerd'))).toEqual({
      'registry-mirrors': ['http://mirror:5000'],
      'insecure-registries': ['mirror:5000'],
    });
    expect(JSON.parse(await contentOf('dockerd', 'https://mirror'))).toEqual({
      'registry-mirrors': ['https://mirror'],
    });
  });

  it('dockerd: by its path where Docker Hub is not the default', async () => {
    await using served = await serveAdministration();
    const { content } = served.administration;
    const upstreams = content.state.upstreams.map((upstream) => ({
      ...upstream,
      isDefault: !upstream.isDefault,
    }));
    content.state = { ...content.state, upstreams };
    const { stdout } = await runLine(
      ['client-config', 'dockerd', '--mirror', 'http://mirror:5000'],
      served.url,
    );
    expect(stdout).toContain('"http://mirror:5000/docker.io"');
  });

  it('containerd: a hosts.toml for each namespace, and where they are', async () => {
    const [config, ...hosts] = await filesOf('containerd');
    expect(parseToml(config!.content)).toEqual({
      version: 3,
      plugins: { 'io.containerd.cri.v1.images': { registry: { config_path: '/etc/containerd/certs.d' } } },
    });
    expect(hosts.map(({ file, content }) => [file, parseToml(content)])).toEqual(
      [
        ['docker.io', 'https://registry-1.docker.io'],
        ['registry-1.docker.io', 'https://registry-1.docker.io'],
        ['ghcr.io', 'https://ghcr.io'],
      ].map(([namespace, server]) => [
        `/etc/containerd/certs.d/${namespace}/hosts.toml`,
        { server, host: { 'http://mirror:5000': { capabilities: ['pull', 'resolve'] } } },
      ]),
    );
  });

  it('podman: the path says which registry is meant', async () => {
    const { registry } = parseToml(await contentOf('podman')) as { registry: readonly unknown[] };
    expect(registry).toHaveLength(3);
    expect(registry).toContainEqual({
      prefix: 'ghcr.io',
      location: 'ghcr.io',
      mirror: [{ location: 'mirror:5000/ghcr.io', insecure: true }],
    });
    expect(await contentOf('podman', 'https://mirror')).not.toContain('insecure');
  });

  // podman refuses to pull anything from a registry whose mirror's location is no name.
  it('podman: has no colon in a path', async () => {
    await using served = await serveAdministration();
    const { content } = served.administration;
    const upstreams = [
      { namespaces: ['first:5000'], isDefault: true },
      { namespaces: ['second:5000', 'second'], isDefault: false },
      { namespaces: ['third:5000'], isDefault: false },
    ].map((fields) => ({ ...content.state.upstreams[0]!, url: 'https://r:5000', ...fields }));
    content.state = { ...content.state, upstreams };
    const { stdout } = await runLine(
      ['client-config', 'podman', '--mirror', 'http://mirror:5000'],
      served.url,
    );
    const { registry } = parseToml(stdout) as { registry: readonly { mirror: [{ location: string }] }[] };
    const locations = registry.map(({ mirror: [{ location }] }) => location);
    expect(locations).toEqual(['mirror:5000', 'mirror:5000/second', 'mirror:5000/second']);
    expect(stdout).toContain("# third:5000: its port can't stand in a path");
  });

  it('buildkit: mirrors have no scheme', async () => {
    expect(parseToml(await contentOf('buildkit'))).toMatchObject({
      registry: { 'docker.io': { mirrors: ['mirror:5000'] }, 'mirror:5000': { http: true } },
    });
    expect(await contentOf('buildkit', 'https://mirror:5000')).not.toContain('http = true');
  });

  it('k3s: an endpoint for each namespace', async () => {
    const endpoint = ['http://mirror:5000'];
    expect(parse(await contentOf('k3s'))).toEqual({
      mirrors: { 'docker.io': { endpoint }, 'registry-1.docker.io': { endpoint }, 'ghcr.io': { endpoint } },
    });
  });

  it.each(KINDS)('%s: says into which file it belongs', async (kind) => {
    await using served = await serveAdministration();
    const { stdout } = await runLine(['client-config', kind, '--mirror', 'https://mirror'], served.url);
    const files = await filesOf(kind, 'https://mirror');
    expect(files.length).toBeGreaterThan(0);
    for (const { file, content } of files) {
      expect(stdout).toContain(`# ${file}`);
      expect(stdout).toContain(content);
    }
  });

  it('reads the configuration where no mirror is named, TLS and ports of namespaces included', async () => {
    const env = {
      ENTREPOT_LISTEN: '10.1.2.3:5443',
      ENTREPOT_UPSTREAM_URL: 'http://registry.example.com:8080',
    };
    const { code, stdout } = await runLine(['client-config', 'containerd', '--json'], undefined, { env });
    expect(code).toBe(0);
    const files = JSON.parse(stdout) as readonly ClientFile[];
    const own = files.find(({ file }) => file.endsWith('/registry.example.com_8080_/hosts.toml'));
    expect(parseToml(own!.content)).toEqual({
      server: 'http://registry.example.com:8080',
      host: { 'http://10.1.2.3:5443': { capabilities: ['pull', 'resolve'] } },
    });
  });

  it('names an address that others can use where the mirror listens on all', async () => {
    const env = { ENTREPOT_LISTEN: ':5000' };
    const { stdout } = await runLine(['client-config', 'k3s'], undefined, { env });
    expect(stdout).not.toContain('0.0.0.0');
    const hasAddress = Object.values(networkInterfaces())
      .flatMap((list) => list ?? [])
      .some(({ internal, family }) => !internal && family === 'IPv4');
    expect(stdout).toMatch(hasAddress ? /http:\/\/\d+\.\d+\.\d+\.\d+:5000"/ : /http:\/\/[^:]+:5000"/);
  });

  it.each(['mirror:5000', 'http://mirror/path', 'http://u:p@mirror', 'ftp://mirror'])(
    'takes no %j as the mirror',
    async (mirror) => {
      const { code } = await runLine(['client-config', 'k3s', '--mirror', mirror], undefined);
      expect(code).toBe(2);
    },
  );
});
