import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { credentialsFrom } from '../../../src/upstream/credentials.ts';
import type { ExchangeEvent } from '../../../src/upstream/transport.ts';
import { bytesOf } from '../../support/bodies.ts';
import { errorReply, jsonReply, redirectTo, type Reply } from '../../support/scripted-upstream-reply.ts';
import { tempDir } from '../../support/temp-dir.ts';
import {
  ACCOUNT,
  IMAGE,
  PASSWORD,
  REPOSITORY,
  TAG,
  connected,
  failure,
  never,
  passwordOf,
  tokenOf,
  type Connected,
} from './connect.ts';

const BASIC = `Basic ${Buffer.from(`${ACCOUNT.username}:${PASSWORD}`).toString('base64')}`;
const resolve = (its: Connected) => its.upstream.resolve(REPOSITORY, TAG, never());
const tokensOf = (its: Connected) => its.registry.count({ kind: 'token' });
const challenge = (text: string): Reply =>
  errorReply(401, 'UNAUTHORIZED', 'no', { 'www-authenticate': text });
/** What the registry was sent, in order. */
const sent = (its: Connected) =>
  its.registry.requests
    .filter(({ origin }) => origin === 'registry')
    .map(({ headers }) => headers.authorization);

describe('Bearer authentication', () => {
  it('fetches a token when asked for one, and carries it from then on', async () => {
    await using its = await connected();
    await resolve(its);
    await resolve(its);
    await its.upstream.statBlob(REPOSITORY, IMAGE.config.digest, never());
    expect(its.registry.count({ status: 401 })).toBe(1);
    expect(tokensOf(its)).toBe(1);
    expect(its.registry.count({ origin: 'registry' })).toBe(4);
  });

  it('asks for our own scope, whatever the challenge says, and as nobody', async () => {
    await using its = await connected();
    const realm = `${its.registry.tokenUrl}/token?a=b`;
    const scope = 'repository:library/alpine:pull,push repository:private/x:pull';
    its.registry.reply({ status: 401 }, challenge(`Bearer realm="${realm}",service="s",scope="${scope}"`));
    await resolve(its);
    const { query, headers } = its.registry.requests.find(({ kind }) => kind === 'token')!;
    expect([...query]).toEqual([
      ['a', 'b'],
      ['service', 's'],
      ['scope', 'repository:library/alpine:pull'],
    ]);
    expect(headers.authorization).toBeUndefined();
  });

  it('asks for the scope of the challenge where that is no repository', async () => {
    await using its = await connected();
    const realm = `${its.registry.tokenUrl}/token`;
    its.registry.reply({ status: 401 }, challenge(`Bearer realm="${realm}",service="s",scope="aws"`));
    await expect(resolve(its)).rejects.toMatchObject(failure('denied'));
    expect(its.registry.requests.find(({ kind }) => kind === 'token')?.query.get('scope')).toBe('aws');
  });

  it('fetches one token for 50 who ask at once', async () => {
    await using its = await connected();
    const all = await Promise.all(Array.from({ length: 50 }, () => resolve(its)));
    expect(new Set(all.map((resolved) => resolved?.descriptor.digest)).size).toBe(1);
    expect(tokensOf(its)).toBe(1);
  });

  it('fetches the token on for the others when one of them leaves', async () => {
    await using its = await connected();
    const gate = its.registry.hold({ kind: 'token' });
    const leaver = new AbortController();
    const leaving = its.upstream.resolve(REPOSITORY, TAG, leaver.signal);
    await gate.waiting;
    // The demand for a token is known by now: the second one joins the fetch without a request of its own.
    const staying = resolve(its);
    await new Promise(setImmediate);
    const reason = new Error('gone');
    leaver.abort(reason);
    await expect(leaving).rejects.toBe(reason);
    gate.release();
    expect(await staying).toBeDefined();
    expect(tokensOf(its)).toBe(1);
  });

  it.each([
    [true, 300],
    [false, 60],
  ])('renews a token before it expires (tells its lifetime: %s)', async (tellsTokenLifetime, seconds) => {
    let now = 1_000_000;
    await using its = await connected({ tellsTokenLifetime }, { now: () => now });
    await resolve(its);
    now += seconds * 1000 * 0.75;
    await resolve(its);
    expect(tokensOf(its)).toBe(1);
    now += seconds * 1000 * 0.2;
    await resolve(its);
    expect(tokensOf(its)).toBe(2);
    expect(its.registry.count({ status: 401 })).toBe(1);
  });

  it('takes another token where one is refused, once for all who are refused', async () => {
    await using its = await connected();
    await resolve(its);
    its.registry.expireTokens();
    const gate = its.registry.hold({ kind: 'manifest', status: 401 }, { times: 16 });
    const all = Promise.all(Array.from({ length: 16 }, () => resolve(its)));
    await gate.arrived(16);
    gate.release();
    expect((await all).every((resolved) => resolved !== undefined)).toBe(true);
    expect(tokensOf(its)).toBe(2);
  });

  it('keeps a token that is newer than the one refused', async () => {
    await using its = await connected();
    await resolve(its);
    its.registry.expireTokens();
    const gate = its.registry.hold({ kind: 'manifest', status: 401 });
    const late = resolve(its);
    await gate.waiting;
    await resolve(its);
    gate.release();
    expect(await late).toBeDefined();
    expect(tokensOf(its)).toBe(2);
  });

  it('takes another token where a known one gets 400, and no third', async () => {
    await using its = await connected();
    its.registry.reply({ kind: 'manifest' }, { status: 400 });
    await expect(resolve(its)).rejects.toMatchObject(failure('protocol'));
    expect(tokensOf(its)).toBe(1);

    its.registry.reply({ kind: 'manifest' }, { status: 400 });
    expect(await resolve(its)).toBeDefined();
    expect(tokensOf(its)).toBe(2);

    its.registry.reply({ kind: 'manifest' }, { status: 400 }, 2);
    await expect(resolve(its)).rejects.toMatchObject(failure('protocol'));
    expect(tokensOf(its)).toBe(3);
  });

  it('is denied, without a loop, where a token opens nothing', async () => {
    await using its = await connected();
    its.registry.makePrivate(REPOSITORY);
    await expect(resolve(its)).rejects.toMatchObject(failure('denied', /other credentials/));
    expect(its.registry.count({ kind: 'manifest' })).toBe(2);
    expect(tokensOf(its)).toBe(1);
    // Now with a token from the cache, which may have been too old to know of a new right.
    await expect(resolve(its)).rejects.toMatchObject(failure('denied'));
    expect(its.registry.count({ kind: 'manifest' })).toBe(4);
    expect(tokensOf(its)).toBe(2);
  });

  it('logs in at the token service, and nowhere else', async () => {
    await using its = await connected({ credentials: ACCOUNT }, { credentials: passwordOf(ACCOUNT) });
    its.registry.makePrivate(REPOSITORY);
    const blob = await its.upstream.fetchBlob(REPOSITORY, IMAGE.config.digest, 0, never());
    await bytesOf(blob!.body);
    expect(its.registry.requests.find(({ kind }) => kind === 'token')?.headers.authorization).toBe(BASIC);
    expect(sent(its)).toEqual([undefined, expect.stringMatching(/^Bearer token-/)]);
    const cdn = its.registry.requests.find(({ kind }) => kind === 'cdn')!;
    expect(cdn.headers.authorization).toBeUndefined();
    expect(cdn.status).toBe(200);
  });

  it('is our own mistake where the token service refuses the password', async () => {
    await using its = await connected(
      { credentials: ACCOUNT },
      { credentials: passwordOf({ ...ACCOUNT, password: 'wrong' }) },
    );
    await expect(resolve(its)).rejects.toMatchObject(
      failure('misconfigured', /^GET a token for repository:library\/alpine:pull from 127\.0\.0\.1:\d+: 401/),
    );
    expect(tokensOf(its)).toBe(1);
  });

  it.each([
    ['only token', { token: 'right' }],
    ['only access_token', { access_token: 'right' }],
    ['both: access_token', { token: 'wrong', access_token: 'right' }],
    ['an empty access_token: token', { token: 'right', access_token: '' }],
  ])('finds the token under %s', async (_, json) => {
    await using its = await connected();
    its.registry.reply({ kind: 'token' }, jsonReply(200, json));
    await expect(resolve(its)).rejects.toMatchObject(failure('misconfigured'));
    expect(sent(its)).toEqual([undefined, 'Bearer right']);
  });

  it.each([
    ['no JSON', { status: 200, body: Buffer.from('<html>') }],
    ['null', jsonReply(200, null)],
    ['no token', jsonReply(200, { token: 7 })],
    ['a token that no header can hold', jsonReply(200, { token: 'a\r\nx-evil: 1' })],
    ['a token that is too long', jsonReply(200, { token: 'a'.repeat(65_537) })],
    ['more than a MiB', jsonReply(200, { token: 'a', x: 'x'.repeat(1024 * 1024) })],
    ['404', { status: 404 }],
    ['a redirect', redirectTo('/elsewhere')],
  ])('refuses a token service that answers with %s', async (_, reply) => {
    await using its = await connected();
    its.registry.reply({ kind: 'token' }, reply);
    await expect(resolve(its)).rejects.toMatchObject(failure('protocol'));
    expect(its.registry.count({ origin: 'token' })).toBe(1);
    expect(await resolve(its)).toBeDefined();
  });

  it.each([
    [401, 'denied'],
    [403, 'denied'],
    [429, 'rate-limited'],
    [503, 'unreachable'],
  ] as const)('takes a %d of the token service as %s', async (status, kind) => {
    await using its = await connected();
    its.registry.reply({ kind: 'token' }, errorReply(status, 'X', 'x', { 'retry-after': '3' }));
    await expect(resolve(its)).rejects.toMatchObject({
      ...failure(kind),
      retryAfterSeconds: status === 429 ? 3 : undefined,
    });
  });
});

describe('a realm on another host', () => {
  /** The same token service by another name: a client that asks it would be seen. */
  const foreign = (its: Connected) => its.registry.tokenUrl.replace('127.0.0.1', 'localhost');

  it('gets nothing, and the error says how to allow it', async () => {
    await using its = await connected({ credentials: ACCOUNT }, { credentials: passwordOf(ACCOUNT) });
    const realm = foreign(its);
    its.registry.reply({ status: 401 }, challenge(`Bearer realm="${realm}/token",service="s"`));
    const refused = resolve(its);
    await expect(refused).rejects.toMatchObject(failure('protocol', /"realms"/));
    await expect(refused).rejects.toThrow(realm);
    expect(its.registry.count({ origin: 'token' })).toBe(0);
  });

  it('is asked where it is allowed', async () => {
    const allowedRealms: string[] = [];
    await using its = await connected({}, { allowedRealms });
    const realm = foreign(its);
    allowedRealms.push(new URL(realm).host);
    its.registry.reply({ status: 401 }, challenge(`Bearer realm="${realm}/token",service="s"`));
    expect(await resolve(its)).toBeDefined();
  });

  it.each(['Bearer service="s"', 'Bearer realm="token"', 'Bearer realm="file:///etc/passwd"'])(
    'is refused where it is none: %s',
    async (text) => {
      await using its = await connected();
      its.registry.reply({ status: 401 }, challenge(text));
      await expect(resolve(its)).rejects.toMatchObject(failure('protocol'));
    },
  );
});

describe('Basic authentication', () => {
  it('waits to be asked, and then does it at once', async () => {
    await using its = await connected(
      { auth: 'basic', credentials: ACCOUNT },
      { credentials: passwordOf(ACCOUNT) },
    );
    await resolve(its);
    await resolve(its);
    expect(sent(its)).toEqual([undefined, BASIC, BASIC]);
  });

  it('is denied without credentials, and our own mistake with wrong ones, without a loop', async () => {
    await using nobody = await connected({ auth: 'basic', credentials: ACCOUNT });
    await expect(resolve(nobody)).rejects.toMatchObject(failure('denied'));
    expect(sent(nobody)).toEqual([undefined]);

    const credentials = passwordOf({ ...ACCOUNT, password: 'wrong' });
    await using wrong = await connected({ auth: 'basic', credentials: ACCOUNT }, { credentials });
    await expect(resolve(wrong)).rejects.toMatchObject(failure('misconfigured'));
    expect(sent(wrong)).toHaveLength(2);
    await expect(resolve(wrong)).rejects.toMatchObject(failure('misconfigured'));
    expect(sent(wrong)).toHaveLength(3);
  });

  it('picks up a file that has changed', async () => {
    await using dir = await tempDir();
    const file = join(dir.path, 'password');
    await writeFile(file, 'wrong\n');
    const credentials = credentialsFrom({ kind: 'password', username: ACCOUNT.username, password: { file } });
    await using its = await connected({ auth: 'basic', credentials: ACCOUNT }, { credentials });
    await expect(resolve(its)).rejects.toMatchObject(failure('misconfigured'));
    await writeFile(file, `${PASSWORD}\n`);
    expect(await resolve(its)).toBeDefined();
  });

  it('prefers Bearer where there is a choice', async () => {
    await using its = await connected({ credentials: ACCOUNT }, { credentials: passwordOf(ACCOUNT) });
    const realm = `${its.registry.tokenUrl}/token`;
    its.registry.reply({ status: 401 }, challenge(`Basic realm="x", Bearer realm="${realm}",service="s"`));
    expect(await resolve(its)).toBeDefined();
    expect(sent(its).at(-1)).toMatch(/^Bearer /);
  });
});

describe('a token of our own', () => {
  it('goes to the upstream, unasked, and neither to its token service nor to its CDN', async () => {
    await using its = await connected({ auth: 'none' }, { credentials: tokenOf('abc') });
    const blob = await its.upstream.fetchBlob(REPOSITORY, IMAGE.config.digest, 0, never());
    await bytesOf(blob!.body);
    expect(sent(its)).toEqual(['Bearer abc']);
    expect(its.registry.requests.find(({ kind }) => kind === 'cdn')?.headers.authorization).toBeUndefined();
  });

  it('is our own mistake where upstream does not take it', async () => {
    await using its = await connected({}, { credentials: tokenOf('abc') });
    await expect(resolve(its)).rejects.toMatchObject(failure('misconfigured'));
    expect(sent(its)).toEqual(['Bearer abc']);
    expect(tokensOf(its)).toBe(0);
  });

  it('is our own mistake where it is none', async () => {
    await using its = await connected({}, { credentials: tokenOf('abc\nx-evil: 1') });
    await expect(resolve(its)).rejects.toMatchObject(failure('misconfigured'));
    expect(sent(its)).toEqual([]);
  });
});

describe('secrets', () => {
  it('are neither in errors nor in events', async () => {
    const events: ExchangeEvent[] = [];
    await using its = await connected(
      { credentials: ACCOUNT },
      { credentials: passwordOf(ACCOUNT), observe: (event) => events.push(event) },
    );
    await resolve(its);
    its.registry.fault({ kind: 'cdn' }, { cut: { by: 'rst' } });
    its.registry.reply({ kind: 'token' }, { status: 401 });
    const errors: unknown[] = [];
    const collect = (error: unknown) => errors.push(error);
    await its.upstream.fetchBlob(REPOSITORY, IMAGE.config.digest, 0, never()).catch(collect);
    its.registry.expireTokens();
    await resolve(its).catch(collect);
    await its.registry.stop();
    await resolve(its).catch(collect);
    expect(errors).toHaveLength(3);
    const printed = inspect([errors, events, its.upstream], { depth: Infinity, showHidden: true });
    for (const secret of [PASSWORD, BASIC, 'Bearer ', 'token-', 'X-Amz', 'Signature']) {
      expect(printed).not.toContain(secret);
    }
  });
});
