/** What deploy/ has for other programs, read by those programs. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { run, runToFailure } from './support/run.ts';
import { useWorkspace } from './support/workspace.ts';

const DEPLOY = join(import.meta.dirname, '../../deploy');
const UNIT = join(DEPLOY, 'systemd/entrepot.service');

const workspace = useWorkspace();

interface Service {
  readonly secrets?: readonly { readonly source: string }[];
}

interface Project {
  readonly services: Record<string, Service>;
}

async function compose(...args: readonly string[]): Promise<Project> {
  return parse(await run(['docker-compose', '--project-directory', DEPLOY, ...args, 'config'])) as Project;
}

describe('the files for Compose', () => {
  const main = ['--file', join(DEPLOY, 'docker-compose.yml')];

  it('are taken by it', async () => {
    const { services } = await compose(...main, '--profile=monitoring');
    expect(Object.keys(services).sort()).toEqual(['grafana', 'mirror', 'prometheus']);
    expect(Object.values(services).map(({ secrets = [] }) => secrets.length)).toEqual([1, 0, 0]);
  });

  it('add a token', async () => {
    const { services } = await compose(...main, '--file', join(DEPLOY, 'docker-compose.token.yml'));
    expect(services['mirror']).toMatchObject({
      environment: {
        ENTREPOT_CONFIG: '/etc/entrepot.yaml',
        ENTREPOT_ADMIN_TOKEN_FILE: '/run/secrets/admin-token',
      },
      secrets: [{ source: 'admin-token' }],
    });
  });
});

describe('the unit for systemd', () => {
  /** As the file says, on a machine that has what it names. */
  async function installed(text: string): Promise<string> {
    const root = await workspace().folder('machine');
    const node = join(root, 'node');
    await writeFile(node, '#!/bin/sh\n', { mode: 0o755 });
    const unit = join(root, 'entrepot.service');
    await writeFile(unit, text.replace('/usr/bin/node', node));
    return unit;
  }

  it('is taken by systemd without a warning', async () => {
    const unit = await installed(await readFile(UNIT, 'utf8'));
    expect(await run(['sh', '-c', 'systemd-analyze verify --man=no "$0" 2>&1', unit])).toBe('');
  });

  it('would be found out if it were wrong', async () => {
    const text = (await readFile(UNIT, 'utf8')).replace('ProtectSystem=strict', 'ProtectSystm=strict');
    const unit = await installed(text);
    expect(await run(['sh', '-c', 'systemd-analyze verify --man=no "$0" 2>&1', unit])).toContain(
      "Unknown key 'ProtectSystm'",
    );
  });

  it('leaves little that a mirror which was taken over could do', async () => {
    const analyze = ['systemd-analyze', 'security', '--offline=true', '--no-pager'];
    await run([...analyze, '--threshold=15', UNIT]);
    const bare = await workspace().folder('bare');
    const text = (await readFile(UNIT, 'utf8')).replaceAll(/^(SystemCall|Capability|Protect).*$/gm, '');
    await writeFile(join(bare, 'entrepot.service'), text);
    expect(await runToFailure([...analyze, '--threshold=15', join(bare, 'entrepot.service')])).toContain(
      'entrepot.service',
    );
  });

  it('comes with its user', async () => {
    const root = await workspace().folder('sysusers');
    await mkdir(join(root, 'etc'));
    await run(['systemd-sysusers', `--root=${root}`, join(DEPLOY, 'systemd/entrepot.sysusers.conf')]);
    expect(await readFile(join(root, 'etc/passwd'), 'utf8')).toMatch(
      /^entrepot:x:\d+:\d+:.*:\/var\/lib\/entrepot:\/usr\/sbin\/nologin$/m,
    );
  });
});
