import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { get, head, open } from '../support/http.ts';
import { buildImage, randomBytes } from '../support/images.ts';
import { expectNoLeaks } from '../support/leaks.ts';
import { startMirror, type RunningMirror } from '../support/mirror.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { tempDir } from '../support/temp-dir.ts';

const MIB = 1024 * 1024;

function outcomesIn({ log }: RunningMirror): readonly unknown[] {
  return log.flatMap(({ digest, outcome }) => (outcome === undefined ? [] : [[digest, outcome]]));
}

describe('a mirror that has closed', () => {
  it('leaves nothing behind: after a cold pull, a warm one, and a client that left', async () => {
    await using directory = await tempDir();
    await using upstream = await ScriptedUpstream.start();
    const image = buildImage({ layers: [randomBytes('leaks', 2 * MIB)] });
    upstream.push('library/alpine', '3', image);
    const left = upstream.pushBlob('library/alpine', randomBytes('left', 2 * MIB));

    await expectNoLeaks(directory.path, async () => {
      const mirror = await startMirror({ upstreamUrl: upstream.url, dataDir: directory.path });
      const v2 = `${mirror.url}/v2/library/alpine`;
      for (const _pull of ['cold', 'warm']) {
        await head(`${v2}/manifests/3`);
        await get(`${v2}/manifests/${image.manifest.digest}`);
        for (const { digest } of image.blobs) {
          expect(digestOf((await get(`${v2}/blobs/${digest}`)).body)).toBe(digest);
        }
        await get(`${v2}/blobs/${image.layers[0]!.digest}`, { range: '5-9' });
        await get(`${v2}/tags/list`);
        await get(`${mirror.adminUrl}/metrics`);
      }
      const gate = upstream.hold({ kind: 'cdn', reference: left }, { afterBytes: MIB });
      const answer = await open(`${v2}/blobs/${left}`);
      await answer.read(1000);
      answer.destroy();
      gate.release();
      await mirror.close();
      // It had the grace time to come to its end without the client.
      expect(outcomesIn(mirror)).toContainEqual([left, 'stored']);
    });
  });

  it('leaves nothing behind of what it had to cut off', async () => {
    await using directory = await tempDir();
    await using upstream = await ScriptedUpstream.start();
    const digest = upstream.pushBlob('library/alpine', randomBytes('cut', 2 * MIB));
    upstream.hold({ kind: 'cdn' }, { afterBytes: MIB });
    upstream.push('library/alpine', '3', buildImage());
    const gate = upstream.hold({ kind: 'manifest' });

    await expectNoLeaks(directory.path, async () => {
      const env = { ENTREPOT_SHUTDOWN_GRACE: '0' };
      const mirror = await startMirror({ upstreamUrl: upstream.url, dataDir: directory.path, env });
      const v2 = `${mirror.url}/v2/library/alpine`;
      const answer = await open(`${v2}/blobs/${digest}`);
      await answer.read(1000);
      const manifest = get(`${v2}/manifests/3`).catch(() => undefined);
      await gate.waiting;
      await mirror.close();
      expect((await answer.rest()).isCutShort).toBe(true);
      await manifest;
      expect(outcomesIn(mirror)).toEqual([[digest, 'aborted']]);
    });
  });

  it('leaves nothing behind where it could not start', async () => {
    await using directory = await tempDir();
    await using upstream = await ScriptedUpstream.start();
    await expectNoLeaks(directory.path, async () => {
      const env = { ENTREPOT_ADMIN_LISTEN: new URL(upstream.url).host };
      const starting = startMirror({ upstreamUrl: upstream.url, dataDir: directory.path, env });
      await expect(starting).rejects.toThrow('address already in use');
    });
  });
});
