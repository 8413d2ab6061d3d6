import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { run, serve } from '../support/command.ts';
import { tempDir } from '../support/temp-dir.ts';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

describe('entrepot', () => {
  it.each([[['--help']], [['help']]])('%j tells how it is used', async (args) => {
    await using cwd = await tempDir();
    const { code, stdout, stderr } = await run(args, { cwd: cwd.path });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const command of ['serve', 'config', 'healthcheck', 'rebuild-index', '--config', 'Exit codes']) {
      expect(stdout).toContain(command);
    }
    expect(await readdir(cwd.path)).toEqual([]);
  });

  it.each([[['--version']], [['version']]])('%j prints the version and nothing else', async (args) => {
    await using cwd = await tempDir();
    expect(await run(args, { cwd: cwd.path })).toMatchObject({
      code: 0,
      stdout: `${version}\n`,
      stderr: '',
    });
  });

  it.each([
    [['srve'], 'srve'],
    [['--port', '5000'], '--port'],
    [['serve', 'now'], 'now'],
    [['--config'], '--config'],
  ])('refuses %j as wrong usage and starts nothing', async (args, named) => {
    await using cwd = await tempDir();
    const { code, stdout, stderr } = await run(args, { cwd: cwd.path });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^entrepot: /);
    expect(stderr).toContain(named);
    expect(stderr).toContain('--help');
    expect(await readdir(cwd.path)).toEqual([]);
  });
});

describe('entrepot with mistakes in its configuration', () => {
  const env = {
    ENTREPOT_CONFIG: 'entrepot.yaml',
    ENTREPOT_LISTEN: 'everywhere',
    ENTREPOT_TAG_TTL: 'soon',
    ENTREPOT_UPSTREAM_USRNAME: 'me',
  };
  const file = 'cache:\n  maxSize: lots\n  colour: blue\nshutdownGrace: 1 fortnight\n';
  const mistakes = [
    'ENTREPOT_LISTEN',
    'ENTREPOT_TAG_TTL',
    'ENTREPOT_UPSTREAM_USRNAME',
    'maxSize',
    'colour',
    'shutdownGrace',
  ];

  it.each(['serve', 'rebuild-index'])(
    '%s names every one in one message, and nothing is started or made',
    async (command) => {
      await using cwd = await tempDir();
      await writeFile(join(cwd.path, 'entrepot.yaml'), file);
      const { code, stdout, stderr } = await run([command], { cwd: cwd.path, env });
      expect({ code, stdout }).toEqual({ code: 78, stdout: '' });
      for (const mistake of mistakes) expect(stderr).toContain(mistake);
      expect(stderr.match(/^ {2}- /gm)).toHaveLength(mistakes.length);
      expect(stderr).not.toContain('    at ');
      expect(await readdir(cwd.path)).toEqual(['entrepot.yaml']);
    },
  );

  it('says which file there is not', async () => {
    await using cwd = await tempDir();
    const { code, stderr } = await run(['--config', 'missing.yaml'], { cwd: cwd.path });
    expect(code).toBe(78);
    expect(stderr).toContain('missing.yaml');
  });
});

describe('entrepot config', () => {
  it('shows what is in effect, from file and environment, with every secret masked', async () => {
    await using cwd = await tempDir();
    const secrets = ['pass-9d1f', 'token-77ab'];
    await writeFile(
      join(cwd.path, 'entrepot.yaml'),
      `tagTtl: 5m
upstreams:
  - url: https://registry.example.com
    username: robot
    password: ${secrets[0]}
  - url: https://other.example.com
    token: ${secrets[1]}
`,
    );
    const env = { ENTREPOT_LISTEN: '127.0.0.1:8080' };
    const { code, stdout, stderr } = await run(['config', '-c', 'entrepot.yaml'], { cwd: cwd.path, env });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(parse(stdout)).toMatchObject({
      listen: '127.0.0.1:8080',
      tagTtl: '5m',
      dataDir: join(cwd.path, 'data'),
      upstreams: [{ username: 'robot', password: '***' }, { token: '***' }],
    });
    for (const secret of secrets) expect(stdout).not.toContain(secret);
    expect(await readdir(cwd.path)).toEqual(['entrepot.yaml']);
  });
});

describe('entrepot healthcheck', () => {
  it('succeeds while the mirror is ready, and fails when it is not there', async () => {
    await using cwd = await tempDir();
    await using mirror = await serve({
      cwd: cwd.path,
      upstreamUrl: 'http://127.0.0.1:9',
      env: { ENTREPOT_ADMIN_LISTEN: '0.0.0.0:0' },
    });
    const { port } = new URL(mirror.adminUrl);
    const check = () =>
      run(['healthcheck'], { cwd: cwd.path, env: { ENTREPOT_ADMIN_LISTEN: `0.0.0.0:${port}` } });

    expect(await check()).toMatchObject({
      code: 0,
      stdout: '{"status":"ok","faults":[],"warnings":[]}\n',
      stderr: '',
    });

    // Pulls go on: to restart it, or to take it out of service, would help nobody.
    await rm(join(cwd.path, 'data'), { recursive: true });
    const degraded = await check();
    expect(degraded.code).toBe(0);
    expect(degraded.stdout).toContain('the data directory can not be written');

    await mirror.command[Symbol.asyncDispose]();
    const gone = await check();
    expect(gone.code).toBe(1);
    expect(gone.stdout).toContain(`127.0.0.1:${port}`);
    expect(gone.stdout).toContain('ECONNREFUSED');
  });

  it('fails, with the reason, while the mirror is not ready', async () => {
    await using cwd = await tempDir();
    const text = '{"status":"not ready","faults":["the mirror is shutting down"],"warnings":[]}';
    const server = createServer((_request, response) => response.writeHead(503).end(text));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const env = { ENTREPOT_ADMIN_LISTEN: `127.0.0.1:${port}` };
    const checked = await run(['healthcheck'], { cwd: cwd.path, env });
    expect(checked).toMatchObject({ code: 1, stdout: `${text}\n` });
    server.closeAllConnections();
    server.close();
  });
});
