import { describe, expect, it } from 'vitest';
import type { JobView, StateView } from '../../src/admin/views.ts';
import { formatSize } from '../../src/lib/units.ts';
import { run } from '../support/command.ts';
import { runLine } from '../support/command-line.ts';
import { get } from '../support/http.ts';
import { buildImage } from '../support/images.ts';
import { startMirror } from '../support/mirror.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { tempDir } from '../support/temp-dir.ts';

describe('the command line of a mirror that runs', () => {
  it('fetches, shows, pins and purges what clients then get, or not, from the cache', async () => {
    await using cwd = await tempDir();
    await using upstream = await ScriptedUpstream.start();
    const image = buildImage({ layerSize: 200_000 });
    upstream.push('team/app', '1', image);
    await using mirror = await startMirror({ upstreamUrl: upstream.url });
    const entrepot = (...args: string[]) => runLine(args, mirror.adminUrl, { now: Date.now });
    const url = ['--url', mirror.adminUrl];

    const pulled = await run(['pull', 'team/app:1', 'team/app:none', ...url], { cwd: cwd.path });
    expect(pulled.code).toBe(1);
    expect(pulled.stderr).toContain('team/app:none: ');
    expect(pulled.stdout).toContain('team/app:1: Done, ');
    expect((await entrepot('pull', 'team/app:1')).code).toBe(0);

    const before = upstream.requests.length;
    for (const { digest, bytes } of image.blobs) {
      expect((await get(`${mirror.url}/v2/team/app/blobs/${digest}`)).body.equals(bytes)).toBe(true);
    }
    expect(upstream.requests.length).toBe(before);

    expect((await entrepot('ls')).stdout).toContain('team/app');
    expect((await entrepot('ls', 'team/app')).stdout).toMatch(/^1 +[0-9a-f]{12} /m);
    expect((await entrepot('du')).stdout).toMatch(/team\/app$/m);
    expect((await entrepot('pin', 'team/app:1')).code).toBe(0);
    expect((await entrepot('pins')).stdout).toContain('team/app:1');
    expect((await entrepot('unpin', 'team/app:1')).code).toBe(0);

    const state = JSON.parse((await entrepot('status', '--json')).stdout) as StateView;
    expect(state).toMatchObject({ health: { status: 'ok' }, cache: { blobs: image.blobs.length } });
    expect((await entrepot('status')).stdout).toMatch(/^health +ok$/m);
    expect((await entrepot('check')).stdout).toBe('the index is sound\n');
    const scrub = JSON.parse((await entrepot('scrub', '--json')).stdout) as JobView;
    expect(scrub).toMatchObject({ kind: 'scrub', state: 'succeeded' });

    const purged = await entrepot('purge', 'team/app:1', '--yes');
    expect(purged).toMatchObject({ code: 0, stderr: '' });
    const parts = [image.manifest, ...image.blobs].map(({ bytes }) => bytes.length);
    const freed = formatSize(parts.reduce((sum, size) => sum + size, 0));
    const gone = `1 tag, 1 manifest, ${image.blobs.length} blobs`;
    expect(purged.stdout).toBe(`team/app:1: ${freed} freed: ${gone}\n`);
    expect((await entrepot('ls', '--json')).stdout).not.toContain('team/app');
    const doctor = await entrepot('doctor', '--json');
    expect(JSON.parse(doctor.stdout)).toContainEqual(
      expect.objectContaining({ check: 'mirror', result: 'ok' }),
    );
  });
});
