/** tags/list: sorted, in pages that lead to the end, asked of upstream once, and answered while it is away. */
import { beforeEach, describe, expect, it } from 'vitest';
import { get, head, jsonOf, type Response } from '../support/http.ts';
import { buildImage } from '../support/images.ts';
import { expectError, expectHeadError } from '../support/oci-error.ts';
import { errorReply, jsonReply } from '../support/scripted-upstream-reply.ts';
import { ScriptedUpstream } from '../support/scripted-upstream.ts';
import { useMirror, type Pair } from '../support/use-mirror.ts';

const MINUTE = 60_000;
const REPOSITORY = 'library/alpine';
const PATH = `/v2/${REPOSITORY}/tags/list`;
const image = buildImage();
/** In lexical order: upper case before lower, and 10 before 9. */
const TAGS = ['10', '9', 'A', '_x', 'latest', 'latest-1', 'v1.0', 'v1.0-rc'];

function pushTags(upstream: ScriptedUpstream, tags: readonly string[] = TAGS): void {
  upstream.push(REPOSITORY, undefined, image);
  for (const tag of tags) upstream.tag(REPOSITORY, tag, image.manifest.digest);
}

const tagsIn = (response: Response) => (jsonOf(response) as { tags: unknown }).tags;
const linkIn = ({ headers }: Response) => /^<(.*)>; rel="next"$/.exec(String(headers.link ?? ''))?.[1];

/** What it takes to walk through all pages, as clients do: by the link of each. */
async function follow(given: Pair, path: string): Promise<readonly unknown[]> {
  const pages: unknown[] = [];
  for (let next: string | undefined = path; next !== undefined && pages.length < 50;) {
    const response = await get(new URL(next, given.mirror.url).href);
    expect(response.status).toBe(200);
    pages.push(tagsIn(response));
    next = linkIn(response);
  }
  return pages;
}

describe('the list of tags', () => {
  const given = useMirror();
  beforeEach(() => pushTags(given.upstream));

  const list = (query = '') => get(given.mirror.url + PATH + query);

  it('has all of them, sorted, without a link, and the headers of HEAD are those of GET', async () => {
    const response = await list();
    expect(response.status).toBe(200);
    expect(jsonOf(response)).toEqual({ name: REPOSITORY, tags: TAGS });
    expect(response.headers).toMatchObject({
      'content-type': 'application/json',
      'content-length': String(response.body.length),
    });
    expect(response.headers.link).toBeUndefined();
    const headed = await head(given.mirror.url + PATH);
    expect([headed.status, headed.body.length]).toEqual([200, 0]);
    expect(headed.headers['content-length']).toBe(response.headers['content-length']);
  });

  it.each([
    ['?n=3', ['10', '9', 'A'], 'n=3&last=A'],
    ['?n=3&last=A', ['_x', 'latest', 'latest-1'], 'n=3&last=latest-1'],
    ['?last=latest', ['latest-1', 'v1.0', 'v1.0-rc'], undefined],
    ['?n=2&last=latest-1', ['v1.0', 'v1.0-rc'], undefined],
    ['?n=8', TAGS, undefined],
    ['?n=100', TAGS, undefined],
    ['?n=99999999999999999999', TAGS, undefined],
    ['?n=007', TAGS.slice(0, 7), 'n=7&last=v1.0'],
    ['?n=0', [], undefined],
    ['?n=0&last=9', [], undefined],
    ['?n=1&last=b', ['latest'], 'n=1&last=latest'],
    ['?last=zzz', [], undefined],
    ['?n=5&last=v1.0-rc', [], undefined],
    ['?last=', TAGS, undefined],
    ['?n=1&last=../../x%00', ['10'], 'n=1&last=10'],
  ])('has with %s the page %j', async (query, tags, next) => {
    const response = await list(query);
    expect(tagsIn(response)).toEqual(tags);
    expect(linkIn(response)).toBe(next && `${PATH}?${next}`);
  });

  it.each(['-1', 'x', '', '1.5', '1e3', '+1', ' 1', '0x10', '1;2'])(
    'refuses n=%s, and asks nothing',
    async (n) => {
      const url = `${given.mirror.url}${PATH}?n=${encodeURIComponent(n)}`;
      expectError(await get(url), 400, 'PAGINATION_NUMBER_INVALID');
      expectHeadError(await head(url), 400);
      expect(given.upstream.requests).toEqual([]);
    },
  );

  it.each([1, 2, 3, 7, 8])('leads through all of it by its links, %i at a time', async (n) => {
    const pages = await follow(given, `${PATH}?n=${n}`);
    expect(pages.flat()).toEqual(TAGS);
    expect(pages).toHaveLength(Math.ceil(TAGS.length / n));
  });

  it('has links that name the upstream as the request did', async () => {
    for (const path of [PATH, `/docker.io${PATH}`, `/v2/docker.io/${REPOSITORY}/tags/list`]) {
      const link = linkIn(await get(`${given.mirror.url}${path}?ns=docker.io&n=4`));
      expect(link).toBe(`${path}?n=4&last=_x&ns=docker.io`);
      expect((await follow(given, link!)).flat()).toEqual(TAGS.slice(4));
    }
  });

  it('has links that hold no host, whatever the client or a proxy before it calls us', async () => {
    const headers = {
      host: 'evil.example.com',
      'x-forwarded-host': 'evil.example.com',
      'x-forwarded-proto': 'https',
    };
    expect(linkIn(await get(`${given.mirror.url}${PATH}?n=1`, { headers }))).toBe(`${PATH}?n=1&last=10`);
  });

  it('is empty, and never null, where there are none', async () => {
    given.upstream.push('library/untagged', undefined, image);
    const response = await get(`${given.v2}/library/untagged/tags/list`);
    expect(jsonOf(response)).toEqual({ name: 'library/untagged', tags: [] });
  });

  it('is a 404 for a repository that upstream does not know, and nothing is made up', async () => {
    given.upstream.reply({ kind: 'tags' }, errorReply(404, 'NAME_UNKNOWN'));
    expectError(await list(), 404, 'NAME_UNKNOWN');
    expect(tagsIn(await list())).toEqual(TAGS);
  });
});

describe('what upstream says of tags', () => {
  describe('in pages, with links that are relative', () => {
    const given = useMirror({ scripted: { tagsPageSize: 3 } });

    it('is put together, for one request a page', async () => {
      pushTags(given.upstream);
      expect(tagsIn(await get(given.mirror.url + PATH))).toEqual(TAGS);
      expect(given.upstream.count({ kind: 'tags', status: 200 })).toBe(3);
      expect(tagsIn(await get(`${given.mirror.url}${PATH}?n=2&last=9`))).toEqual(['A', '_x']);
      expect(given.upstream.count({ kind: 'tags', status: 200 })).toBe(3);
    });
  });

  describe('in pages, with links that are absolute', () => {
    const given = useMirror({ scripted: { tagsPageSize: 3, links: 'absolute' } });

    it('is put together, and its links go to nobody else', async () => {
      pushTags(given.upstream);
      const response = await get(`${given.mirror.url}${PATH}?n=5`);
      expect(tagsIn(response)).toEqual(TAGS.slice(0, 5));
      expect(linkIn(response)).toBe(`${PATH}?n=5&last=latest`);
      expect(given.upstream.count({ kind: 'tags', status: 200 })).toBe(3);
    });
  });

  describe('in other ways', () => {
    const given = useMirror();
    const answer = (tags: unknown, headers = {}) =>
      given.upstream.reply({ kind: 'tags' }, jsonReply(200, { name: 'x', tags }, headers));

    beforeEach(() => pushTags(given.upstream));

    it.each([
      ['unsorted', ['b', 'c', 'a', 'B'], ['B', 'a', 'b', 'c']],
      ['twice', ['a', 'b', 'a'], ['a', 'b']],
      ['as null (Distribution, for none)', null, []],
      ['not at all', undefined, []],
      ['with what are no tags', ['a', '', 7, null, '../b', 'x'.repeat(129), 'c'], ['a', 'c']],
    ])('%s', async (_, said, tags) => {
      answer(said);
      expect(jsonOf(await get(given.mirror.url + PATH))).toEqual({ name: REPOSITORY, tags });
    });

    it('with a link to another host asks its own for the rest, and that host hears nothing', async () => {
      await using stranger = await ScriptedUpstream.start();
      answer(['a'], { link: `<${stranger.url}${PATH}?n=1&last=a>; rel="next"` });
      expect((await get(given.mirror.url + PATH)).status).toBe(200);
      expect(given.upstream.requests.some(({ query }) => query.get('last') === 'a')).toBe(true);
      expect(stranger.requests).toEqual([]);
    });
  });
});

describe('asking upstream for tags', () => {
  let now = 0;
  const given = useMirror({ now: () => now });
  const list = (query = '') => get(given.mirror.url + PATH + query);

  beforeEach(() => {
    now = Date.UTC(2026, 0, 1);
    pushTags(given.upstream);
  });

  it('happens once, however many ask at once and in whatever pages', async () => {
    const gate = given.upstream.hold({ kind: 'tags' });
    const queries = Array.from({ length: 50 }, (_, index) => (index % 2 === 0 ? '' : `?n=${index}`));
    const answers = queries.map((query) => list(query));
    await gate.waiting;
    gate.release();
    for (const response of await Promise.all(answers)) expect(response.status).toBe(200);
    now += MINUTE - 1;
    expect(tagsIn(await list())).toEqual(TAGS);
    expect(given.upstream.count({ kind: 'tags', status: 200 })).toBe(1);
  });

  it('happens again after the TTL, and shows what is new and what is gone', async () => {
    await list();
    given.upstream.tag(REPOSITORY, 'new', image.manifest.digest);
    given.upstream.deleteTag(REPOSITORY, '10');
    expect(tagsIn(await list())).toEqual(TAGS);
    now += MINUTE;
    expect(tagsIn(await list())).toEqual(['9', 'A', '_x', 'latest', 'latest-1', 'new', 'v1.0', 'v1.0-rc']);
  });

  it('is tried in vain while it is away: the last list stands', async () => {
    await list();
    await given.upstream.stop();
    now += MINUTE;
    const response = await list('?n=3');
    expect(tagsIn(response)).toEqual(TAGS.slice(0, 3));
    expect(linkIn(response)).toBe(`${PATH}?n=3&last=A`);
  });

  it('is tried in vain while it has too many to answer: the last list stands', async () => {
    await list();
    now += MINUTE;
    given.upstream.reply({ kind: 'tags' }, errorReply(429, 'TOOMANYREQUESTS'));
    expect(tagsIn(await list())).toEqual(TAGS);
  });

  it('was never tried before it went away: the tags that were pulled are the list', async () => {
    for (const tag of ['latest', '9']) await get(`${given.v2}/${REPOSITORY}/manifests/${tag}`);
    await given.upstream.stop();
    expect(tagsIn(await list())).toEqual(['9', 'latest']);
    await given.upstream.restart();
    now += MINUTE;
    expect(tagsIn(await list())).toEqual(TAGS);
  });

  it('was never tried, and nothing was pulled: 503', async () => {
    await given.upstream.stop();
    expectError(await list(), 503, 'UNAVAILABLE');
  });

  it.each([
    ['a 404', errorReply(404, 'NAME_UNKNOWN'), 404],
    ['a 403', errorReply(403, 'DENIED'), 403],
  ])('is answered %s, and what was known before is not shown any more', async (_, reply, status) => {
    await list();
    now += MINUTE;
    given.upstream.reply({ kind: 'tags' }, reply);
    expect((await list()).status).toBe(status);
    await given.upstream.stop();
    expectError(await list(), 503, 'UNAVAILABLE');
  });
});
