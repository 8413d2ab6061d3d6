import { resolve } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { ConfigError, type Config } from '../../../src/config/config.ts';
import { loadConfig } from '../../../src/config/load-config.ts';
import { Secret } from '../../../src/lib/secret.ts';

const FILE = 'entrepot.yaml';

interface Given {
  readonly env?: Record<string, string>;
  readonly yaml?: string;
  readonly files?: Record<string, string>;
}

function load({ env = {}, yaml, files = {} }: Given): Config {
  const known: Record<string, string> = { ...files, ...(yaml === undefined ? {} : { [FILE]: yaml }) };
  return loadConfig({
    env,
    file: yaml === undefined ? undefined : FILE,
    readFile(path) {
      const text = known[path];
      if (text === undefined) throw new Error(`ENOENT: no such file or directory, open '${path}'`);
      return text;
    },
  });
}

function mistakesOf(given: Given): readonly string[] {
  try {
    load(given);
  } catch (error) {
    if (error instanceof ConfigError) return error.mistakes;
    throw error;
  }
  return [];
}

describe('loadConfig without a file or a variable', () => {
  it('mirrors Docker Hub with every default', () => {
    expect(load({})).toEqual({
      listen: { host: '0.0.0.0', port: 5000 },
      admin: { listen: { host: '127.0.0.1', port: 5001 }, token: undefined },
      tls: undefined,
      dataDir: resolve('data'),
      upstreams: [
        {
          name: 'docker.io',
          url: 'https://registry-1.docker.io',
          isDockerHub: true,
          namespaces: ['docker.io', 'registry-1.docker.io'],
          credentials: undefined,
          realms: [],
          redirects: [],
          maxConnections: 32,
          connectTimeoutMs: 5000,
          headersTimeoutMs: 20_000,
          bodyTimeoutMs: 30_000,
        },
      ],
      cache: { maxSize: { kind: 'share', share: 0.8 }, lowWater: 0.9, memoryBytes: 64 * 2 ** 20 },
      tagTtlMs: 60_000,
      tagStaleForMs: 30 * 24 * 3_600_000,
      missTtlMs: 10_000,
      isOffline: false,
      downloads: { maxConcurrent: 32, whenAbandoned: 'finish', keepPartialMs: 24 * 3_600_000 },
      scrub: { intervalMs: 7 * 24 * 3_600_000, bytesPerSecond: 16 * 1024 ** 2 },
      clients: { maxConnections: 16_384, timeoutMs: 300_000 },
      workers: 1,
      sendfile: 'auto',
      accel: undefined,
      log: { level: 'info' },
      shutdownGraceMs: 25_000,
    } satisfies Config);
  });

  it('is frozen to the bottom', () => {
    const config = load({ env: { ENTREPOT_UPSTREAM_NAMESPACES: 'docker.io' } });
    for (const part of [config, config.listen, config.admin.listen, config.upstreams, config.upstreams[0]]) {
      expect(Object.isFrozen(part)).toBe(true);
    }
    expect(Object.isFrozen(config.upstreams[0].namespaces)).toBe(true);
    expect(Object.isFrozen(config.cache.maxSize)).toBe(true);
  });
});

describe('loadConfig with variables', () => {
  it('takes each of them', () => {
    const config = load({
      files: { '/run/cert.pem': 'c', '/run/key.pem': 'k' },
      env: {
        ENTREPOT_LISTEN: '[::1]:0',
        ENTREPOT_ADMIN_LISTEN: ':9001',
        ENTREPOT_TLS_CERTIFICATE: '/run/cert.pem',
        ENTREPOT_TLS_KEY: '/run/key.pem',
        ENTREPOT_DATA_DIR: '/var/lib/entrepot/',
        ENTREPOT_UPSTREAM_URL: 'https://Registry.Example.com:5000/team/',
        ENTREPOT_UPSTREAM_NAMESPACES: 'registry.example.com:5000, Example.com',
        ENTREPOT_UPSTREAM_REALMS: 'auth.example.net',
        ENTREPOT_UPSTREAM_USERNAME: 'bob',
        ENTREPOT_UPSTREAM_PASSWORD: ' s3cret ',
        ENTREPOT_CACHE_MAX_SIZE: '40GiB',
        ENTREPOT_CACHE_LOW_WATER: '75.5%',
        ENTREPOT_CACHE_MEMORY: '1MB',
        ENTREPOT_TAG_TTL: '0',
        ENTREPOT_WORKERS: '4',
        ENTREPOT_SENDFILE: 'off',
        ENTREPOT_ACCEL_HEADER: 'X-Accel-Redirect',
        ENTREPOT_ACCEL_PREFIX: '/layers/',
        ENTREPOT_ACCEL_MIN_SIZE: '64KiB',
        ENTREPOT_LOG_LEVEL: 'WARN',
        ENTREPOT_SHUTDOWN_GRACE: '500ms',
      },
    });
    expect(config).toMatchObject({
      listen: { host: '::1', port: 0 },
      admin: { listen: { host: '0.0.0.0', port: 9001 } },
      tls: { certificate: '/run/cert.pem', key: '/run/key.pem' },
      dataDir: '/var/lib/entrepot',
      cache: { maxSize: { kind: 'bytes', bytes: 40 * 2 ** 30 }, lowWater: 0.755, memoryBytes: 1e6 },
      tagTtlMs: 0,
      workers: 4,
      sendfile: 'off',
      accel: { header: 'x-accel-redirect', prefix: '/layers/', minBytes: 65_536 },
      log: { level: 'warn' },
      shutdownGraceMs: 500,
    });
    const [upstream] = config.upstreams;
    expect(upstream).toMatchObject({
      name: 'registry.example.com:5000/team',
      url: 'https://registry.example.com:5000/team',
      isDockerHub: false,
      namespaces: ['registry.example.com:5000', 'example.com'],
      realms: ['auth.example.net'],
    });
    expect(upstream.credentials).toMatchObject({ kind: 'password', username: 'bob' });
    const password = upstream.credentials?.kind === 'password' && upstream.credentials.password;
    expect(password instanceof Secret && password.reveal()).toBe(' s3cret ');
  });

  it('takes an empty one as unset', () => {
    expect(load({ env: { ENTREPOT_TAG_TTL: '', ENTREPOT_CONFIG: '', ENTREPOT_TYPO: '' } })).toEqual(load({}));
  });

  it('puts them over the file, those for an upstream over its first', () => {
    const config = load({
      yaml: `
        tagTtl: 5m
        cache: { memory: 1MiB, maxSize: 10GiB }
        upstreams:
          - { url: https://ghcr.io, maxConnections: 4 }
          - { url: https://quay.io }
      `,
      env: { ENTREPOT_CACHE_MAX_SIZE: '50%', ENTREPOT_UPSTREAM_URL: 'http://10.0.0.1:5000' },
    });
    expect(config.tagTtlMs).toBe(300_000);
    expect(config.cache).toMatchObject({ memoryBytes: 2 ** 20, maxSize: { kind: 'share', share: 0.5 } });
    expect(config.upstreams).toMatchObject([
      { url: 'http://10.0.0.1:5000', maxConnections: 4 },
      { url: 'https://quay.io' },
    ]);
  });

  it('reads the file that ENTREPOT_CONFIG names, unless the command line names another', () => {
    const files: Record<string, string> = { 'a.yaml': 'tagTtl: 1s', 'b.yaml': 'tagTtl: 2s' };
    const readFile = (path: string) => files[path] ?? '';
    const env = { ENTREPOT_CONFIG: 'a.yaml' };
    expect(loadConfig({ env, readFile }).tagTtlMs).toBe(1000);
    expect(loadConfig({ env, readFile, file: 'b.yaml' }).tagTtlMs).toBe(2000);
  });

  it('refuses one that is no setting, and names the nearest that is', () => {
    expect(
      mistakesOf({ env: { ENTREPOT_LISTN: ':5000', ENTREPOT_ZZZZZZZZ: '1', ENTREPOT_PORT: '5000' } }),
    ).toEqual([
      'ENTREPOT_LISTN is no setting; did you mean ENTREPOT_LISTEN?',
      'ENTREPOT_ZZZZZZZZ is no setting',
      'ENTREPOT_PORT is no setting; did you mean ENTREPOT_LISTEN?',
    ]);
  });

  it('leaves those alone that Kubernetes makes of Services called entrepot and entrepot-admin', () => {
    const env = Object.fromEntries(
      ['ENTREPOT', 'ENTREPOT_ADMIN', 'ENTREPOT_TAG_TTL'].flatMap((service) => [
        [`${service}_SERVICE_HOST`, '10.96.0.7'],
        [`${service}_SERVICE_PORT`, '5000'],
        [`${service}_SERVICE_PORT_REGISTRY_HTTP`, '5000'],
        [`${service}_PORT`, 'tcp://10.96.0.7:5000'],
        [`${service}_PORT_5000_TCP`, 'tcp://10.96.0.7:5000'],
        [`${service}_PORT_5000_TCP_PROTO`, 'tcp'],
        [`${service}_PORT_5000_TCP_PORT`, '5000'],
        [`${service}_PORT_5000_TCP_ADDR`, '10.96.0.7'],
      ]),
    );
    expect(load({ env })).toEqual(load({}));
  });

  it('has no opinion on variables of others', () => {
    expect(load({ env: { HOME: '/root', LISTEN: 'x', entrepot_listen: 'x' } })).toEqual(load({}));
  });
});

describe('loadConfig with a file', () => {
  it.each(['', '# only a comment\n', 'cache:\nupstreams:\n  # - url: https://ghcr.io\n', '---\n'])(
    'takes %j for one that says nothing',
    (yaml) => {
      expect(load({ yaml })).toEqual(load({}));
    },
  );

  it('takes numbers and lists as YAML has them', () => {
    const config = load({
      yaml: 'cache: { maxSize: 1073741824 }\nupstreams: [{ maxConnections: 8, namespaces: [docker.io, hub.test] }]',
    });
    expect(config.cache.maxSize).toEqual({ kind: 'bytes', bytes: 2 ** 30 });
    expect(config.upstreams[0]).toMatchObject({ maxConnections: 8, namespaces: ['docker.io', 'hub.test'] });
  });

  it('refuses keys that it does not know, wherever they are', () => {
    const yaml = 'tagTTL: 1s\ncache: { maxSise: 1GB }\nupstreams: [{ zzzzzzz: 1 }]\n';
    expect(mistakesOf({ yaml })).toEqual([
      `${FILE}:upstreams[0].zzzzzzz is no setting; known here: url, namespaces, username, password, passwordFile, token, tokenFile, realms, redirects, maxConnections, connectTimeout, headersTimeout, bodyTimeout`,
      `${FILE}:cache.maxSise is no setting; did you mean maxSize?`,
      `${FILE}:tagTTL is no setting; did you mean tagTtl?`,
    ]);
  });

  it('refuses a key called __proto__, and keeps its own prototypes', () => {
    expect(mistakesOf({ yaml: '__proto__: { listen: ":1" }' })).toEqual([
      expect.stringContaining('__proto__ is no setting'),
    ]);
    expect(({} as Record<string, unknown>)['listen']).toBeUndefined();
  });

  it.each([
    [
      'upstreams: https://ghcr.io',
      'upstreams is "https://ghcr.io"; expected a list, each item of which begins with "- "',
    ],
    ['upstreams: []', 'upstreams is an empty list; expected at least one upstream, or no list at all'],
    ['upstreams: [null]', 'upstreams[0] is empty; expected a section with url,'],
    ['cache: 40GiB', 'cache is "40GiB"; expected a section with maxSize, lowWater, memory'],
    ['log: [info]', 'log is a list; expected a section with level'],
    ['listen: { port: 5000 }', 'listen is a section; expected an address and a port'],
  ])('refuses %j', (yaml, mistake) => {
    expect(mistakesOf({ yaml })).toEqual([expect.stringContaining(`${FILE}:${mistake}`)]);
  });

  it.each(['- a\n- b\n', 'just a text'])('refuses %j, which is no map', (yaml) => {
    expect(mistakesOf({ yaml })).toEqual([expect.stringContaining('holds no settings')]);
  });

  it('says on which lines it is not YAML', () => {
    expect(mistakesOf({ yaml: 'log:\n  level: info\nlog: {}\ncache: [\n' })).toEqual([
      `${FILE}:3: Map keys must be unique`,
      expect.stringMatching(/^entrepot\.yaml:\d: Flow sequence/),
    ]);
  });

  it.each([
    'password: "a" "hunter2"',
    'password: hunter2: x',
    'password: !hunter2',
    'password: !hunter2!x y',
    'password: !<hunter2> y',
    'password: !hunter2! y',
    'password: *hunter2',
    'password: |hunter2',
    'password: "hunter2',
    'password: @hunter2',
    'password: hunter2\n  x: 1',
    '  password: x\n "hunter2"',
    'password: %hunter2',
    '"a" hunter2',
    ']hunter2',
  ])('quotes nothing of what is not YAML: %j', (yaml) => {
    const mistakes = mistakesOf({ yaml });
    expect(mistakes).not.toEqual([]);
    expect(mistakes.join()).not.toContain('hunter2');
  });

  it('says that it is not there, and what else is wrong', () => {
    expect(mistakesOf({ env: { ENTREPOT_CONFIG: '/nope.yaml', ENTREPOT_TAG_TTL: '60' } })).toEqual([
      "/nope.yaml can't be read: ENOENT: no such file or directory, open '/nope.yaml'",
      expect.stringContaining('ENTREPOT_TAG_TTL is "60"'),
    ]);
  });
});

describe('what loadConfig says of mistakes', () => {
  it('names all of them at once: where each is from, what was given and what was expected', () => {
    const mistakes = mistakesOf({
      yaml: 'listen: http://localhost\nadmin: 5001\nupstreams: [{ token: a }, {}, { url: https://quay.io }, { url: http://quay.io }]\n',
      env: { ENTREPOT_TAG_TTL: '60', ENTREPOT_UPSTREAM_USERNAME: 'bob', ENTREPOT_LOGLEVEL: 'info' },
    });
    expect(mistakes.toSorted()).toEqual(
      [
        `${FILE}:listen is "http://localhost"; expected an address and a port such as 0.0.0.0:5000, [::1]:5000 or :5000`,
        `${FILE}:admin is "5001"; expected a section with listen, token, tokenFile`,
        `${FILE}:upstreams[0].token goes against ENTREPOT_UPSTREAM_USERNAME: keep one of the two`,
        'ENTREPOT_UPSTREAM_USERNAME needs a password or passwordFile too',
        `${FILE}:upstreams[1].url is missing; expected the http or https URL of a registry such as https://registry-1.docker.io`,
        `${FILE}:upstreams[3].url is the same registry as ${FILE}:upstreams[2].url (quay.io)`,
        `${FILE}:upstreams[3].namespaces has a name that is already one of ${FILE}:upstreams[2].namespaces (quay.io)`,
        'ENTREPOT_TAG_TTL is "60" (it has no unit: write 60s for seconds); expected a duration such as 500ms, 60s or 5m, from 0s to 365d',
        'ENTREPOT_LOGLEVEL is no setting; did you mean ENTREPOT_LOG_LEVEL?',
      ].toSorted(),
    );
  });

  it('puts them into one message', () => {
    expect(() => load({ env: { ENTREPOT_TAG_TTL: 'x', ENTREPOT_LISTEN: 'y' } })).toThrow(
      /^The configuration has 2 mistakes:\n {2}- ENTREPOT_LISTEN is "y"; .*\n {2}- ENTREPOT_TAG_TTL is "x" /,
    );
    expect(() => load({ env: { ENTREPOT_TAG_TTL: 'x' } })).toThrow(
      /^The configuration has a mistake:\n {2}- /,
    );
  });

  it('shows no secret, in a message, a dump or JSON', () => {
    const files = { '/run/pw': 'two\nhunter2' };
    const upstream = { ENTREPOT_UPSTREAM_URL: 'https://bob:hunter2@ghcr.io/v2' };
    for (const env of [
      upstream,
      { ENTREPOT_UPSTREAM_PASSWORD: 'hunter2\n' },
      { ENTREPOT_UPSTREAM_TOKEN: 'hunter2\r\nX: y', ENTREPOT_UPSTREAM_PASSWORD: 'hunter2' },
      { ENTREPOT_UPSTREAM_USERNAME: 'bob', ENTREPOT_UPSTREAM_PASSWORD_FILE: '/run/pw' },
    ]) {
      const mistakes = mistakesOf({ env, files });
      expect(mistakes).not.toEqual([]);
      expect(mistakes.join()).not.toContain('hunter2');
    }
    const config = load({ env: { ENTREPOT_UPSTREAM_TOKEN: 'hunter2' } });
    expect(inspect(config, { depth: null })).not.toContain('hunter2');
    expect(JSON.stringify(config)).not.toContain('hunter2');
  });
});
