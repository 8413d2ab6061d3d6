/** Credentials that are not taken, tokens that can't be had, and challenges that ask for more than we want. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { errorReply, jsonReply, type Reply } from '../../support/scripted-upstream-reply.ts';
import {
  ACCOUNT,
  connected,
  failure,
  never,
  passwordOf,
  REPOSITORY,
  TAG,
  tokenOf,
  type Connected,
} from './connect.ts';

const resolve = (its: Connected) => its.upstream.resolve(REPOSITORY, TAG, never());
const challenge = (text: string): Reply =>
  errorReply(401, 'UNAUTHORIZED', 'no', { 'www-authenticate': text });
/** By the registry, which has a better word for what a token may not see. */
const invalid = (its: Connected) =>
  challenge(`Bearer realm="${its.registry.tokenUrl}/token",service="s",error="invalid_token"`);

describe('credentials that the registry refuses', () => {
  it('are our own mistake where they are a password, and say nothing of what was asked for', async () => {
    const credentials = passwordOf({ ...ACCOUNT, password: 'wrong' });
    await using its = await connected({ auth: 'basic', credentials: ACCOUNT }, { credentials });
    await expect(resolve(its)).rejects.toMatchObject(failure('misconfigured', /: 401, it does not take/));
    await expect(resolve(its)).rejects.toMatchObject(failure('misconfigured'));
  });

  it('are our own mistake where they are a token that is no longer good', async () => {
    await using its = await connected({}, { credentials: tokenOf('expired') });
    await expect(resolve(its)).rejects.toMatchObject(failure('misconfigured'));
  });

  it('are nobody’s denial where it takes no token of its own token service: their clocks or keys differ', async () => {
    await using its = await connected();
    its.registry.reply({ kind: 'manifest' }, invalid(its), 2);
    await expect(resolve(its)).rejects.toMatchObject(failure('misconfigured'));
    expect(await resolve(its)).toBeDefined();
  });

  it('are a denial where it takes them and they open nothing', async () => {
    await using its = await connected({ credentials: ACCOUNT }, { credentials: tokenOf('good') });
    const scope = 'scope="repository:library/alpine:pull",error="insufficient_scope"';
    its.registry.reply({ status: 401 }, challenge(`Bearer realm="x",${scope}`));
    await expect(resolve(its)).rejects.toMatchObject(failure('denied'));
  });

  it('are a denial where they were none', async () => {
    await using its = await connected({ auth: 'basic', credentials: ACCOUNT });
    await expect(resolve(its)).rejects.toMatchObject(failure('denied'));
  });
});

describe('a token service that is none any more', () => {
  it('is asked for once: the registry says where the other one is', async () => {
    await using its = await connected();
    its.registry.reply({ status: 401 }, challenge(`Bearer realm="${its.registry.tokenUrl}/before"`));
    await expect(resolve(its)).rejects.toMatchObject(failure('protocol', /: 404/));
    expect(await resolve(its)).toBeDefined();
    expect(its.registry.requests.map(({ path, status }) => [path.split('/').at(-1), status])).toEqual([
      ['3', 401],
      ['before', 404],
      ['3', 401],
      ['token', 200],
      ['3', 200],
    ]);
  });
});

describe('a token service that sends its answer byte by byte, without end', () => {
  it('is given up when it has had its time, and asked again by the next', async () => {
    let asked = 0;
    const service = createServer((_request, response) => {
      asked += 1;
      const drip = setInterval(() => response.write(' '), 10);
      response.once('close', () => clearInterval(drip));
    });
    await once(service.listen(0, '127.0.0.1'), 'listening');
    await using its = await connected({}, { headersTimeoutMs: 400, bodyTimeoutMs: 100 });
    const realm = `http://127.0.0.1:${(service.address() as AddressInfo).port}/`;
    its.registry.reply({ status: 401 }, challenge(`Bearer realm="${realm}"`), 2);
    await expect(resolve(its)).rejects.toMatchObject(failure('unreachable', /gave no token/));
    await expect(resolve(its)).rejects.toMatchObject(failure('unreachable', /gave no token/));
    expect(asked).toBe(2);
    service.closeAllConnections();
    service.close();
  });
});

describe('a challenge that asks for more than to pull from the repository', () => {
  it.each(['registry:catalog:*', 'registry:catalog:* repository:library/alpine:pull,push'])(
    'gets what we want all the same: not %s',
    async (scope) => {
      await using its = await connected();
      const realm = `${its.registry.tokenUrl}/token`;
      its.registry.reply({ status: 401 }, challenge(`Bearer realm="${realm}",scope="${scope}"`));
      expect(await resolve(its)).toBeDefined();
      const asked = its.registry.requests.find(({ kind }) => kind === 'token')?.query.getAll('scope');
      expect(asked).toEqual(['repository:library/alpine:pull']);
    },
  );
});

describe('a token in an answer that can not be read', () => {
  it.each(['{"token":"s3cr3t-t0k3n"', 's3cr3t-t0k3n'])('is in no error: %s', async (body) => {
    await using its = await connected();
    its.registry.reply({ kind: 'token' }, { ...jsonReply(200, {}), body: Buffer.from(body) });
    const error: unknown = await resolve(its).catch((reason: unknown) => reason);
    expect(error).toMatchObject(failure('protocol', /not JSON/));
    expect(inspect(error, { depth: Infinity, showHidden: true })).not.toMatch(/s3cr3t|t0k3n/);
  });
});
