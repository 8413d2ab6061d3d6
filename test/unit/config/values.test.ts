import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ConfigError, formatListen, type Config } from '../../../src/config/config.ts';
import { loadConfig } from '../../../src/config/load-config.ts';

const load = (env: Record<string, string>): Config =>
  loadConfig({
    env,
    readFile(path) {
      if (path !== '/here.pem') throw new Error('ENOENT');
      return '';
    },
  });

describe('ENTREPOT_LISTEN', () => {
  it.each([
    ['0.0.0.0:5000', '0.0.0.0', 5000],
    [':80', '0.0.0.0', 80],
    ['localhost:0', 'localhost', 0],
    ['mirror.example.com:65535', 'mirror.example.com', 65_535],
    ['[::]:5000', '::', 5000],
    ['[::ffff:127.0.0.1]:1', '::ffff:127.0.0.1', 1],
  ])('takes %s', (text, host, port) => {
    const { listen } = load({ ENTREPOT_LISTEN: text });
    expect(listen).toEqual({ host, port });
    expect(formatListen(listen)).toBe(text.replace(/^:8/, '0.0.0.0:8'));
  });

  it.each([
    '5000',
    'localhost',
    '::1:5000',
    '[::1]',
    '[x]:1',
    '1.2.3.4:65536',
    '1.2.3.4:-1',
    'a b:1',
    '999.1.1.1:1',
    'http://a:1',
  ])('refuses %j', (text) => {
    expect(() => load({ ENTREPOT_LISTEN: text })).toThrow('expected an address and a port');
  });

  it('says how a port alone is written', () => {
    expect(() => load({ ENTREPOT_LISTEN: '5000' })).toThrow('a port alone is written :5000');
  });
});

describe('ENTREPOT_CACHE_MAX_SIZE', () => {
  it.each([
    ['40GiB', { kind: 'bytes', bytes: 40 * 2 ** 30 }],
    ['1073741824', { kind: 'bytes', bytes: 2 ** 30 }],
    ['100%', { kind: 'share', share: 1 }],
    ['12.5 %', { kind: 'share', share: 0.125 }],
  ])('takes %s', (text, bound) => {
    expect(load({ ENTREPOT_CACHE_MAX_SIZE: text }).cache.maxSize).toEqual(bound);
  });

  it.each(['0', '0%', '101%', '-5%', '%', '40 gigabytes', '40G', 'unlimited'])('refuses %s', (text) => {
    expect(() => load({ ENTREPOT_CACHE_MAX_SIZE: text })).toThrow(/expected a size .* or a share/);
  });
});

describe('the other settings', () => {
  it.each([
    ['ENTREPOT_CACHE_LOW_WATER', ['0%', '90', '150%', '40GiB']],
    ['ENTREPOT_CACHE_MEMORY', ['0', '10%', 'lots']],
    ['ENTREPOT_TAG_TTL', ['60', '-1s', '1 week', '366d']],
    ['ENTREPOT_SHUTDOWN_GRACE', ['25', '2h']],
    ['ENTREPOT_LOG_LEVEL', ['verbose', '30', 'info,debug']],
    ['ENTREPOT_TLS_CERTIFICATE', ['/nope.pem']],
    ['ENTREPOT_DATA_DIR', ['a\0b', ' ']],
  ])('%s refuses what it cannot mean, and shows it', (variable, texts) => {
    for (const text of texts) {
      const mistake = `${variable} is ${JSON.stringify(text)}`;
      expect(() => load({ [variable]: text })).toThrow(ConfigError);
      expect(() => load({ [variable]: text })).toThrow(mistake);
    }
  });

  it('TLS takes both files or none', () => {
    expect(() => load({ ENTREPOT_TLS_CERTIFICATE: '/here.pem' })).toThrow(
      'ENTREPOT_TLS_CERTIFICATE needs tls.key too',
    );
    expect(() => load({ ENTREPOT_TLS_KEY: '/here.pem' })).toThrow(
      'ENTREPOT_TLS_KEY needs tls.certificate too',
    );
    expect(load({ ENTREPOT_TLS_KEY: '/here.pem', ENTREPOT_TLS_CERTIFICATE: '/here.pem' }).tls).toBeDefined();
  });

  it('paths are absolute, from the working directory', () => {
    expect(load({ ENTREPOT_DATA_DIR: '../x' }).dataDir).toBe(resolve('../x'));
  });

  it('a value of a thousand letters is cut short in the message', () => {
    expect(() => load({ ENTREPOT_TAG_TTL: 'x'.repeat(1000) })).toThrow(/is "x{100}\.\.\."/);
  });
});

describe('ENTREPOT_WORKERS', () => {
  it('takes a number, or as many as there are processor cores', () => {
    expect(load({ ENTREPOT_WORKERS: '3' }).workers).toBe(3);
    expect(load({ ENTREPOT_WORKERS: 'auto' }).workers).toBe(Math.min(64, availableParallelism()));
  });

  it.each(['0', '65', 'all', '1.5'])('refuses %s', (text) => {
    expect(() => load({ ENTREPOT_WORKERS: text })).toThrow('expected a whole number from 1 to 64, or auto');
  });
});

describe('ENTREPOT_ACCEL_PREFIX', () => {
  const prefixOf = (text: string) =>
    load({ ENTREPOT_ACCEL_HEADER: 'x-accel-redirect', ENTREPOT_ACCEL_PREFIX: text }).accel?.prefix;

  it.each(['/blobs/', '/a/b.c/d_e-f/'])('takes %s', (text) => {
    expect(prefixOf(text)).toBe(text);
  });

  it.each(['/', 'blobs/', '/blobs', '/b lobs/', '/a//b/', '/a\r\nX: y/'])('refuses %j', (text) => {
    expect(() => prefixOf(text)).toThrow('with a slash at both ends');
  });
});
