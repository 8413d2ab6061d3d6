import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { Command, commandLine, run, serve, serveEnv } from '../support/command.ts';
import { get } from '../support/http.ts';
import { tempDir } from '../support/temp-dir.ts';

/** Nobody is asked anything here. */
const UPSTREAM = { upstreamUrl: 'http://127.0.0.1:9' };

const SCRIPT = '/usr/bin/script';

/** To root, directories that may not be written are writable; without these capabilities they are not. */
const WITHOUT_PRIVILEGE =
  process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-dac_override,-dac_read_search'] : [];

describe('entrepot serve', () => {
  it.each(['ENTREPOT_LISTEN', 'ENTREPOT_ADMIN_LISTEN'])(
    'that finds the port of %s taken says so and ends',
    async (variable) => {
      await using cwd = await tempDir();
      const occupant = createServer().listen(0, '127.0.0.1');
      await once(occupant, 'listening');
      const address = `127.0.0.1:${(occupant.address() as AddressInfo).port}`;
      const env = { ...serveEnv(UPSTREAM), [variable]: address };
      const { code, stdout, stderr } = await run([], { cwd: cwd.path, env });
      occupant.close();
      expect(code).toBe(1);
      expect(stderr).toBe(`entrepot: can't listen on ${address}: address already in use\n`);
      expect(stdout).not.toContain('listening');
    },
  );

  it('that finds another at work on its data directory says so and ends, and the other goes on', async () => {
    await using cwd = await tempDir();
    await using first = await serve({ cwd: cwd.path, ...UPSTREAM });
    const { code, stderr } = await run([], { cwd: cwd.path, env: serveEnv(UPSTREAM) });
    expect(code).toBe(1);
    expect(stderr).toBe(`entrepot: another process is using the data directory ${join(cwd.path, 'data')}\n`);
    expect((await get(`${first.adminUrl}/readyz`)).status).toBe(200);
    expect((await get(`${first.url}/v2/`)).status).toBe(200);
  });

  it.each([
    ['lies below a file', 'file/data', 'not a directory'],
    ['is a file', 'file', 'file already exists'],
    ['may not be written', 'closed', 'permission denied'],
    ['may not be made', 'closed/data', 'permission denied'],
  ])('says that it can not use a data directory that %s, and ends', async (_title, dataDir, reason) => {
    await using cwd = await tempDir();
    await writeFile(join(cwd.path, 'file'), 'a file');
    await mkdir(join(cwd.path, 'closed'));
    await chmod(join(cwd.path, 'closed'), 0o555);
    const env = serveEnv({ ...UPSTREAM, env: { ENTREPOT_DATA_DIR: dataDir } });
    const { code, stdout, stderr } = await run([], { cwd: cwd.path, env, wrapper: WITHOUT_PRIVILEGE });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toBe(`entrepot: the data directory ${join(cwd.path, dataDir)} can't be used: ${reason}\n`);
    expect((await readdir(cwd.path)).sort()).toEqual(['closed', 'file']);
  });

  it('makes its data in ./data unless told otherwise', async () => {
    await using cwd = await tempDir();
    await using _mirror = await serve({ cwd: cwd.path, ...UPSTREAM });
    expect(await readdir(cwd.path)).toEqual(['data']);
  });
});

describe('the start screen', () => {
  it('tells on one screen where it listens, which upstream, where the data lie, how large, and what to paste', async () => {
    await using cwd = await tempDir();
    const env = { ENTREPOT_CACHE_MAX_SIZE: '40GiB' };
    const upstreamUrl = 'https://registry-1.docker.io';
    await using mirror = await serve({ cwd: cwd.path, upstreamUrl, env });
    const screen = mirror.command.stderr;
    for (const fact of [mirror.url, mirror.adminUrl, upstreamUrl, join(cwd.path, 'data'), '40GiB']) {
      expect(screen).toContain(fact);
    }
    expectOneScreen(screen);
    expect(daemonJsonIn(screen)).toEqual({ 'registry-mirrors': [mirror.url] });
  });

  it('names an address that other machines can use, where it listens on all, and the share of the file system', async () => {
    await using cwd = await tempDir();
    const env = { ENTREPOT_LISTEN: '0.0.0.0:0', ENTREPOT_CACHE_MAX_SIZE: '80%' };
    await using mirror = await serve({ cwd: cwd.path, ...UPSTREAM, env });
    const screen = mirror.command.stderr;
    expect(screen).toMatch(/of at most \S+, 80% of the file system/);
    const { 'registry-mirrors': mirrors } = daemonJsonIn(screen) as { 'registry-mirrors': [string] };
    expect(mirrors[0]).not.toContain('0.0.0.0');
    expect(new URL(mirrors[0]).port).toBe(new URL(mirror.url).port);
  });

  it('shows no secret, and still fits with several upstreams', async () => {
    await using cwd = await tempDir();
    await writeFile(
      join(cwd.path, 'entrepot.yaml'),
      `upstreams:
  - { username: robot, password: pass-9d1f }
  - { url: https://ghcr.io }
  - { url: https://quay.io, token: token-77ab }
  - { url: https://registry.k8s.io }
`,
    );
    const { ENTREPOT_UPSTREAM_URL: _none, ...env } = serveEnv(UPSTREAM);
    await using command = Command.start(['-c', 'entrepot.yaml'], { cwd: cwd.path, env });
    await command.until('"listening"');
    await command.until(/^ {2}\}$/m);
    expectOneScreen(command.stderr);
    for (const host of ['docker.io', 'ghcr.io', 'quay.io', 'registry.k8s.io']) {
      expect(command.stderr).toContain(host);
    }
    expect(command.stderr).not.toMatch(/pass-9d1f|token-77ab/);
  });

  it('goes to standard error where nobody watches, so that standard output has JSON lines only', async () => {
    await using cwd = await tempDir();
    await using mirror = await serve({ cwd: cwd.path, ...UPSTREAM });
    await get(`${mirror.url}/v2/`);
    mirror.command.kill('SIGTERM');
    await mirror.command.exited;
    expect(mirror.command.stderr).toContain('Entrepôt');
    // `log` throws at a line that is no JSON.
    expect(mirror.command.log.map(({ msg }) => msg)).toEqual(
      expect.arrayContaining(['listening', 'GET ping 200', 'stopped']),
    );
    for (const line of mirror.command.log) {
      expect(line).toMatchObject({ level: expect.any(String) as string, time: expect.any(String) as string });
    }
  });

  // The lines themselves are logger.test.ts's, for machines without util-linux.
  // Where CI is meant to have it, its absence is a failure.
  it.skipIf(!existsSync(SCRIPT) && process.env['CI'] === undefined)(
    'stands among lines for people on a terminal, down to the last',
    async () => {
      await using cwd = await tempDir();
      const env = { ...serveEnv(UPSTREAM), TERM: 'xterm' };
      const argv = [SCRIPT, '-qec', `exec ${commandLine(['serve']).join(' ')}`, '/dev/null'];
      await using terminal = new Command(argv, { cwd: cwd.path, env });
      await terminal.until('listening');
      // Ctrl-C.
      terminal.type('\x03');
      expect(await terminal.exited).toEqual({ code: 0, signal: null });

      const text = stripVTControlCharacters(terminal.stdout).replaceAll('\r', '');
      const [screen = '', log = ''] = text.split(/(?=^\[\d\d:\d\d:\d\d\] INFO: listening)/m);
      expectOneScreen(screen);
      expect(daemonJsonIn(screen)).toHaveProperty(['registry-mirrors']);
      for (const line of log.trimEnd().split('\n')) expect(line).toMatch(/^(\^C)?\[\d\d:\d\d:\d\d\] INFO: /);
      expect(log).toMatch(/INFO: stopped\n$/);
    },
  );
});

/** What a terminal shows without scrolling. */
function expectOneScreen(text: string): void {
  const lines = text.trimEnd().split('\n');
  expect(lines.length).toBeLessThanOrEqual(24);
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(100);
}

/** What a person would paste. */
function daemonJsonIn(screen: string): unknown {
  return JSON.parse(screen.slice(screen.indexOf('\n  {'), screen.lastIndexOf('}') + 1));
}
