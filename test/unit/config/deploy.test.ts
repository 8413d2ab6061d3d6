import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { Config } from '../../../src/config/config.ts';
import { loadConfig } from '../../../src/config/load-config.ts';

const read = (path: string) => readFileSync(new URL(`../../../${path}`, import.meta.url), 'utf8');

function load(yaml: string): Config {
  return loadConfig({
    env: {},
    file: 'entrepot.yaml',
    readFile: (path) => (path === 'entrepot.yaml' ? yaml : 'x'.repeat(32)),
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

interface Service {
  readonly image: string;
  readonly profiles?: readonly string[];
  readonly ports: readonly string[];
  readonly volumes: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly healthcheck: object;
}

interface Project {
  readonly services: Readonly<Record<'mirror' | 'prometheus' | 'grafana', Service>>;
}

/** The settings that the image comes with. */
function imageSettings(): Record<string, string> {
  const settings = read('Dockerfile').matchAll(/(ENTREPOT_\w+)=(\S+)/g);
  return Object.fromEntries([...settings].map(([, name = '', value = '']) => [name, value]));
}

describe('deploy/docker-compose.yml', () => {
  const { services } = parse(read('deploy/docker-compose.yml')) as Project;

  it('publishes the registry, and everything else on loopback only', () => {
    expect(Object.values(services).flatMap(({ ports }) => ports)).toEqual([
      '5000:5000',
      '127.0.0.1:5001:5001',
      '127.0.0.1:9090:9090',
      '127.0.0.1:3000:3000',
    ]);
  });

  it('starts the mirror alone unless it is asked for more', () => {
    const profiles = Object.values(services).map((service) => service.profiles);
    expect(profiles).toEqual([undefined, ['monitoring'], ['monitoring']]);
  });

  it('runs each without privileges, in bounds, and asks each how it is', () => {
    for (const service of Object.values(services)) {
      expect(service).toMatchObject({
        read_only: true,
        cap_drop: ['ALL'],
        security_opt: ['no-new-privileges:true'],
        mem_limit: expect.stringMatching(/^\d+[mg]$/) as unknown,
        pids_limit: expect.any(Number) as unknown,
      });
      expect(service.healthcheck).toHaveProperty('test');
    }
  });

  it('mounts of its folder what is there', () => {
    const mounted = Object.values(services).flatMap(({ volumes }) => volumes);
    const files = mounted.filter((volume) => volume.startsWith('./')).map((volume) => volume.split(':')[0]!);
    expect(files.length).toBeGreaterThan(3);
    for (const file of files) {
      expect(existsSync(new URL(`../../../deploy/${file}`, import.meta.url)), file).toBe(true);
    }
  });

  it('names a version of each image that is not ours', () => {
    const { mirror, ...others } = services;
    expect(mirror.image).toContain('entrepot');
    for (const { image } of Object.values(others)) expect(image).toMatch(/:v?\d+\.\d+\.\d+$/);
  });

  it('lets nobody see the dashboards who has not logged in', () => {
    expect(services.grafana.environment).toMatchObject({
      GF_AUTH_ANONYMOUS_ENABLED: 'false',
      GF_SECURITY_ADMIN_PASSWORD__FILE: '/run/secrets/grafana-admin-password',
    });
  });
});

describe('the settings that the files of deploy/ give', () => {
  const compose = (file: string) => (parse(read(`deploy/${file}`)) as Project).services.mirror.environment;
  const unit = [...read('deploy/systemd/entrepot.service').matchAll(/^#?Environment=(ENTREPOT_\w+)=(.+)$/gm)];
  const given: Record<string, Readonly<Record<string, string>>> = {
    'docker-compose.yml': { ...imageSettings(), ...compose('docker-compose.yml') },
    'docker-compose.token.yml': { ...imageSettings(), ...compose('docker-compose.token.yml') },
    'swarm/shared-cache.yml': { ...imageSettings(), ...defaultsOf(compose('swarm/shared-cache.yml')) },
    'swarm/mirror-per-node.yml': { ...imageSettings(), ...defaultsOf(compose('swarm/mirror-per-node.yml')) },
    'systemd/entrepot.service': {
      ...Object.fromEntries(unit.map(([, name = '', value = '']) => [name, value])),
      ENTREPOT_UPSTREAM_USERNAME: 'someone',
    },
  };

  it.each(Object.entries(given))('are ones that the mirror takes: %s', (file, env) => {
    const config = loadConfig({
      env,
      readFile: (path) => (path.endsWith('.yaml') ? '' : 'a-secret-that-is-long-enough'),
    });
    expect(config).toMatchObject({ dataDir: '/var/lib/entrepot' });
    const isOnLoopback = ['swarm/mirror-per-node.yml', 'systemd/entrepot.service'].includes(file);
    expect(config.admin.listen).toEqual({ host: isOnLoopback ? '127.0.0.1' : '0.0.0.0', port: 5001 });
  });

  it('leave running pulls the time to end that the mirror gives them', () => {
    const { shutdownGraceMs } = load('');
    const patience = (path: string, pattern: RegExp) =>
      Number(pattern.exec(read(`deploy/${path}`))?.[1]) * 1000;
    for (const file of ['docker-compose.yml', 'swarm/shared-cache.yml', 'swarm/mirror-per-node.yml']) {
      expect(patience(file, /^ +stop_grace_period: (\d+)s$/m), file).toBeGreaterThan(shutdownGraceMs);
    }
    const unitStop = patience('systemd/entrepot.service', /^TimeoutStopSec=(\d+)s$/m);
    expect(unitStop).toBeGreaterThan(shutdownGraceMs);
  });
});

/** Of `${NAME:-default}`, as docker reads it where NAME is not set. */
function defaultsOf(environment: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).map(([name, value]) => [name, value.replace(/^\$\{\w+:-(.*)\}$/, '$1')]),
  );
}
