/** _catalog: what is cached, by names that can be pulled, in pages, and nothing asked of upstream. */
import { beforeEach, describe, expect, it } from 'vitest';
import { get, head, jsonOf, type Response } from '../support/http.ts';
import { buildImage } from '../support/images.ts';
import type { RunningMirror } from '../support/mirror.ts';
import { expectError, expectHeadError } from '../support/oci-error.ts';
import type { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { startSeveral } from '../support/several-upstreams.ts';
import { useMirror } from '../support/use-mirror.ts';

const namesIn = (response: Response) => (jsonOf(response) as { repositories: unknown }).repositories;
const linkIn = ({ headers }: Response) => /^<(.*)>; rel="next"$/.exec(String(headers.link ?? ''))?.[1];

async function follow(mirrorUrl: string, path: string): Promise<readonly unknown[]> {
  const pages: unknown[] = [];
  for (let next: string | undefined = path; next !== undefined && pages.length < 50;) {
    const response = await get(new URL(next, mirrorUrl).href);
    expect(response.status).toBe(200);
    pages.push(namesIn(response));
    next = linkIn(response);
  }
  return pages;
}

describe('the catalog', () => {
  const given = useMirror();
  const catalog = (query = '') => get(`${given.v2}/_catalog${query}`);
  const pull = (name: string) => get(`${given.v2}/${name}/manifests/latest`);

  beforeEach(() => {
    for (const name of ['library/alpine', 'library/debian', 'team/a/b', 'tools']) {
      given.upstream.push(name, 'latest', buildImage({ seed: name }));
    }
  });

  it('is empty, and never null, while nothing is cached', async () => {
    const response = await catalog();
    expect(response.status).toBe(200);
    expect(jsonOf(response)).toEqual({ repositories: [] });
    expect(response.headers['content-type']).toBe('application/json');
  });

  it('has what was pulled, sorted, and not what upstream has besides', async () => {
    for (const name of ['tools', 'team/a/b', 'library/debian']) await pull(name);
    given.upstream.reset();
    const response = await catalog();
    expect(namesIn(response)).toEqual(['library/debian', 'team/a/b', 'tools']);
    expect(response.headers.link).toBeUndefined();
    const headed = await head(`${given.v2}/_catalog`);
    expect([headed.status, headed.body.length]).toEqual([200, 0]);
    expect(headed.headers['content-length']).toBe(String(response.body.length));
    expect(given.upstream.requests).toEqual([]);
  });

  it('has a repository of which nothing but a blob is cached', async () => {
    const digest = given.upstream.pushBlob('only/blobs', Buffer.from('a blob'));
    await get(`${given.v2}/only/blobs/blobs/${digest}`);
    await expect.poll(async () => namesIn(await catalog())).toEqual(['only/blobs']);
  });

  it('has nothing of a repository that could not be pulled from', async () => {
    await pull('no/such');
    await get(`${given.v2}/library/alpine/manifests/none`);
    expect(namesIn(await catalog())).toEqual([]);
  });

  it('comes in pages that lead to the end', async () => {
    const names = ['library/alpine', 'library/debian', 'team/a/b', 'tools'];
    for (const name of names) await pull(name);
    for (const n of [1, 2, 3, 4, 5]) {
      const pages = await follow(given.mirror.url, `/v2/_catalog?n=${n}`);
      expect(pages.flat()).toEqual(names);
      expect(pages).toHaveLength(Math.ceil(names.length / n));
    }
    expect(linkIn(await catalog('?n=2'))).toBe('/v2/_catalog?n=2&last=library%2Fdebian');
    expect(namesIn(await catalog('?last=library/debian'))).toEqual(['team/a/b', 'tools']);
    expect(namesIn(await catalog('?n=1&last=m'))).toEqual(['team/a/b']);
    expect(namesIn(await catalog('?last=zzz'))).toEqual([]);
    expect(namesIn(await catalog('?n=0'))).toEqual([]);
    expect((await catalog('?n=0')).headers.link).toBeUndefined();
    expect(namesIn(await catalog('?n=99999999999999999999'))).toEqual(names);
  });

  it.each(['-1', 'x', '', '1.5'])('refuses n=%s', async (n) => {
    expectError(await catalog(`?n=${n}`), 400, 'PAGINATION_NUMBER_INVALID');
    expectHeadError(await head(`${given.v2}/_catalog?n=${n}`), 400);
  });

  it('answers while upstream is away', async () => {
    await pull('tools');
    await given.upstream.stop();
    expect(namesIn(await catalog())).toEqual(['tools']);
  });

  it('is below no prefix: its names would not be what they are called there', async () => {
    expectError(await get(`${given.mirror.url}/docker.io/v2/_catalog`), 404, 'UNSUPPORTED');
  });
});

describe('the catalog of several upstreams', () => {
  let hub: ScriptedUpstream;
  let ghcr: ScriptedUpstream;
  let mirror: RunningMirror;

  beforeEach(async () => {
    const several = await startSeveral({ hub: 'docker.io', ghcr: 'ghcr.io' });
    [hub, ghcr] = [several.upstreams.hub, several.upstreams.ghcr];
    mirror = several.mirror;
    return () => several[Symbol.asyncDispose]();
  });

  const NAMES = ['aaa/first', 'ghcr.io/library/app', 'ghcr.io/owner/app', 'library/app', 'zzz/last'];

  beforeEach(async () => {
    for (const name of ['zzz/last', 'aaa/first', 'library/app']) {
      hub.push(name, 'latest', buildImage({ seed: `hub ${name}` }));
      await get(`${mirror.url}/v2/${name}/manifests/latest`);
    }
    for (const name of ['owner/app', 'library/app']) {
      ghcr.push(name, 'latest', buildImage({ seed: `ghcr ${name}` }));
      await get(`${mirror.url}/v2/${name}/manifests/latest?ns=ghcr.io`);
    }
    hub.reset();
    ghcr.reset();
  });

  it('has the names of the default one as they are, and of the others with what they are called by', async () => {
    expect(namesIn(await get(`${mirror.url}/v2/_catalog`))).toEqual(NAMES);
  });

  it('has names that can be pulled as they stand there, from the cache', async () => {
    const digests = new Set<unknown>();
    for (const name of NAMES) {
      const response = await get(`${mirror.url}/v2/${name}/manifests/latest`);
      expect(response.status).toBe(200);
      digests.add(response.headers['docker-content-digest']);
    }
    expect(digests.size).toBe(NAMES.length);
    expect([...hub.requests, ...ghcr.requests]).toEqual([]);
  });

  it('comes in pages that go across them', async () => {
    for (const n of [1, 2, 3, 4]) {
      const pages = await follow(mirror.url, `/v2/_catalog?n=${n}`);
      expect(pages.flat()).toEqual(NAMES);
      expect(pages).toHaveLength(Math.ceil(NAMES.length / n));
    }
    for (const [last, rest] of [
      ['ghcr', NAMES.slice(1)],
      ['ghcr.io', NAMES.slice(1)],
      ['ghcr.io/', NAMES.slice(1)],
      ['ghcr.io/m', NAMES.slice(2)],
      ['ghcr.io0', NAMES.slice(3)],
      ['library', NAMES.slice(3)],
    ] as const) {
      expect(namesIn(await get(`${mirror.url}/v2/_catalog?last=${last}`))).toEqual(rest);
    }
  });
});
