import { describe, expect, it } from 'vitest';
import { MEDIA_TYPE } from '../../../src/oci/manifest.ts';
import { parseRepositoryName } from '../../../src/oci/reference.ts';
import { buildImage, descriptorOf } from '../../support/images.ts';
import { errorReply, htmlPage, jsonReply, redirectTo } from '../../support/scripted-upstream-reply.ts';
import { IMAGE, REPOSITORY, connected, failure, never, type Connected } from './connect.ts';

const TAGS = ['1', '2', '3', '4', '5'];
const tag = (its: Connected) => {
  for (const name of TAGS) its.registry.tag(REPOSITORY, name, IMAGE.manifest.digest);
};
const listTags = (its: Connected) => its.upstream.listTags(REPOSITORY, never());

describe('RegistryUpstream.listTags', () => {
  it('lists them all, a thousand at a time', async () => {
    await using its = await connected();
    tag(its);
    expect(await listTags(its)).toEqual(TAGS);
    expect(its.registry.requests.at(-1)?.query.get('n')).toBe('1000');
  });

  it.each(['relative', 'absolute'] as const)('follows %s links from page to page', async (links) => {
    await using its = await connected({ tagsPageSize: 2, links });
    tag(its);
    expect(await listTags(its)).toEqual(TAGS);
    expect(its.registry.count({ kind: 'tags', status: 200 })).toBe(3);
  });

  it('takes nothing but the query from a link', async () => {
    await using its = await connected({ tagsPageSize: 3 });
    tag(its);
    its.registry.fault(
      { kind: 'tags' },
      { headers: { link: '</v2/private/x/tags/list?n=9&last=3>; rel="next"' } },
    );
    expect(await listTags(its)).toEqual(TAGS);
    expect(its.registry.count({ repository: 'private/x' })).toBe(0);
  });

  it('takes only the query of a link: a registry behind a proxy may not know its own scheme or host', async () => {
    await using its = await connected();
    const link = `<${its.registry.cdnUrl}/v2/library/alpine/tags/list?last=3>; rel="next"`;
    its.registry.fault({ kind: 'tags' }, { headers: { link } });
    await listTags(its);
    expect(its.registry.requests.at(-1)).toMatchObject({ origin: 'registry', kind: 'tags' });
    expect(its.registry.requests.at(-1)?.query.get('last')).toBe('3');
    expect(its.registry.count({ origin: 'cdn' })).toBe(0);
  });

  it('gives up where there is no end', async () => {
    await using its = await connected();
    const link = '</v2/library/alpine/tags/list?last=a>; rel="next"';
    its.registry.reply({ kind: 'tags' }, jsonReply(200, { tags: ['a'] }, { link }), Infinity);
    await expect(listTags(its)).rejects.toMatchObject(failure('protocol', /more than 1000 pages/));
  });

  it('gives up where all pages together are too long', async () => {
    await using its = await connected();
    const link = '</v2/library/alpine/tags/list?last=a>; rel="next"';
    const reply = jsonReply(200, { tags: ['a'], padding: 'x'.repeat(4_000_000) }, { link });
    its.registry.reply({ kind: 'tags' }, reply, Infinity);
    await expect(listTags(its)).rejects.toMatchObject(failure('protocol', /longer than/));
    expect(its.registry.count({ kind: 'tags', status: 200 })).toBeLessThan(20);
  });

  it('fails where a later page does', async () => {
    await using its = await connected({ tagsPageSize: 2 });
    tag(its);
    its.registry.reply({ kind: 'tags', where: ({ query }) => query.has('last') }, { status: 404 });
    await expect(listTags(its)).rejects.toMatchObject(failure('protocol'));
  });

  it.each([
    ['what is no tag', { tags: ['1', '', '../x', 7, null, 'a:b', '2'] }, ['1', '2']],
    ['null', { tags: null }, []],
    ['nothing where there is but the name', { name: 'library/alpine' }, []],
  ])('leaves out %s', async (_, json, expected) => {
    await using its = await connected();
    its.registry.reply({ kind: 'tags' }, jsonReply(200, json));
    expect(await listTags(its)).toEqual(expected);
  });

  it('has none where the repository does not exist, and no list where that is no list', async () => {
    await using its = await connected({ auth: 'none' });
    expect(await its.upstream.listTags(parseRepositoryName('no/such'), never())).toBeUndefined();
    its.registry.reply({ kind: 'tags' }, htmlPage());
    await expect(listTags(its)).rejects.toMatchObject(failure('protocol', /not JSON/));
    const body = Buffer.alloc(4 * 1024 * 1024 + 1, ' ');
    its.registry.reply({ kind: 'tags' }, { status: 200, body });
    await expect(listTags(its)).rejects.toMatchObject(failure('protocol', /longer than/));
  });
});

describe('RegistryUpstream.listReferrers', () => {
  const referrers = [1, 2, 3].map((seed) =>
    buildImage({ seed, subject: IMAGE.manifest, artifactType: `application/x-${seed}` }),
  );
  const push = (its: Connected) => {
    for (const image of referrers) its.registry.push(REPOSITORY, undefined, image);
  };
  const list = (its: Connected) => its.upstream.listReferrers(REPOSITORY, IMAGE.manifest.digest, never());

  it('lists them all, from page to page', async () => {
    await using its = await connected({ referrersPageSize: 2 });
    push(its);
    const expected = referrers.map(({ manifest }, index) => ({
      ...descriptorOf(manifest),
      artifactType: `application/x-${index + 1}`,
    }));
    expect(await list(its)).toEqual(expected);
    expect(its.registry.count({ kind: 'referrers', status: 200 })).toBe(2);
    expect(its.registry.requests.at(-1)?.headers.accept).toBe(MEDIA_TYPE.ociIndex);
  });

  it('knows that there are none', async () => {
    await using its = await connected();
    expect(await list(its)).toEqual([]);
  });

  it.each([
    ['has no such endpoint', { status: 404 }],
    ['denies it', errorReply(403, 'DENIED')],
    ['asks for more than our token', errorReply(401, 'UNAUTHORIZED')],
    ['does not allow it', errorReply(405, 'UNSUPPORTED')],
    ['shows a web page', htmlPage()],
    ['answers something else', jsonReply(200, { manifests: [] })],
  ])('sees no referrers API where upstream %s', async (_, reply) => {
    await using its = await connected();
    its.registry.reply({ kind: 'referrers' }, reply, Infinity);
    expect(await list(its)).toBeUndefined();
  });

  it('sees none where it is sent to the login page of another host', async () => {
    await using its = await connected();
    its.registry.reply({ kind: 'referrers' }, redirectTo(`${its.registry.cdnUrl}/login`));
    its.registry.reply({ kind: 'cdn' }, htmlPage());
    expect(await list(its)).toBeUndefined();
  });

  it.each([
    [429, 'rate-limited'],
    [503, 'unreachable'],
  ] as const)('does not take a %d for "there are none"', async (status, kind) => {
    await using its = await connected();
    its.registry.reply({ kind: 'referrers' }, { status });
    await expect(list(its)).rejects.toMatchObject(failure(kind));
  });
});
