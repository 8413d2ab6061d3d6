import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { Secret } from '../../../src/lib/secret.ts';
import { basicAuthorization, credentialsFrom, type Credentials } from '../../../src/upstream/credentials.ts';
import { tempDir } from '../../support/temp-dir.ts';

const revealed = (credentials: Credentials) => {
  switch (credentials.kind) {
    case 'anonymous':
      return undefined;
    case 'password':
      return credentials.password.reveal();
    case 'token':
      return credentials.token.reveal();
  }
};

describe('credentialsFrom', () => {
  it('is anonymous without settings', async () => {
    expect(await credentialsFrom(undefined)()).toEqual({ kind: 'anonymous' });
  });

  it('gives what was set', async () => {
    const password = new Secret('hunter2');
    expect(await credentialsFrom({ kind: 'password', username: 'jane', password })()).toEqual({
      kind: 'password',
      username: 'jane',
      password,
    });
  });

  it('reads a file each time, without the line end', async () => {
    await using dir = await tempDir();
    const file = join(dir.path, 'token');
    const source = credentialsFrom({ kind: 'token', token: { file } });
    await writeFile(file, 'first\n');
    expect(revealed(await source())).toBe('first');
    await writeFile(file, ' second \r\n');
    expect(revealed(await source())).toBe(' second ');
  });

  it('is our own mistake, and says which file, where there is nothing to read', async () => {
    await using dir = await tempDir();
    const file = join(dir.path, 'password');
    const source = credentialsFrom({ kind: 'password', username: 'jane', password: { file } });
    await expect(source()).rejects.toMatchObject({
      failure: 'misconfigured',
      message: expect.stringContaining(file) as string,
      cause: expect.objectContaining({ code: 'ENOENT' }) as Error,
    });
    await writeFile(file, '\n');
    await expect(source()).rejects.toMatchObject({ failure: 'misconfigured' });
  });

  it('shows no secret to whoever prints them', async () => {
    const credentials = await credentialsFrom({ kind: 'token', token: new Secret('hunter2') })();
    expect(inspect(credentials, { showHidden: true }) + JSON.stringify(credentials)).not.toContain('hunter2');
  });
});

describe('basicAuthorization', () => {
  it('encodes UTF-8', () => {
    expect(basicAuthorization('jane', new Secret('pä:ss'))).toBe(
      `Basic ${Buffer.from('jane:pä:ss', 'utf8').toString('base64')}`,
    );
  });
});
