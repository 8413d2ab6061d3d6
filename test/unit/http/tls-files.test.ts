import { cp, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TlsFiles, type KeyPair } from '../../../src/http/tls-files.ts';
import { tempDir, type TempDir } from '../../support/temp-dir.ts';

const PAIRS = join(import.meta.dirname, '../../support/tls');
const POLLING = { timeout: 20_000, interval: 10 };

let directory: TempDir;
let certificate: string;
let key: string;
let reloads: (Error | undefined)[];
let used: KeyPair[];
let files: TlsFiles | undefined;

function read(name: string): Buffer {
  return readFileSync(join(PAIRS, name));
}

async function install(certificateFrom: string, keyFrom: string): Promise<void> {
  await cp(join(PAIRS, keyFrom), key);
  await cp(join(PAIRS, certificateFrom), certificate);
}

async function load(): Promise<TlsFiles> {
  files = await TlsFiles.load({ certificate, key, onReload: (error) => reloads.push(error), pollMs: 10 });
  return files;
}

beforeEach(async () => {
  directory = await tempDir();
  certificate = join(directory.path, 'tls.crt');
  key = join(directory.path, 'tls.key');
  reloads = [];
  used = [];
});

afterEach(async () => {
  files?.close();
  await directory[Symbol.asyncDispose]();
});

describe('TlsFiles', () => {
  it('reads a pair that belongs together', async () => {
    await install('a.crt', 'a.key');
    expect((await load()).current).toEqual({ cert: read('a.crt'), key: read('a.key') });
  });

  it('refuses a pair that does not, and a certificate that is none, with the names of both files', async () => {
    await install('a.crt', 'b.key');
    await expect(load()).rejects.toThrow(/tls\.crt .*tls\.key .*mismatch/);
    await writeFile(certificate, 'no certificate');
    await expect(load()).rejects.toThrow(/tls\.crt .*tls\.key /);
    await rm(certificate);
    await expect(load()).rejects.toThrow('ENOENT');
  });

  it('hands on a new pair when the files change', async () => {
    await install('a.crt', 'a.key');
    (await load()).watch((pair) => used.push(pair));
    await install('b.crt', 'b.key');
    await expect.poll(() => used.at(-1)?.cert, POLLING).toEqual(read('b.crt'));
    expect(reloads.at(-1)).toBeUndefined();
  });

  it('sees that a symbolic link on the way has another target: so Kubernetes renews its secrets', async () => {
    for (const name of ['a', 'b'] as const) {
      await mkdir(join(directory.path, name));
      await cp(join(PAIRS, `${name}.crt`), join(directory.path, name, 'tls.crt'));
      await cp(join(PAIRS, `${name}.key`), join(directory.path, name, 'tls.key'));
    }
    await symlink('a', join(directory.path, '..data'));
    await symlink(join('..data', 'tls.crt'), certificate);
    await symlink(join('..data', 'tls.key'), key);
    (await load()).watch((pair) => used.push(pair));

    await symlink('b', join(directory.path, '..new'));
    await rename(join(directory.path, '..new'), join(directory.path, '..data'));
    await expect.poll(() => used.at(-1), POLLING).toEqual({ cert: read('b.crt'), key: read('b.key') });
    expect(reloads.every((error) => error === undefined)).toBe(true);
  });

  it('hands on nothing that can not be used, says why, and takes the next pair that can', async () => {
    await install('a.crt', 'a.key');
    (await load()).watch((pair) => used.push(pair));
    await writeFile(certificate, '-----BEGIN CERTIFICATE-----\nhalf-writ');
    await expect.poll(() => reloads.at(-1)?.message, POLLING).toContain("can't be used together");
    await rm(certificate);
    await expect.poll(() => reloads.at(-1)?.message, POLLING).toContain('ENOENT');
    expect(used).toEqual([]);
    await install('b.crt', 'b.key');
    await expect.poll(() => used.at(-1)?.cert, POLLING).toEqual(read('b.crt'));
  });
});
