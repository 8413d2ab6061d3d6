import { once } from 'node:events';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Finding } from '../../../src/cli/finding.ts';
import { runLine, serveAdministration, type ServedAdministration } from '../../support/command-line.ts';
import { NOW } from '../../support/scripted-content.ts';
import { tempDir } from '../../support/temp-dir.ts';

interface Served extends AsyncDisposable {
  readonly url: string;
}

/** @param place a socket's path, or an address of the loopback */
async function serve(answer: RequestListener, place = '127.0.0.1'): Promise<Served> {
  const server: Server = createServer(answer);
  const isPath = place.startsWith('/');
  if (isPath) server.listen(place);
  else server.listen(0, place);
  await once(server, 'listening');
  return {
    url: isPath ? place : `http://${place}:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

/** Says `NOW`, so that clocks agree with that of the command. */
function answering(status: number, headers: Record<string, string> = {}, body = ''): RequestListener {
  return (_request, response) =>
    response.writeHead(status, { date: new Date(NOW).toUTCString(), ...headers }).end(body);
}

/** A token service of its own behind a registry that wants tokens. */
async function serveRegistry(password: string): Promise<Served> {
  const tokens: RequestListener = (request, response) => {
    const isRight = request.headers.authorization === `Basic ${btoa(`me:${password}`)}`;
    response.writeHead(isRight ? 200 : 401).end(isRight ? '{"token":"t"}' : '{}');
  };
  return serve((request, response) => {
    if (request.url?.startsWith('/token')) tokens(request, response);
    else {
      const realm = `Bearer realm="http://${request.headers.host}/token",service="registry"`;
      answering(401, { 'www-authenticate': realm })(request, response);
    }
  });
}

async function findingsOf(
  args: readonly string[],
  mirror: ServedAdministration | undefined,
  env: Readonly<Record<string, string>> = {},
  now?: () => number,
) {
  const options = now ? { env, now } : { env };
  const { code, stdout } = await runLine(['doctor', '--json', ...args], mirror?.url, options);
  return { code, findings: JSON.parse(stdout) as readonly Finding[] };
}

/** As for a mirror on this machine. */
async function examined(env: Readonly<Record<string, string>>, now?: () => number) {
  await using mirror = await serveAdministration();
  const local = { ENTREPOT_ADMIN_LISTEN: new URL(mirror.url).host, ...env };
  await using directory = await tempDir();
  return await findingsOf([], undefined, { ENTREPOT_DATA_DIR: directory.path, ...local }, now);
}

const of = (findings: readonly Finding[], check: string) =>
  findings.filter((finding) => finding.check.startsWith(check));

describe('doctor, of the mirror', () => {
  it('finds nothing wrong with one that is well', async () => {
    await using mirror = await serveAdministration();
    const { code, findings } = await findingsOf([], mirror);
    expect(code).toBe(0);
    expect(of(findings, 'mirror')).toMatchObject([{ result: 'ok' }]);
    // It opened the circuit of ghcr.io; its disk is only a little smaller than its bound.
    expect(of(findings, 'upstream ghcr.io')).toMatchObject([{ result: 'warning' }]);
    expect(of(findings, 'cache')).toEqual([]);
    expect(of(findings, 'quota of docker.io')).toMatchObject([{ result: 'ok' }]);
  });

  it('exits with 4 where it is not ready, corrupt or nearly out of pulls', async () => {
    await using mirror = await serveAdministration();
    const { content } = mirror.administration;
    const { state } = content;
    content.state = {
      ...state,
      health: { status: 'not ready', faults: ['no disk'], warnings: [] },
      scrub: { ...state.scrub, corruptBlobs: 2 },
      upstreams: state.upstreams.map((upstream) =>
        upstream.rateLimit ? { ...upstream, rateLimit: { ...upstream.rateLimit, remaining: 3 } } : upstream,
      ),
    };
    const { code, findings } = await findingsOf([], mirror);
    expect(code).toBe(4);
    expect(of(findings, 'mirror')).toMatchObject([{ result: 'failed' }, { found: 'no disk' }]);
    expect(of(findings, 'stored blobs')).toMatchObject([{ result: 'warning' }]);
    expect(of(findings, 'quota of docker.io')).toMatchObject([{ result: 'warning' }]);
  });

  it('says so where none runs, and goes on with the rest', async () => {
    await using directory = await tempDir();
    await using upstream = await serve(answering(200));
    const { code, findings } = await findingsOf([], undefined, {
      ENTREPOT_ADMIN_LISTEN: '127.0.0.1:1',
      ENTREPOT_DATA_DIR: directory.path,
      ENTREPOT_UPSTREAM_URL: upstream.url,
    });
    expect(code).toBe(4);
    expect(of(findings, 'mirror')).toMatchObject([{ result: 'failed', advice: 'start it: entrepot serve' }]);
    expect(of(findings, 'upstream')).toMatchObject([{ result: 'ok' }]);
  });

  it('names every mistake of the configuration', async () => {
    const { code, findings } = await findingsOf([], undefined, { ENTREPOT_TAG_TTL: 'soon' });
    expect(code).toBe(4);
    expect(findings).toMatchObject([{ check: 'configuration', result: 'failed' }]);
    expect(findings[0]?.found).toContain('ENTREPOT_TAG_TTL');
  });

  it('tells a person what to do', async () => {
    await using mirror = await serveAdministration();
    const { content } = mirror.administration;
    const { cache } = content.state;
    content.state = { ...content.state, cache: { ...cache, reachableBytes: cache.maxBytes / 2 - 1 } };
    const { stdout } = await runLine(['doctor'], mirror.url);
    expect(stdout).toMatch(/^warning {2}cache: .*\n {9}-> make room on the disk/m);
    expect(stdout).toMatch(/nothing is wrong, \d+ warnings?\n$/);
  });
});

describe('doctor, of the disk', () => {
  it('is content with a directory that can be written', async () => {
    await using upstream = await serve(answering(200));
    const { findings } = await examined({
      ENTREPOT_UPSTREAM_URL: upstream.url,
      ENTREPOT_CACHE_MAX_SIZE: '1MiB',
    });
    expect(of(findings, 'data directory')).toMatchObject([{ result: 'ok' }]);
    expect(of(findings, 'free space')).toMatchObject([{ result: 'ok' }]);
  });

  it('fails where the path is a file, and warns where there is nothing', async () => {
    await using upstream = await serve(answering(200));
    await using directory = await tempDir();
    await writeFile(join(directory.path, 'file'), '');
    const url = { ENTREPOT_UPSTREAM_URL: upstream.url };
    const file = await examined({ ...url, ENTREPOT_DATA_DIR: join(directory.path, 'file') });
    expect(of(file.findings, 'data directory')).toMatchObject([{ result: 'failed' }]);
    const missing = await examined({ ...url, ENTREPOT_DATA_DIR: join(directory.path, 'missing') });
    expect(of(missing.findings, 'data directory')).toMatchObject([{ result: 'warning' }]);
  });

  it('fails where a part lies on another file system', async () => {
    await using upstream = await serve(answering(200));
    await using directory = await tempDir();
    await symlink('/proc', join(directory.path, 'spool'));
    const { code, findings } = await examined({
      ENTREPOT_UPSTREAM_URL: upstream.url,
      ENTREPOT_DATA_DIR: directory.path,
    });
    expect(code).toBe(4);
    expect(of(findings, 'file system')).toMatchObject([{ result: 'failed' }]);
  });

  it('warns, or fails, where the bound is more than there is room for', async () => {
    await using upstream = await serve(answering(200));
    const { findings } = await examined({
      ENTREPOT_UPSTREAM_URL: upstream.url,
      ENTREPOT_CACHE_MAX_SIZE: '4096TiB',
    });
    const [room] = of(findings, 'free space');
    // Which of them depends on the disk that the test runs on.
    expect(['warning', 'failed']).toContain(room?.result);
  });
});

describe('doctor, of an upstream', () => {
  it('fails where it does not answer, or is no registry', async () => {
    const gone = await examined({ ENTREPOT_UPSTREAM_URL: 'http://127.0.0.1:1' });
    expect(of(gone.findings, 'upstream 127')).toMatchObject([{ result: 'failed' }]);
    await using other = await serve(answering(404));
    const wrong = await examined({ ENTREPOT_UPSTREAM_URL: other.url });
    expect(of(wrong.findings, 'upstream 127')).toMatchObject([{ result: 'failed' }]);
  });

  it.each([
    ['right', 'ok'],
    ['wrong', 'failed'],
  ])('tries the credentials: %s ones are %s', async (password, result) => {
    await using upstream = await serveRegistry('right');
    const { findings } = await examined({
      ENTREPOT_UPSTREAM_URL: upstream.url,
      ENTREPOT_UPSTREAM_USERNAME: 'me',
      ENTREPOT_UPSTREAM_PASSWORD: password,
    });
    expect(of(findings, 'credentials')).toMatchObject([{ result }]);
    expect(JSON.stringify(findings)).not.toContain(btoa(`me:${password}`));
  });

  it('gives the password to no token service that the mirror would not ask', async () => {
    const asked: string[] = [];
    await using thief = await serve((request, response) => {
      asked.push(request.url ?? '');
      response.end('{"token":"t"}');
    }, '127.0.0.2');
    await using upstream = await serve(
      answering(401, { 'www-authenticate': `Bearer realm="${thief.url}/token"` }),
    );
    const { code, findings } = await examined({
      ENTREPOT_UPSTREAM_URL: upstream.url,
      ENTREPOT_UPSTREAM_USERNAME: 'me',
      ENTREPOT_UPSTREAM_PASSWORD: 'secret-word',
    });
    expect(code).toBe(4);
    expect(of(findings, 'credentials')).toMatchObject([{ result: 'failed' }]);
    expect(asked).toEqual([]);
  });

  it.each([
    [30_000, 'Bearer realm="http://127.0.0.1:1/t"', 'ok'],
    [-120_000, '', 'warning'],
    [120_000, 'Bearer realm="http://127.0.0.1:1/t"', 'failed'],
  ])('a clock that is %d ms off, before %j, is %s', async (ms, challenge, result) => {
    await using upstream = await serve(
      challenge === '' ? answering(200) : answering(401, { 'www-authenticate': challenge }),
    );
    const { findings } = await examined({ ENTREPOT_UPSTREAM_URL: upstream.url }, () => Date.parse(NOW) + ms);
    expect(of(findings, 'clock')).toMatchObject([{ result }]);
  });
});

describe('doctor, of daemons', () => {
  /** Answers as the registry of that instance does. */
  const registryOf = (instance: string) => serve(answering(200, { 'x-entrepot-instance': instance }));

  /** A dockerd with that mirror; `onPull` is what it does when it is asked for a reference. */
  function serveDocker(socket: string, mirrors: readonly string[], onPull: () => void = () => undefined) {
    return serve((request, response) => {
      if (request.url === '/info') response.end(JSON.stringify({ RegistryConfig: { Mirrors: mirrors } }));
      else {
        onPull();
        response.end('{}');
      }
    }, socket);
  }

  it('proves that docker asks the mirror', async () => {
    await using mirror = await serveAdministration();
    const { content } = mirror.administration;
    await using registry = await registryOf(content.state.instance);
    await using directory = await tempDir();
    content.clients = [];
    await using docker = await serveDocker(join(directory.path, 'docker.sock'), [`${registry.url}/`], () => {
      content.clients.push({ address: '10.0.0.9', userAgent: 'docker/29', requests: 1, lastSeenAt: NOW });
    });
    const { code, findings } = await findingsOf(['--docker', docker.url], mirror);
    expect(code).toBe(0);
    expect(of(findings, 'dockerd').map(({ result }) => result)).toEqual(['ok', 'ok']);
    expect(of(findings, 'dockerd')[1]?.found).toContain('library/alpine:3');
  });

  it('fails where docker names the mirror and passes it by', async () => {
    await using mirror = await serveAdministration();
    const { content } = mirror.administration;
    await using registry = await registryOf(content.state.instance);
    await using directory = await tempDir();
    content.clients = [];
    await using docker = await serveDocker(join(directory.path, 'docker.sock'), [registry.url]);
    const { code, findings } = await findingsOf(['--docker', docker.url], mirror);
    expect(code).toBe(4);
    expect(of(findings, 'dockerd').map(({ result }) => result)).toEqual(['ok', 'failed']);
  });

  it('fails where docker has no mirror, another one, or none that answers', async () => {
    await using mirror = await serveAdministration();
    await using other = await registryOf('another');
    await using directory = await tempDir();
    for (const [name, mirrors, text] of [
      ['a', [], 'no mirror'],
      ['b', [other.url], 'another one'],
      ['c', ['http://127.0.0.1:1'], "can't be reached"],
    ] as const) {
      await using docker = await serveDocker(join(directory.path, name), mirrors);
      const { code, findings } = await findingsOf(['--docker', docker.url], mirror);
      expect(code).toBe(4);
      expect(of(findings, 'dockerd')).toMatchObject([
        { result: 'failed', advice: 'entrepot client-config dockerd' },
      ]);
      expect(of(findings, 'dockerd')[0]?.found).toContain(text);
    }
    const missing = await findingsOf(['--docker', join(directory.path, 'missing')], mirror);
    expect(missing.code).toBe(4);
  });

  it('reads which mirrors containerd and podman have', async () => {
    await using mirror = await serveAdministration();
    await using registry = await registryOf(mirror.administration.content.state.instance);
    await using directory = await tempDir();
    await mkdir(join(directory.path, 'certs.d/docker.io'), { recursive: true });
    await writeFile(join(directory.path, 'certs.d/docker.io/hosts.toml'), `[host."${registry.url}"]\n`);
    const conf = join(directory.path, 'registries.conf');
    await writeFile(conf, 'unqualified-search-registries = ["docker.io"]\n');
    const args = ['--containerd', join(directory.path, 'certs.d'), '--podman', conf];
    const without = await findingsOf(args, mirror);
    expect(of(without.findings, 'containerd')).toMatchObject([{ result: 'ok' }]);
    expect(of(without.findings, 'podman')).toMatchObject([{ result: 'failed' }]);
    await mkdir(`${conf}.d`);
    const { stdout } = await runLine(
      ['client-config', 'podman', '--mirror', registry.url, '--json'],
      mirror.url,
    );
    const [{ content }] = JSON.parse(stdout) as [{ content: string }];
    await writeFile(join(`${conf}.d`, 'entrepot.conf'), content);
    const { code, findings } = await findingsOf(args, mirror);
    expect(code).toBe(0);
    expect(of(findings, 'podman')).toMatchObject([{ result: 'ok' }]);
  });
});
