import { describe, expect, it } from 'vitest';
import { ConfigError, type Config, type SecretOrFile } from '../../../src/config/config.ts';
import { loadConfig } from '../../../src/config/load-config.ts';
import { Secret } from '../../../src/lib/secret.ts';

const SECRETS: Record<string, string> = {
  '/run/password': 'pa ss\n',
  '/run/token': 'tok\r\n',
  '/run/empty': '\n',
};

function load(upstreams: string, env: Record<string, string> = {}): Config {
  return loadConfig({
    env,
    file: 'e.yaml',
    readFile(path) {
      if (path === 'e.yaml') return `upstreams:\n${upstreams}`;
      const text = SECRETS[path];
      if (text === undefined) throw new Error('ENOENT');
      return text;
    },
  });
}

function mistakesOf(upstreams: string, env?: Record<string, string>): readonly string[] {
  try {
    load(upstreams, env);
  } catch (error) {
    if (error instanceof ConfigError) return error.mistakes;
    throw error;
  }
  return [];
}

describe('the URL of an upstream', () => {
  it.each([
    ['https://registry-1.docker.io', 'docker.io', true],
    ['https://index.docker.io/', 'docker.io', true],
    ['https://docker.io', 'docker.io', true],
    ['https://ghcr.io', 'ghcr.io', false],
    ['HTTPS://GHCR.IO:443/', 'ghcr.io', false],
    ['http://127.0.0.1:5000', '127.0.0.1:5000', false],
    ['http://[::1]:5000/', '[::1]:5000', false],
    ['http://registry', 'registry', false],
    ['https://art.example.com/api/docker/hub//', 'art.example.com/api/docker/hub', false],
    ['https://docker.io.example.com', 'docker.io.example.com', false],
  ])('of %j makes the name %s', (url, name, isDockerHub) => {
    expect(load(`  - url: "${url}"`).upstreams[0]).toMatchObject({ name, isDockerHub });
  });

  it('has no slash at its end', () => {
    expect(load('  - url: https://a.test/b/').upstreams[0].url).toBe('https://a.test/b');
    expect(load('  - url: https://a.test/').upstreams[0].url).toBe('https://a.test');
  });

  it('may be docker.io, which people mean when they say Docker Hub, but which is no registry', () => {
    expect(load('  - url: https://docker.io').upstreams[0].url).toBe('https://registry-1.docker.io');
  });

  it.each([
    ['ghcr.io', 'expected the http or https URL'],
    ['ftp://ghcr.io', 'expected the http or https URL'],
    ['https://', 'expected the http or https URL'],
    ['https://ghcr.io?x=1', 'query'],
    ['https://ghcr.io#x', 'fragment'],
    ['https://bob@ghcr.io', 'credentials belong into'],
    ['https://ghcr.io/v2/', 'leave /v2 out'],
  ])('may not be %j', (url, hint) => {
    expect(mistakesOf(`  - url: "${url}"`)).toEqual([expect.stringContaining(hint)]);
  });
});

describe('the namespaces of upstreams', () => {
  const namespacesOf = (upstreams: string) =>
    load(upstreams).upstreams.map((upstream) => upstream.namespaces);

  it("are docker.io and the URL's host for the first", () => {
    expect(namespacesOf('  - url: https://ghcr.io')).toEqual([['docker.io', 'ghcr.io']]);
    expect(namespacesOf('  - url: http://10.0.0.1:5000/x')).toEqual([['docker.io', '10.0.0.1:5000']]);
    expect(namespacesOf('  - url: https://docker.io')).toEqual([['docker.io', 'registry-1.docker.io']]);
  });

  it("are the URL's host for the others", () => {
    expect(namespacesOf('  - {}\n  - url: https://ghcr.io\n  - url: http://r.test:5000')).toEqual([
      ['docker.io', 'registry-1.docker.io'],
      ['ghcr.io'],
      ['r.test:5000'],
    ]);
  });

  it('leave docker.io to Docker Hub, wherever that stands, and to whoever asks for it', () => {
    expect(namespacesOf('  - url: https://ghcr.io\n  - url: https://registry-1.docker.io')).toEqual([
      ['ghcr.io'],
      ['docker.io', 'registry-1.docker.io'],
    ]);
    expect(
      namespacesOf('  - url: https://ghcr.io\n  - url: http://r.test\n    namespaces: [docker.io]'),
    ).toEqual([['ghcr.io'], ['docker.io']]);
  });

  it('are exactly those that are given', () => {
    expect(namespacesOf('  - url: https://ghcr.io\n    namespaces: [Ghcr.IO, ghcr.io, g]')).toEqual([
      ['ghcr.io', 'g'],
    ]);
  });

  it('belong to one upstream only', () => {
    expect(mistakesOf('  - namespaces: docker.io, a.test\n  - url: https://a.test')).toEqual([
      'e.yaml:upstreams[1].namespaces has a name that is already one of e.yaml:upstreams[0].namespaces (a.test)',
    ]);
  });

  it('do not make two upstreams of one registry', () => {
    const twice =
      '  - url: https://a.test/x\n    namespaces: [a]\n  - url: http://a.test/x/\n    namespaces: [b]';
    expect(mistakesOf(twice)).toEqual([
      'e.yaml:upstreams[1].url is the same registry as e.yaml:upstreams[0].url (a.test/x)',
    ]);
  });

  it.each(['https://ghcr.io', 'ghcr.io/x', 'a b', '-a', 'a:b', '""', 'a,,b', '[a, [b]]', '[1]'])(
    'are no %s',
    (namespaces) => {
      expect(mistakesOf(`  - namespaces: ${namespaces}`)).toEqual([
        expect.stringContaining('expected registry hosts such as docker.io'),
      ]);
    },
  );
});

describe('the credentials of an upstream', () => {
  const shown = (secret: SecretOrFile) => (secret instanceof Secret ? secret.reveal() : secret);
  const credentialsOf = (upstream: string) => {
    const { credentials } = load(`  - { ${upstream} }`).upstreams[0];
    if (credentials?.kind === 'password') return [credentials.username, shown(credentials.password)];
    return credentials ? [shown(credentials.token)] : [];
  };

  it.each([
    ['username: bob, password: "0123"', ['bob', '0123']],
    ['username: bob, passwordFile: /run/password', ['bob', { file: '/run/password' }]],
    ['token: abc', ['abc']],
    ['tokenFile: /run/token', [{ file: '/run/token' }]],
    ['', []],
  ])('are read from { %s }', (upstream, credentials) => {
    expect(credentialsOf(upstream)).toEqual(credentials);
  });

  it.each([
    ['username: bob', ['username needs a password or passwordFile too']],
    ['password: x', ['password needs a username too']],
    ['passwordFile: /run/password', ['passwordFile needs a username too']],
    [
      'username: bob, password: x, passwordFile: /run/password',
      ['passwordFile goes against e.yaml:upstreams[0].password: keep one of the two'],
    ],
    [
      'token: x, tokenFile: /run/token',
      ['tokenFile goes against e.yaml:upstreams[0].token: keep one of the two'],
    ],
    [
      'token: x, username: bob, password: x',
      ['token goes against e.yaml:upstreams[0].username: keep one of the two'],
    ],
  ])('are contradictory in { %s }', (upstream, mistakes) => {
    expect(mistakesOf(`  - { ${upstream} }`)).toEqual(mistakes.map((text) => `e.yaml:upstreams[0].${text}`));
  });

  it.each([
    ['username: bob, passwordFile: /run/empty', 'the secret is empty'],
    ['username: bob, passwordFile: /run/nope', "it can't be read: ENOENT"],
    ['username: bob, password: 0123', 'it is not a text'],
    ['username: bob, password: ""', 'the secret is empty'],
    ['username: "bob:x", password: y', 'expected a user name without a colon'],
    ['token: "a\\nb"', 'line break'],
  ])('are refused in { %s }, with that one mistake', (upstream, mistake) => {
    expect(mistakesOf(`  - { ${upstream} }`)).toEqual([expect.stringContaining(mistake)]);
  });

  it('may come from a variable for a user of the file', () => {
    const config = load('  - username: bob', { ENTREPOT_UPSTREAM_PASSWORD_FILE: '/run/password' });
    expect(config.upstreams[0].credentials).toMatchObject({ kind: 'password', username: 'bob' });
  });
});
