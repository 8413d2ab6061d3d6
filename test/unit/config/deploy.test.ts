import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { Config } from '../../../src/config/config.ts';
import { loadConfig } from '../../../src/config/load-config.ts';

const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');

function load(yaml: string): Config {
  return loadConfig({
    env: {},
    file: 'entrepot.yaml',
    readFile: (path) => (path === 'entrepot.yaml' ? yaml : 'x'),
  });
}

describe('deploy/entrepot.yaml', () => {
  const example = read('deploy/entrepot.yaml');

  it('says what is the default anyway, but for its upstreams', () => {
    const { upstreams, ...config } = load(example);
    const { upstreams: defaults, ...rest } = load('');
    expect(config).toEqual(rest);
    expect(upstreams[0]).toEqual(defaults[0]);
    expect(upstreams.map(({ namespaces }) => namespaces)).toEqual([
      ['docker.io', 'registry-1.docker.io'],
      ['ghcr.io'],
      ['quay.io'],
    ]);
  });

  it('is right in what it comments out', () => {
    const config = load(example.replaceAll(/^( *)# ( *(?:- )?\w+:(?: .*)?)$/gm, '$1$2'));
    expect(config.tls).toEqual({ certificate: '/etc/entrepot/tls.crt', key: '/etc/entrepot/tls.key' });
    expect(config.upstreams[0].credentials).toMatchObject({ kind: 'password', username: 'someone' });
    expect(config.upstreams[3]).toMatchObject({
      name: 'registry.example.com:5000/team',
      realms: ['login.example.net'],
    });
  });
});

describe('deploy/docker-compose.yml', () => {
  const { services } = parse(read('deploy/docker-compose.yml')) as {
    services: Record<'mirror', Record<string, unknown>>;
  };

  it('publishes the admin listener on loopback only', () => {
    expect(services.mirror['ports']).toEqual(['5000:5000', '127.0.0.1:5001:5001']);
  });

  it('gives no variable that is not one of ours', () => {
    const env = services.mirror['environment'] as Record<string, string>;
    const settings = [...read('Dockerfile').matchAll(/(ENTREPOT_\w+)=(\S+)/g)];
    const image = Object.fromEntries(settings.map(([, name = '', value = '']) => [name, value]));
    expect(Object.keys(image)).toEqual(['ENTREPOT_DATA_DIR', 'ENTREPOT_ADMIN_LISTEN']);
    const config = loadConfig({ env: { ...image, ...env }, readFile: () => '' });
    expect(config).toMatchObject({
      dataDir: '/var/lib/entrepot',
      admin: { listen: { host: '0.0.0.0', port: 5001 } },
    });
  });
});
