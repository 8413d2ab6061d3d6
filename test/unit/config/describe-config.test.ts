import { describe, expect, it } from 'vitest';
import { describeConfig, formatConfig } from '../../../src/config/describe-config.ts';
import { loadConfig } from '../../../src/config/load-config.ts';

const YAML = `
listen: "[::1]:5000"
dataDir: /var/lib/entrepot
tls: { certificate: /tls.crt, key: /tls.key }
upstreams:
  - { username: bob, password: hunter2, realms: [auth.test] }
  - { url: https://ghcr.io, token: hunter3, connectTimeout: 1500ms }
  - { url: https://quay.io, tokenFile: /run/token }
cache: { maxSize: 1073741825, lowWater: 57%, memory: 10001B }
tagTtl: 90s
`;

const load = (yaml: string) =>
  loadConfig({ env: {}, file: 'e.yaml', readFile: (path) => (path === '/run/token' ? 'hunter4' : yaml) });

describe('describeConfig', () => {
  it('is the configuration as it would be written, with all defaults and without the secrets', () => {
    expect(describeConfig(load(YAML))).toEqual({
      listen: '[::1]:5000',
      admin: { listen: '127.0.0.1:5001' },
      tls: { certificate: '/tls.crt', key: '/tls.key' },
      dataDir: '/var/lib/entrepot',
      upstreams: [
        {
          url: 'https://registry-1.docker.io',
          namespaces: ['docker.io', 'registry-1.docker.io'],
          username: 'bob',
          password: '***',
          realms: ['auth.test'],
          maxConnections: 32,
          connectTimeout: '5s',
          headersTimeout: '20s',
          bodyTimeout: '30s',
        },
        {
          url: 'https://ghcr.io',
          namespaces: ['ghcr.io'],
          token: '***',
          maxConnections: 32,
          connectTimeout: '1500ms',
          headersTimeout: '20s',
          bodyTimeout: '30s',
        },
        expect.objectContaining({ url: 'https://quay.io', tokenFile: '/run/token' }),
      ],
      cache: { maxSize: '1073741825', lowWater: '57%', memory: '10001' },
      tagTtl: '90s',
      tagStaleFor: '30d',
      missTtl: '10s',
      offline: false,
      downloads: { maxConcurrent: 32, whenAbandoned: 'finish', keepPartial: '1d' },
      scrub: { interval: '7d', rate: '16MiB' },
      clients: { maxConnections: 16384, timeout: '5m' },
      workers: 1,
      sendfile: 'auto',
      accel: { header: 'off' },
      log: { level: 'info' },
      shutdownGrace: '25s',
    });
  });

  it('gives the same configuration when it is loaded, but for the secrets', () => {
    const config = load(YAML);
    expect(load(formatConfig(config))).toEqual(config);
    expect(formatConfig(config)).not.toMatch(/hunter/);
  });

  it('leaves out what is not set', () => {
    const described = describeConfig(load(''));
    expect(described).not.toHaveProperty('tls');
    expect(formatConfig(load(''))).not.toMatch(/username|password|token|realms/);
  });
});
