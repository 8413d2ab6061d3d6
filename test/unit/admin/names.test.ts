import { describe, expect, it } from 'vitest';
import { ImageNames } from '../../../src/admin/names.ts';
import { parseRepositoryName } from '../../../src/oci/reference.ts';

const DIGEST = `sha256:${'ab'.repeat(32)}`;
const names = new ImageNames([
  { upstream: 'docker.io', namespaces: ['docker.io', 'registry-1.docker.io'], impliesLibrary: true },
  { upstream: 'ghcr.io', namespaces: ['ghcr.io'], impliesLibrary: false },
  { upstream: 'harbor.example.com/proxy', namespaces: ['harbor.example.com/proxy'], impliesLibrary: false },
  { upstream: 'harbor.example.com', namespaces: ['harbor.example.com'], impliesLibrary: false },
  { upstream: 'localhost:5000', namespaces: ['localhost:5000'], impliesLibrary: false },
  { upstream: 'unnamed.example.com', namespaces: [], impliesLibrary: false },
]);

function parsed(text: string): string {
  const { repository, reference } = names.parse(text);
  const target = reference.kind === 'tag' ? `:${reference.tag}` : `@${reference.digest}`;
  return `${repository.upstream} ${repository.name}${target}`;
}

const invalid = (message: RegExp) =>
  expect.objectContaining({
    name: 'AdminError',
    kind: 'invalid',
    message: expect.stringMatching(message) as string,
  }) as Error;

describe('ImageNames.parse', () => {
  it.each([
    ['alpine', 'docker.io library/alpine:latest'],
    ['alpine:3', 'docker.io library/alpine:3'],
    ['library/alpine:3', 'docker.io library/alpine:3'],
    ['docker.io/alpine:3', 'docker.io library/alpine:3'],
    ['registry-1.docker.io/team/app', 'docker.io team/app:latest'],
    [`alpine@${DIGEST}`, `docker.io library/alpine@${DIGEST}`],
    [`alpine:3@${DIGEST}`, `docker.io library/alpine@${DIGEST}`],
    ['ghcr.io/team/app:1', 'ghcr.io team/app:1'],
    ['ghcr.io/app', 'ghcr.io app:latest'],
    [`ghcr.io/a/b@${DIGEST}`, `ghcr.io a/b@${DIGEST}`],
    ['localhost:5000/team/app:1', 'localhost:5000 team/app:1'],
    ['localhost:5000/app', 'localhost:5000 app:latest'],
    ['harbor.example.com/proxy/app', 'harbor.example.com/proxy app:latest'],
    ['harbor.example.com/other/app', 'harbor.example.com other/app:latest'],
    ['unnamed.example.com/app', 'unnamed.example.com app:latest'],
    ['docker.io', 'docker.io library/docker.io:latest'],
    ['localhost:5000', 'docker.io library/localhost:5000'],
  ])('takes %s for %s', (text, expected) => {
    expect(parsed(text)).toBe(expected);
  });

  it.each(['quay.io/team/app', 'localhost/app', 'localhost:5001/app', 'https://ghcr.io/team/app'])(
    'refuses %s, whose registry is none of ours, and says which are',
    (text) => {
      expect(() => names.parse(text)).toThrow(invalid(/is no upstream of this mirror, which has .*ghcr\.io/));
    },
  );

  it.each([
    ['', /no name/],
    ['Alpine', /lower case/],
    ['alpine:', /tag/],
    ['alpine:-x', /tag/],
    ['alpine@', /digest/],
    ['alpine@sha256:12', /digest/],
    ['a b', /no name/],
    ['/alpine', /no name/],
    ['alpine/', /no name/],
    ['a'.repeat(300), /no name/],
  ])('refuses %j', (text, message) => {
    expect(() => names.parse(text)).toThrow(invalid(message));
  });

  it('wants a repository where it wants one', () => {
    expect(names.parseRepository('alpine')).toEqual({ upstream: 'docker.io', name: 'library/alpine' });
    expect(names.parseRepository('localhost:5000/app')).toEqual({ upstream: 'localhost:5000', name: 'app' });
    for (const text of ['alpine:3', `alpine@${DIGEST}`]) {
      expect(() => names.parseRepository(text)).toThrow(invalid(/a repository is wanted/));
    }
  });
});

describe('ImageNames.format', () => {
  it.each([
    ['docker.io', 'library/alpine', 'library/alpine'],
    ['ghcr.io', 'team/app', 'ghcr.io/team/app'],
    ['localhost:5000', 'app', 'localhost:5000/app'],
    ['harbor.example.com/proxy', 'app', 'harbor.example.com/proxy/app'],
    ['unnamed.example.com', 'app', 'unnamed.example.com/app'],
    // What would be taken for another registry's.
    ['docker.io', 'ghcr.io/app', 'docker.io/ghcr.io/app'],
    ['docker.io', 'docker.io/app', 'docker.io/docker.io/app'],
    ['docker.io', 'my.team/app', 'docker.io/my.team/app'],
    ['docker.io', 'localhost/app', 'docker.io/localhost/app'],
  ])('calls what %s has as %s %s, which leads back there', (upstream, name, shown) => {
    const key = { upstream, name: parseRepositoryName(name) };
    expect(names.format(key)).toBe(shown);
    expect(names.parseRepository(shown)).toEqual(key);
  });

  it('shows what is left of an upstream that is no longer configured', () => {
    expect(names.format({ upstream: 'quay.io', name: parseRepositoryName('a/b') })).toBe('quay.io/a/b');
  });

  it.each(['library/alpine:3', `ghcr.io/a/b@${DIGEST}`])('writes the reference %s as it is read', (text) => {
    const { repository, reference } = names.parse(text);
    expect(names.formatReference(repository, reference)).toBe(text);
  });
});
