import { describe, expect, it } from 'vitest';
import { parseRepositoryName, type RepositoryName } from '../../../src/oci/reference.ts';
import {
  Repositories,
  type MirroredRegistry,
  type RepositoryRequest,
} from '../../../src/repository/repositories.ts';
import type { Repository } from '../../../src/repository/repository.ts';
import type { Upstream } from '../../../src/upstream/upstream.ts';

/** What was asked of which upstream, as `upstream: name`. */
class FoundRepository {
  readonly id: string;

  constructor(upstream: string, name: RepositoryName) {
    this.id = `${upstream}: ${name}`;
  }
}

function registry(
  upstream: string,
  namespaces: readonly string[],
  { impliesLibrary = false, names = [] as readonly string[] } = {},
): MirroredRegistry {
  return {
    namespaces,
    impliesLibrary,
    mirror: {
      upstream: { name: upstream } as Upstream,
      repository: (name) => new FoundRepository(upstream, name) as unknown as Repository,
      repositoryNames: (after, limit) =>
        Promise.resolve(
          names
            .filter((name) => after === undefined || name > after)
            .slice(0, limit)
            .map((name) => parseRepositoryName(name)),
        ),
    },
  };
}

const HUB = ['docker.io', 'registry-1.docker.io'];
const several = (names: { hub?: readonly string[]; ghcr?: readonly string[] } = {}) =>
  new Repositories([
    registry('hub', HUB, { impliesLibrary: true, names: names.hub ?? [] }),
    registry('ghcr', ['ghcr.io', 'localhost:5000'], { names: names.ghcr ?? [] }),
  ]);

function find(
  repositories: Repositories,
  request: Omit<RepositoryRequest, 'name'> & { name: string },
): string {
  const found: unknown = repositories.find({ ...request, name: parseRepositoryName(request.name) });
  return (found as FoundRepository).id;
}

describe('Repositories.find', () => {
  it.each([
    [{ name: 'library/alpine' }, 'hub: library/alpine'],
    [{ name: 'team/a/b' }, 'hub: team/a/b'],
    [{ name: 'team/app', namespace: 'ghcr.io' }, 'ghcr: team/app'],
    [{ name: 'team/app', namespace: 'localhost:5000' }, 'ghcr: team/app'],
    [{ name: 'team/app', prefix: 'ghcr.io' }, 'ghcr: team/app'],
    [{ name: 'team/app', prefix: 'ghcr.io', namespace: 'ghcr.io' }, 'ghcr: team/app'],
    [{ name: 'team/app', prefix: 'ghcr.io', namespace: 'localhost:5000' }, 'ghcr: team/app'],
    [{ name: 'ghcr.io/team/app' }, 'ghcr: team/app'],
    [{ name: 'ghcr.io/team/app', namespace: 'ghcr.io' }, 'ghcr: team/app'],
    [{ name: 'ghcr.io/team/app', prefix: 'ghcr.io' }, 'ghcr: team/app'],
    [{ name: 'docker.io/team/app' }, 'hub: team/app'],
    [{ name: 'registry-1.docker.io/team/app', namespace: 'docker.io' }, 'hub: team/app'],
  ])('gives for %j the repository %s', (request, id) => {
    expect(find(several(), request)).toBe(id);
  });

  it.each([
    [{ name: 'alpine' }, 'hub: library/alpine'],
    [{ name: 'alpine', namespace: 'docker.io' }, 'hub: library/alpine'],
    [{ name: 'alpine', prefix: 'docker.io' }, 'hub: library/alpine'],
    [{ name: 'docker.io/alpine' }, 'hub: library/alpine'],
    [{ name: 'docker.io/alpine', namespace: 'docker.io' }, 'hub: library/alpine'],
    [{ name: 'docker.io/library/alpine' }, 'hub: library/alpine'],
    [{ name: 'library' }, 'hub: library/library'],
    [{ name: 'docker.io' }, 'hub: library/docker.io'],
    [{ name: 'ghcr.io/alpine' }, 'ghcr: alpine'],
    [{ name: 'alpine', namespace: 'ghcr.io' }, 'ghcr: alpine'],
  ])('implies library/ on Docker Hub, and there alone: %j is %s', (request, id) => {
    expect(find(several(), request)).toBe(id);
  });

  it('implies no library/ where the default is another registry', () => {
    const repositories = new Repositories([registry('own', ['registry.example.com', 'docker.io'])]);
    expect(find(repositories, { name: 'alpine' })).toBe('own: alpine');
    expect(find(repositories, { name: 'alpine', namespace: 'docker.io' })).toBe('own: alpine');
  });

  it('takes what only begins like a registry for a part of the name', () => {
    expect(find(several(), { name: 'ghcr.io.example.com/app' })).toBe('hub: ghcr.io.example.com/app');
    expect(find(several(), { name: 'team/ghcr.io/app' })).toBe('hub: team/ghcr.io/app');
    expect(find(several(), { name: 'ghcr.io' })).toBe('hub: library/ghcr.io');
  });

  it('takes one prefix off a name, and not what follows it', () => {
    expect(find(several(), { name: 'ghcr.io/ghcr.io/app' })).toBe('ghcr: ghcr.io/app');
    expect(find(several(), { name: 'docker.io/docker.io/app' })).toBe('hub: docker.io/app');
  });

  it.each([
    { name: 'team/app', namespace: 'quay.io' },
    { name: 'team/app', namespace: '' },
    { name: 'team/app', prefix: 'quay.io' },
    { name: 'team/app', prefix: 'quay.io', namespace: 'docker.io' },
    { name: 'team/app', prefix: 'docker.io', namespace: 'quay.io' },
    { name: 'team/app', prefix: 'docker.io', namespace: 'ghcr.io' },
    { name: 'team/app', prefix: 'hub' },
    { name: 'ghcr.io/app', namespace: 'constructor' },
  ])('refuses %j, and never falls back on the default', (request) => {
    const refused = expect.objectContaining({ code: 'NAME_UNKNOWN', status: 404 }) as Error;
    expect(() => find(several(), request)).toThrow(refused);
  });
});

describe('Repositories.list', () => {
  const names = { hub: ['aaa', 'library/alpine', 'zzz'], ghcr: ['a/b', 'team/app'] };
  const ALL = ['aaa', 'ghcr.io/a/b', 'ghcr.io/team/app', 'library/alpine', 'zzz'];

  it('has the names of all upstreams as they are pulled from here, in order', async () => {
    expect(await several(names).list(undefined, 100)).toEqual(ALL);
  });

  it('goes on after any of them, and after what is none', async () => {
    const repositories = several(names);
    for (let index = 0; index < ALL.length; index += 1) {
      expect(await repositories.list(ALL[index], 2)).toEqual(ALL.slice(index + 1, index + 3));
    }
    expect(await repositories.list('ghcr.io', 2)).toEqual(ALL.slice(1, 3));
    expect(await repositories.list('ghcr.io/', 2)).toEqual(ALL.slice(1, 3));
    expect(await repositories.list('ghcr.io0', 2)).toEqual(ALL.slice(3, 5));
    expect(await repositories.list('', 1)).toEqual(['aaa']);
  });

  it('can give none', async () => {
    expect(await several(names).list(undefined, 0)).toEqual([]);
    expect(await several().list(undefined, 10)).toEqual([]);
    expect(await several(names).list('zzz', 10)).toEqual([]);
  });

  it('leaves out what has no name that a path can hold: it can be pulled by ns alone', async () => {
    const repositories = new Repositories([
      registry('hub', HUB, { names: ['aaa'] }),
      registry('localhost:5000', ['localhost:5000'], { names: ['team/app'] }),
    ]);
    expect(await repositories.list(undefined, 10)).toEqual(['aaa']);
  });
});
