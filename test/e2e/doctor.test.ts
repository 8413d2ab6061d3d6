/** What doctor finds out about a real dockerd: one that pulls through the mirror, and some that do not. */
import { describe, expect, it } from 'vitest';
import type { Finding } from '../../src/cli/finding.ts';
import { runLine } from '../support/command-line.ts';
import { buildImage } from '../support/images.ts';
import { useMirror } from '../support/use-mirror.ts';
import { DockerHost } from './support/docker-host.ts';
import { useWorkspace } from './support/workspace.ts';

const given = useMirror();
const workspace = useWorkspace();

/** What it says of a dockerd with that in its daemon.json. */
async function examine(mirrors: readonly string[]) {
  await using host = await DockerHost.open(workspace(), given.mirror, undefined, {
    'registry-mirrors': mirrors,
  });
  const args = ['doctor', '--json', '--docker', host.socket];
  const { code, stdout } = await runLine(args, given.mirror.adminUrl, { now: Date.now });
  const findings = JSON.parse(stdout) as readonly Finding[];
  return { code, findings: findings.filter(({ check }) => check === 'dockerd') };
}

describe('doctor, of a real dockerd', () => {
  it('sees it ask the mirror where its daemon.json names that', async () => {
    const { upstream, mirror } = given;
    upstream.push('library/app', '1', buildImage());
    await runLine(['pull', 'library/app:1'], mirror.adminUrl, { now: Date.now });

    const { code, findings } = await examine([mirror.url]);

    expect(findings).toEqual([
      { check: 'dockerd', result: 'ok', found: `its mirror ${mirror.url}/ is this one` },
      {
        check: 'dockerd',
        result: 'ok',
        found: 'asked for library/app:1, it asked the mirror, from 127.0.0.1',
      },
    ]);
    expect(code).toBe(0);
  });

  it('says what to paste where it names none, or an address at which nobody answers', async () => {
    const advice = 'entrepot client-config dockerd';

    const without = await examine([]);

    expect(without.findings).toEqual([
      { check: 'dockerd', result: 'failed', found: 'it has no mirror for docker.io', advice },
    ]);
    expect(without.code).toBe(4);
    const wrong = await examine(['http://127.0.0.1:9/']);
    expect(wrong.findings).toMatchObject([{ result: 'failed', advice }]);
  });
});
