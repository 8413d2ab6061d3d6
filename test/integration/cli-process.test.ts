import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, vi } from 'vitest';
import { Command, commandLine, run } from '../support/command.ts';
import { serveAdministration } from '../support/command-line.ts';
import { tempDir } from '../support/temp-dir.ts';

const SCRIPT = ['script', '-qefc'] as const;

/** The command on a pseudo-terminal. */
function onTerminal(args: readonly string[], cwd: string, env: Readonly<Record<string, string>>): Command {
  const line = commandLine(args)
    .map((word) => `'${word}'`)
    .join(' ');
  return new Command([...SCRIPT, line, '/dev/null'], { cwd, env: { TERM: 'xterm', ...env } });
}

describe('a command as a process', () => {
  it('ends quietly where its reader has seen enough', async () => {
    await using cwd = await tempDir();
    await using mirror = await serveAdministration();
    const { content } = mirror.administration;
    // More than a pipe holds.
    content.repositories = Array.from({ length: 5000 }, (_, at) => ({
      ...content.repositories[0]!,
      repository: `r${String(at).padStart(5, '0')}`,
    }));
    const line = commandLine(['ls', '--url', mirror.url]).join(' ');
    await using command = new Command(['bash', '--norc', '-c', `set -o pipefail; ${line} | head -n 1`], {
      cwd: cwd.path,
    });
    expect(await command.exited).toEqual({ code: 0, signal: null });
    expect(command.stdout).toMatch(/^REPOSITORY.*\n$/);
    expect(command.stderr).toBe('');
  });

  it('has colours on a terminal, and none where NO_COLOR asks for none or it is no terminal', async () => {
    await using cwd = await tempDir();
    await using mirror = await serveAdministration();
    const args = ['status', '--url', mirror.url];
    await using coloured = onTerminal(args, cwd.path, {});
    await coloured.exited;
    expect(coloured.stdout).toContain('\x1b[1m');
    await using plain = onTerminal(args, cwd.path, { NO_COLOR: '1' });
    expect((await plain.exited).code).toBe(0);
    expect(plain.stdout).not.toContain('\x1b');
    expect((await run(args, { cwd: cwd.path })).stdout).not.toContain('\x1b');
  });

  it('asks on a terminal before it purges, and takes an answer', async () => {
    await using cwd = await tempDir();
    await using mirror = await serveAdministration();
    await using command = onTerminal(['purge', 'alpine:3', '--url', mirror.url], cwd.path, {});
    await command.until(/Go on\? \[y\/N\]/);
    command.type('y\n');
    expect((await command.exited).code).toBe(0);
    expect(mirror.administration.callsOf('purge')).toEqual([[{ reference: 'alpine:3' }]]);
  });

  it('cancels its job at Ctrl-C, and exits with 130', async () => {
    await using cwd = await tempDir();
    await using mirror = await serveAdministration();
    await using command = Command.start(['pull', 'alpine:3', '--url', mirror.url], { cwd: cwd.path });
    await command.until('library/alpine:3: pulling');
    command.kill('SIGINT');
    expect(await command.exited).toEqual({ code: 130, signal: null });
    expect(mirror.administration.callsOf('cancel')).toHaveLength(1);
  });

  it('ends at the second Ctrl-C even where the mirror does not answer the first', async () => {
    await using cwd = await tempDir();
    const job = '{"id":"1","kind":"scrub","state":"running","startedAt":"2026-03-01T12:00:00.000Z"}';
    const asked = vi.fn();
    const silent = createServer((request, response) => {
      asked(request.method);
      if (request.method !== 'DELETE') response.setHeader('content-type', 'application/json').end(job);
    });
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    await using command = Command.start(['scrub', '--url', url], { cwd: cwd.path });
    await vi.waitFor(() => expect(asked).toHaveBeenCalledWith('GET'), { timeout: 20_000 });
    command.kill('SIGINT');
    await vi.waitFor(() => expect(asked).toHaveBeenCalledWith('DELETE'), { timeout: 20_000 });
    command.kill('SIGINT');
    expect(await command.exited).toEqual({ code: 130, signal: null });
    silent.close();
    silent.closeAllConnections();
  });

  it('loads nothing of the mirror, nor the mirror anything of it', async () => {
    await using cwd = await tempDir();
    const loaded = async (args: readonly string[], env = {}) => {
      const { stderr } = await run(args, { cwd: cwd.path, env: { NODE_DEBUG: 'esm', ...env } });
      return { hasCli: stderr.includes('/src/cli/'), hasApp: stderr.includes('/src/app.ts') };
    };
    expect(await loaded(['status', '--help'])).toEqual({ hasCli: true, hasApp: false });
    // It ends before it listens: that directory can't be made.
    const serving = await loaded(['serve'], { ENTREPOT_DATA_DIR: '/dev/null/none' });
    expect(serving).toEqual({ hasCli: false, hasApp: true });
  });
});
