import { createServer } from 'node:http';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { RepositoryView } from '../../../src/admin/views.ts';
import { runLine, serveAdministration } from '../../support/command-line.ts';
import { tempDir } from '../../support/temp-dir.ts';

const TOKEN = 'a-token-of-the-admin-4711';

describe('what every command says about the mirror that it asks', () => {
  it('exits with 3 where there is none', async () => {
    const gone = createServer();
    gone.listen(0, '127.0.0.1');
    await once(gone, 'listening');
    const url = `http://127.0.0.1:${(gone.address() as AddressInfo).port}`;
    gone.close();
    await once(gone, 'close');
    const { code, stdout, stderr } = await runLine(['status'], url);
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(stderr).toContain(`${url} can't be reached: `);
    expect(stderr).toContain('ECONNREFUSED');
  });

  it.each([
    [200, 'text/html', '<h1>something else</h1>'],
    [404, 'application/json', '{"errors":[]}'],
    [302, 'text/plain', ''],
  ])('exits with 3 where something else answers %d', async (status, type, body) => {
    const other = createServer((_request, response) =>
      response.writeHead(status, { 'content-type': type, location: 'http://127.0.0.1:1/' }).end(body),
    );
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
    const { code, stderr } = await runLine(['status'], url);
    expect(code).toBe(3);
    expect(stderr).toContain('not as the admin API');
    other.close();
    other.closeAllConnections();
  });

  it('prints what the API refuses, with its control characters harmless, and exits with 1', async () => {
    await using mirror = await serveAdministration();
    const { code, stdout, stderr } = await runLine(['ls', 'no/such\x1b[31m'], mirror.url);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('no/such\\u001b[31m');
    expect(stderr).not.toContain('\x1b');
  });

  it('takes the token from a file or the environment, and shows it to nobody', async () => {
    await using mirror = await serveAdministration(TOKEN);
    await using directory = await tempDir();
    const file = join(directory.path, 'token');
    await writeFile(file, `${TOKEN}\n`);
    const refused = await runLine(['pin', 'alpine:3'], mirror.url);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('--token-file');
    const wrong = await runLine(['pin', 'alpine:3'], mirror.url, {
      env: { ENTREPOT_ADMIN_TOKEN: `${TOKEN}-not` },
    });
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).not.toContain(TOKEN);
    for (const [args, env] of [
      [['--token-file', file], {}],
      [[], { ENTREPOT_ADMIN_TOKEN: TOKEN }],
      [[], { ENTREPOT_ADMIN_TOKEN_FILE: file }],
    ] as const) {
      expect((await runLine(['pin', 'alpine:3', ...args], mirror.url, { env })).code).toBe(0);
    }
  });

  it('finds the mirror, and its token, by the configuration that serve would read', async () => {
    await using mirror = await serveAdministration(TOKEN);
    const env = { ENTREPOT_ADMIN_LISTEN: new URL(mirror.url).host, ENTREPOT_ADMIN_TOKEN: TOKEN };
    expect(await runLine(['pin', 'alpine:3'], undefined, { env })).toMatchObject({ code: 0 });
  });

  it("gives the configuration's token to nobody but the configuration's own mirror", async () => {
    await using mirror = await serveAdministration(TOKEN);
    await using directory = await tempDir();
    const file = join(directory.path, 'entrepot.yaml');
    await writeFile(file, `admin:\n  listen: 127.0.0.1:1\n  token: ${TOKEN}\n`);
    const { code } = await runLine(['pin', 'alpine:3', '--config', file], mirror.url);
    expect(code).toBe(1);
  });

  it.each([['ftp://mirror'], ['mirror:5001'], ['http://user:password@mirror']])(
    'takes no %j as its URL',
    async (url) => {
      const { code, stderr } = await runLine(['status', '--url', url], undefined);
      expect(code).toBe(2);
      expect(stderr).not.toContain('password');
    },
  );

  it('exits with 78 where the configuration has a mistake', async () => {
    const { code, stderr } = await runLine(['status'], undefined, { env: { ENTREPOT_TAG_TTL: 'soon' } });
    expect(code).toBe(78);
    expect(stderr).toContain('ENTREPOT_TAG_TTL');
  });
});

describe('status', () => {
  it('has what a person wants to know first', async () => {
    await using mirror = await serveAdministration();
    const { code, stdout } = await runLine(['status'], mirror.url);
    expect(code).toBe(0);
    for (const text of [
      /^health +ok$/m,
      /^saved +700 MiB in 59 d, /m,
      /^hits +94.2 % of 5200 requests, 77.8 % of 900 MiB$/m,
      /^cache +\[ +\] 196 MiB of 40 GiB \(0.5 %\)$/m,
      /the disk has room for 38 GiB/,
      /^downloads +1 running, 0 waiting$/m,
      /76 of 100 pulls left per 6 h, seen just now/,
      /ghcr.io does not answer and is left alone/,
      /^trouble +30 s ago: a blob could not be fetched: ghcr.io does not answer$/m,
    ]) {
      expect(stdout).toMatch(text);
    }
  });

  it('prints every reason why it is not well', async () => {
    await using mirror = await serveAdministration();
    const { content } = mirror.administration;
    content.state = {
      ...content.state,
      health: { status: 'not ready', faults: ['no disk\x07'], warnings: [`slow ${'and '.repeat(20)}late`] },
    };
    const { stdout } = await runLine(['status'], mirror.url, { columns: 60 });
    for (const text of ['not ready', 'no disk\\u0007', 'slow', 'late']) {
      expect(stdout).toContain(text);
    }
    for (const line of stdout.replaceAll(/\x1b\[\d+m/g, '').split('\n')) {
      expect(line.length).toBeLessThanOrEqual(60);
    }
  });
});

describe('the lists', () => {
  it('list all there is, whatever the size of a page', async () => {
    await using mirror = await serveAdministration();
    const { content } = mirror.administration;
    const [some] = content.repositories as [RepositoryView];
    content.repositories = Array.from({ length: 1201 }, (_, at) => ({
      ...some,
      repository: `r${String(at).padStart(5, '0')}`,
    }));
    const { stdout } = await runLine(['ls', '--json'], mirror.url);
    expect(JSON.parse(stdout)).toEqual(content.repositories);
    expect((await runLine(['ls'], mirror.url)).stdout.split('\n')).toHaveLength(1203);
  });

  it.each([
    [['ls'], ['REPOSITORY', 'library/alpine', '7 MiB', '1 MiB', '30 min ago']],
    [['ls', '--search', 'node'], ['library/node']],
    [
      ['ls', 'library/alpine'],
      ['TAG', 'latest', 'pinned', 'linux/amd64, linux/arm64', '1 min ago'],
    ],
    [['pins'], ['library/alpine:3', 'yes']],
    [['jobs'], ['prefetch', 'running']],
  ])('%j shows it to a person', async (args, texts) => {
    await using mirror = await serveAdministration();
    const { code, stdout } = await runLine(args, mirror.url);
    expect(code).toBe(0);
    for (const text of texts) expect(stdout).toContain(text);
  });

  it.each([[['status']], [['ls']], [['ls', 'library/alpine']], [['du']], [['pins']], [['jobs']]])(
    '%j --json prints JSON and nothing else',
    async (args) => {
      await using mirror = await serveAdministration();
      const { code, stdout, stderr } = await runLine([...args, '--json'], mirror.url);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(JSON.parse(stdout)).toEqual(expect.anything());
    },
  );

  it('du has the largest first, and the total of the cache', async () => {
    await using mirror = await serveAdministration();
    const { stdout } = await runLine(['du'], mirror.url);
    const names = [...stdout.matchAll(/(\S+\/\S+)$/gm)].map(([, name]) => name);
    expect(names).toEqual(['library/node', 'ghcr.io/example/tool', 'library/alpine']);
    expect(stdout).toContain('196 MiB in all, of at most 40 GiB');
  });

  it('jobs --cancel ends one', async () => {
    await using mirror = await serveAdministration();
    const [job] = mirror.administration.content.jobs;
    const { code, stdout } = await runLine(['jobs', '--cancel', String(job?.id)], mirror.url);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `job ${job?.id}: cancelled\n` });
  });
});

describe('purge', () => {
  it.each([
    [['purge', 'alpine:3', '-y'], [{ reference: 'alpine:3' }]],
    [
      ['purge', 'alpine:3', 'node', '--yes'],
      [{ reference: 'alpine:3' }, { reference: 'node' }],
    ],
    [['purge', '--repository', 'library/alpine', '--yes'], [{ repository: 'library/alpine' }]],
    [['purge', '--all', '--yes'], [{ everything: true }]],
  ])('%j asks for exactly that', async (args, requests) => {
    await using mirror = await serveAdministration();
    const { code, stdout } = await runLine(args, mirror.url);
    expect(code).toBe(0);
    expect(stdout).toContain('7 MiB freed: 1 tag, 2 manifests, 4 blobs; 1 KiB are being read');
    expect(mirror.administration.callsOf('purge')).toEqual(requests.map((request) => [request]));
  });

  it.each([
    [['purge', 'alpine:3'], 'y\n', true],
    [['purge', 'alpine:3'], 'yes\n', true],
    [['purge', 'alpine:3'], '\n', false],
    [['purge', 'alpine:3'], '', false],
    [['purge', '--all'], 'y\n', false],
    [['purge', '--all'], 'all\n', true],
  ])('%j, answered with %j, goes on: %j', async (args, typed, isDone) => {
    await using mirror = await serveAdministration();
    const { code } = await runLine(args, mirror.url, { typed });
    expect(code).toBe(isDone ? 0 : 1);
    expect(mirror.administration.callsOf('purge')).toHaveLength(isDone ? 1 : 0);
  });

  it.each([[['purge', 'alpine']], [['purge', '--yes']], [['purge', 'alpine', '--all', '--yes']]])(
    '%j, where nobody can be asked, is wrong usage',
    async (args) => {
      await using mirror = await serveAdministration();
      expect((await runLine(args, mirror.url)).code).toBe(2);
      expect(mirror.administration.callsOf('purge')).toEqual([]);
    },
  );
});

describe('pin and unpin', () => {
  it('go on after one that the mirror refuses, and say which', async () => {
    await using mirror = await serveAdministration();
    const { code, stdout, stderr } = await runLine(['unpin', 'no-such', 'alpine:3'], mirror.url);
    expect(code).toBe(1);
    expect(stdout).toBe('alpine:3: unpinned\n');
    expect(stderr).toBe('entrepot: there is no no-such here\n');
    expect((await runLine(['pin', 'node:24'], mirror.url)).stdout).toContain('library/node:24: pinned');
    expect(mirror.administration.content.pins.map(({ reference }) => reference)).toEqual(['library/node:24']);
  });
});

describe('offline', () => {
  it('switches, and says how it is', async () => {
    await using mirror = await serveAdministration();
    expect(await runLine(['offline', 'on'], mirror.url)).toMatchObject({ code: 0, stdout: 'on\n' });
    expect(await runLine(['offline'], mirror.url)).toMatchObject({ stdout: 'on\n' });
    expect(await runLine(['offline', 'off'], mirror.url)).toMatchObject({ stdout: 'off\n' });
    expect((await runLine(['offline', 'maybe'], mirror.url)).code).toBe(2);
  });
});
