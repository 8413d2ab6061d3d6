/** The admin API of a real mirror, held against its description. */
import { describe, expect, it } from 'vitest';
import type { JobView, Page, RepositoryView, StateView, TagView } from '../../src/admin/views.ts';
import { get, jsonOf, request } from '../support/http.ts';
import { buildImage } from '../support/images.ts';
import { mistakesIn, mistakesInView } from '../support/openapi.ts';
import { RawConnection } from '../support/raw-http.ts';
import { useMirror } from '../support/use-mirror.ts';

const TOKEN = 'correct-horse-battery-staple';
const VIEWS = { state: 'StateView', downloads: 'DownloadView', jobs: 'JobView', troubles: 'TroubleView' };

describe('the admin API of a mirror', () => {
  const given = useMirror({ scripted: { pullLimit: 100 } });

  /** As it is documented, or the test fails. */
  async function ask<T>(route: string, body?: unknown, status = 200): Promise<T> {
    const [method = '', target = ''] = route.split(' ');
    const answer = await request(`${given.mirror.adminUrl}/api/v1/${target}`, {
      method,
      headers: { 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = answer.body.toString();
    expect([route, answer.status, text]).toEqual([route, status, expect.any(String)]);
    const seen = { status, contentType: answer.headers['content-type'], body: text };
    expect(mistakesIn(method, `/api/v1/${target.split('?')[0] ?? ''}`, seen)).toEqual([]);
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }

  async function pull() {
    const { upstream, v2 } = given;
    const image = buildImage({ layers: 2, layerSize: 5000 });
    upstream.push('library/alpine', '3', image);
    await get(`${v2}/library/alpine/manifests/3`);
    await get(`${v2}/library/alpine/manifests/${image.manifest.digest}`);
    for (const { digest } of image.blobs) await get(`${v2}/library/alpine/blobs/${digest}`);
    await expect.poll(() => given.mirror.metric('entrepot_downloads_running')).toBe(0);
    return image;
  }

  it('shows a known pull, in all its answers as documented', async () => {
    const image = await pull();
    const bytes = image.blobs.reduce((sum, blob) => sum + blob.bytes.length, image.manifest.bytes.length);
    const state = await ask<StateView>('GET state');
    expect(state.cache).toMatchObject({ bytes, blobs: image.blobs.length, manifests: 1 });
    const { items } = await ask<Page<RepositoryView>>('GET repositories?search=alp');
    expect(items).toMatchObject([{ repository: 'library/alpine', tags: 1, manifests: 1, bytes }]);
    const tags = await ask<Page<TagView>>('GET tags?repository=library/alpine');
    expect(tags.items).toMatchObject([{ tag: '3', digest: image.manifest.digest, isHeld: true, bytes }]);
    for (const path of [
      ...['access', 'history?from=3600&step=1', 'errors', 'clients', 'downloads', 'jobs', 'pins'],
      ...['manifests?repository=library/alpine', 'manifest?reference=library/alpine:3'],
    ]) {
      await ask(`GET ${path}`);
    }
    await ask('GET tags?repository=library/nothing', undefined, 404);
    await ask('GET manifest?reference=a%20b', undefined, 400);
    await ask('GET jobs/nothing', undefined, 404);
  });

  it('does what it is told: pin, check, offline, purge', async () => {
    const image = await pull();
    expect(await ask('POST pins', { reference: 'library/alpine:3' })).toMatchObject({
      reference: 'library/alpine:3',
    });
    await ask('DELETE pins?reference=library/alpine:3', undefined, 204);
    const { id } = await ask<JobView>('POST check', {}, 202);
    await expect.poll(async () => (await ask<JobView>(`GET jobs/${id}`)).state).toBe('succeeded');
    await ask('PUT offline', { offline: true }, 204);
    expect((await ask<StateView>('GET state')).isOffline).toBe(true);
    await ask('PUT offline', { offline: false }, 204);
    const gone = await ask<{ freedBytes: number }>('POST purge', { everything: true });
    expect(gone.freedBytes).toBeGreaterThan(image.manifest.bytes.length);
    expect((await ask<Page<RepositoryView>>('GET repositories')).items).toEqual([]);
  });

  it('streams what changes', async () => {
    using connection = await RawConnection.open(given.mirror.adminUrl);
    connection.send('GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await connection.until(/event: state\ndata: .*\n\n/);
    await ask<JobView>('POST check', {}, 202);
    await connection.until(/event: jobs\ndata: .*"kind":"check".*\n\n/);
    for (const [, name = '', data = ''] of connection.received
      .toString()
      .matchAll(/^event: (\w+)\ndata: (.*)\n\n/gm)) {
      const value = JSON.parse(data) as unknown;
      const view = VIEWS[name as keyof typeof VIEWS];
      for (const item of Array.isArray(value) ? value : [value]) {
        expect(mistakesInView(view, item)).toEqual([]);
      }
    }
  });
});

describe('the admin API of a mirror with a token', () => {
  const given = useMirror({ env: { ENTREPOT_ADMIN_TOKEN: TOKEN } });

  it('changes nothing without it, and tells nobody what it is', async () => {
    const url = `${given.mirror.adminUrl}/api/v1`;
    const send = (token: string | undefined) =>
      request(`${url}/offline`, {
        method: 'PUT',
        headers: {
          'content-type': 'application/json',
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        },
        body: '{"offline":true}',
      });
    expect((await send(undefined)).status).toBe(401);
    expect((await send('wrong-horse-battery-staple')).status).toBe(401);
    expect(jsonOf(await get(`${url}/access`))).toEqual({ reads: 'open', changes: 'token' });
    expect((jsonOf(await get(`${url}/state`)) as StateView).isOffline).toBe(false);
    expect((await send(TOKEN)).status).toBe(204);
    expect((jsonOf(await get(`${url}/state`)) as StateView).isOffline).toBe(true);
    expect(JSON.stringify(given.mirror.log)).not.toMatch(/-horse-/);
  });
});
