import { describe, expect, it } from 'vitest';
import { parseRoute } from '../../../src/oci/route.ts';

const D = `sha256:${'ab'.repeat(32)}`;
const D512 = `sha512:${'ab'.repeat(64)}`;
const tag = (text: string) => ({ kind: 'tag', tag: text });
const digest = (text: string) => ({ kind: 'digest', digest: text });

function refusal(path: string): { code: string; status: number } {
  try {
    parseRoute(path);
  } catch (error) {
    const { code, status } = error as { code: string; status: number };
    return { code, status };
  }
  throw new Error(`${path} was taken`);
}

describe('parseRoute', () => {
  it.each([
    ['/v2/', { kind: 'ping' }],
    ['/v2', { kind: 'ping' }],
    ['/docker.io/v2/', { kind: 'ping' }],
    ['/docker.io/v2', { kind: 'ping' }],
    ['/v2/_catalog', { kind: 'catalog' }],
  ])('%s', (path, route) => {
    expect(parseRoute(path)).toEqual(route);
  });

  it.each([
    ['/v2/alpine/manifests/latest', 'alpine', tag('latest')],
    ['/v2/library/alpine/manifests/3.20', 'library/alpine', tag('3.20')],
    [`/v2/library/alpine/manifests/${D}`, 'library/alpine', digest(D)],
    [`/v2/library/alpine/manifests/${D512}`, 'library/alpine', digest(D512)],
    ['/v2/a/b/c/d/e/manifests/x', 'a/b/c/d/e', tag('x')],
    ['/v2/ghcr.io/owner/name/manifests/x', 'ghcr.io/owner/name', tag('x')],
    ['/v2/manifests/manifests/manifests', 'manifests', tag('manifests')],
    ['/v2/a/manifests/manifests/latest', 'a/manifests', tag('latest')],
    ['/v2/a/manifests/b/manifests/latest', 'a/manifests/b', tag('latest')],
    ['/v2/a/blobs/manifests/latest', 'a/blobs', tag('latest')],
    ['/v2/a/blobs/uploads/manifests/latest', 'a/blobs/uploads', tag('latest')],
    ['/v2/a/tags/list/manifests/latest', 'a/tags/list', tag('latest')],
    ['/v2/a/tags/manifests/list', 'a/tags', tag('list')],
    ['/v2/a/referrers/manifests/x', 'a/referrers', tag('x')],
    ['/v2/v2/manifests/v2', 'v2', tag('v2')],
    ['/v2/a/v2/b/manifests/x', 'a/v2/b', tag('x')],
    [`/v2/a/manifests/${D.replace(':', '%3A')}`, 'a', digest(D)],
    [`/v2/a/manifests/${D.replace(':', '%3a')}`, 'a', digest(D)],
  ])('%s is a manifest of %s', (path, name, reference) => {
    expect(parseRoute(path)).toEqual({ kind: 'manifest', name, reference, prefix: undefined });
  });

  it.each([
    [`/v2/library/alpine/blobs/${D}`, 'blob', 'library/alpine'],
    [`/v2/a/blobs/blobs/${D512}`, 'blob', 'a/blobs'],
    [`/v2/blobs/blobs/${D}`, 'blob', 'blobs'],
    [`/v2/a/blobs/uploads/blobs/${D}`, 'blob', 'a/blobs/uploads'],
    [`/v2/a/manifests/blobs/${D}`, 'blob', 'a/manifests'],
    [`/v2/a/referrers/${D}`, 'referrers', 'a'],
    [`/v2/a/referrers/referrers/${D}`, 'referrers', 'a/referrers'],
    [`/v2/a/blobs/${D.replace(':', '%3A')}`, 'blob', 'a'],
  ])('%s is the %s of %s', (path, kind, name) => {
    const route = parseRoute(path);
    expect(route).toMatchObject({ kind, name, prefix: undefined });
    expect(route).toHaveProperty('digest', path.includes('sha512') ? D512 : D);
  });

  it.each([
    ['/v2/a/tags/list', 'a'],
    ['/v2/a/tags/tags/list', 'a/tags'],
    ['/v2/tags/list/tags/list', 'tags/list'],
    ['/v2/a/manifests/tags/list', 'a/manifests'],
  ])('%s are the tags of %s', (path, name) => {
    expect(parseRoute(path)).toEqual({ kind: 'tags', name, prefix: undefined });
  });

  it.each([
    ['/docker.io/v2/library/alpine/manifests/3', 'docker.io', 'library/alpine'],
    ['/localhost:5000/v2/a/manifests/3', 'localhost:5000', 'a'],
    ['/localhost%3A5000/v2/a/manifests/3', 'localhost:5000', 'a'],
    ['/some/where/v2/a/manifests/3', 'some/where', 'a'],
    ['/ghcr.io/v2/v2/a/manifests/3', 'ghcr.io', 'v2/a'],
  ])('%s has the prefix %s', (path, prefix, name) => {
    expect(parseRoute(path)).toMatchObject({ kind: 'manifest', prefix, name });
  });
});

describe('parseRoute refuses', () => {
  it.each([
    ['/v2/manifests/latest', 'without a name'],
    ['/v2//manifests/latest', 'an empty name'],
    ['/v2/a//b/manifests/latest', 'an empty component'],
    ['/v2/a//manifests/latest', 'an empty component at the end'],
    ['/v2/Alpine/manifests/latest', 'upper case'],
    ['/v2/../manifests/latest', 'a way up'],
    ['/v2/a/../../etc/manifests/passwd', 'a longer way up'],
    ['/v2/a/./b/manifests/x', 'a dot'],
    ['/v2/a:b/manifests/x', 'a colon'],
    ['/v2/a%3Ab/manifests/x', 'an encoded colon'],
    ['/v2/_catalog/manifests/x', 'the name of an endpoint'],
    [`/v2/${'a'.repeat(256)}/manifests/x`, 'more than 255 characters'],
    [`/v2//blobs/${D}`, 'an empty name of a blob'],
    ['/v2/tags/list', 'an empty name of tags'],
    [`/v2/referrers/${D}`, 'an empty name of referrers'],
    ['/v2/a b/manifests/x', 'a space'],
  ])('%s for its name: %s', (path) => {
    expect(refusal(path)).toEqual({ code: 'NAME_INVALID', status: 400 });
  });

  it.each([
    ['/v2/library%2Falpine/manifests/x', 'an encoded slash'],
    ['/v2/library%2falpine/manifests/x', 'the same in lower case'],
    ['/v2/%2e%2e/manifests/x', 'encoded dots'],
    ['/v2/a/manifests/%2e%2e%2fx', 'both, in a reference'],
    ['/v2/a%00/manifests/x', 'an encoded NUL'],
    ['/v2/a\0/manifests/x', 'a NUL'],
    ['/v2/a%5c..%5cb/manifests/x', 'encoded backslashes'],
    ['/v2/a\\..\\b/manifests/x', 'backslashes'],
    ['/v2/%61/manifests/x', 'a letter that needs no encoding'],
    ['/v2/a/manifests/%253A', 'encoding that is encoded'],
    ['/v2/a/manifests/%', 'a percent sign alone'],
    ['/v2/a/manifests/%ff', 'bytes that are no UTF-8'],
    ['/%76%32/a/manifests/x', 'an encoded v2'],
    ['/%2e%2e/v2/', 'a prefix that is a way up'],
    ['/a\\b/v2/', 'a backslash in a prefix'],
    ['/a\0b/v2/', 'a NUL in a prefix'],
    [`/v2/${'a/'.repeat(600)}manifests/x`, 'a path of more than 1024 characters'],
    [`/${'a/'.repeat(600)}v2/`, 'a prefix of more than 1024 characters'],
  ])('%s: %s', (path) => {
    expect(refusal(path)).toEqual({ code: 'NAME_INVALID', status: 400 });
  });

  it('a name of 255 characters is not too long, with the longest reference and a prefix', () => {
    const path = `/${'p'.repeat(255)}/v2/${'a'.repeat(255)}/manifests/${D512}`;
    expect(parseRoute(path)).toMatchObject({ kind: 'manifest', reference: digest(D512) });
  });

  it.each([
    '/v2/a/manifests/sha256:totallywrong',
    '/v2/a/blobs/sha256:totallywrong',
    '/v2/a/blobs/latest',
    '/v2/a/blobs/',
    '/v2/a/blobs/uploads',
    '/v2/a/referrers/latest',
    '/v2/a/referrers/',
    `/v2/a/blobs/${D.toUpperCase()}`,
    `/v2/a/blobs/${D} `,
  ])('%s for its digest', (path) => {
    expect(refusal(path)).toEqual({ code: 'DIGEST_INVALID', status: 400 });
  });

  it.each([
    '/v2/a/manifests/',
    '/v2/a/manifests/.x',
    '/v2/a/manifests/..',
    `/v2/a/manifests/${'x'.repeat(129)}`,
  ])('%s for its tag', (path) => {
    expect(refusal(path)).toEqual({ code: 'TAG_INVALID', status: 400 });
  });

  it('names before references, so that a client hears the first mistake', () => {
    expect(refusal('/v2/A/manifests/sha256:x').code).toBe('NAME_INVALID');
  });

  it.each(['/v2/a/blobs/uploads/', '/v2/a/blobs/uploads/3f2a', '/v2/a/b/blobs/uploads/3f2a'])(
    '%s, for there are no uploads',
    (path) => {
      expect(refusal(path)).toEqual({ code: 'BLOB_UPLOAD_UNKNOWN', status: 404 });
    },
  );

  it.each([
    '/',
    '',
    '/v1/',
    '/V2/',
    '/v2x/',
    '/metrics',
    '/favicon.ico',
    '/v2/a',
    '/v2/a/',
    '/v2/a/b/c',
    '/v2/_catalog/',
    '/v2/_catalog/x',
    '/v2/a/tags',
    '/v2/a/tags/',
    '/v2/a/tags/latest',
    '/v2/a/tags/list/',
    '/v2/a/manifests/latest/',
    '/v2/a/manifests/latest/x',
    '/v2/a/manifests',
    '/v2/a/uploads/x',
    '/v2/../v2/',
    '/v2//',
  ])('%j, which is no endpoint, with a 404', (path) => {
    expect(refusal(path)).toEqual({ code: 'UNSUPPORTED', status: 404 });
  });
});
