import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { isIP, type LookupFunction, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Digest } from '../../../src/oci/digest.ts';
import type { RegistryUpstream } from '../../../src/upstream/registry-upstream.ts';
import { bytesOf } from '../../support/bodies.ts';
import { errorReply, redirectTo } from '../../support/scripted-upstream-reply.ts';
import { ScriptedUpstream } from '../../support/scripted-upstream.ts';
import {
  ACCOUNT,
  IMAGE,
  REPOSITORY,
  TAG,
  connect,
  failure,
  never,
  passwordOf,
  type ConnectOptions,
} from './connect.ts';

/** Nothing that is dialled there leaves the machine: the connection fails at once. */
const NOWHERE = '255.255.255.255';
const METADATA = '169.254.169.254';
const BYTES = Buffer.from('what the other host has');

/** What names lead to, for the next lookup. */
let names: Record<string, readonly string[]>;
let lookedUp: string[];
const lookup: LookupFunction = (hostname, _options, callback) => {
  lookedUp.push(hostname);
  const found = names[hostname];
  if (found)
    callback(
      null,
      found.map((address) => ({ address, family: isIP(address) })),
    );
  else callback(Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), { code: 'ENOTFOUND' }), []);
};

/** Every address that anything in this process tries to connect to. */
let dialled: string[];
const watch = (message: unknown) => {
  const { socket } = message as { socket: Socket };
  socket.on('connectionAttempt', (address: string) => dialled.push(address));
};

/** The upstream, at registry.example.com, and the host that it leads to, at any name. */
let registry: ScriptedUpstream;
let other: ScriptedUpstream;
let digest: Digest;
let upstream: RegistryUpstream;

function connectTo(options: ConnectOptions = {}): void {
  const url = registry.url.replace('127.0.0.1', 'registry.example.com');
  upstream = connect({ url }, { lookup, ...options });
}

beforeEach(async () => {
  names = { 'registry.example.com': ['127.0.0.1'] };
  [lookedUp, dialled] = [[], []];
  registry = await ScriptedUpstream.start({ auth: 'none', cdn: false });
  registry.push(REPOSITORY, '3', IMAGE);
  other = await ScriptedUpstream.start({ auth: 'none', cdn: false });
  digest = other.pushBlob(REPOSITORY, BYTES);
  connectTo();
  subscribe('net.client.socket', watch);
});

afterEach(async () => {
  unsubscribe('net.client.socket', watch);
  await upstream.close();
  await Promise.all([registry.close(), other.close()]);
});

const portOf = ({ url }: { readonly url: string }) => new URL(url).port;
const at = (host: string) => `http://${host}:${portOf(other)}/v2/${REPOSITORY}/blobs/${digest}?sig=s3cr3t`;

/** What comes of a blob that the upstream redirects there. */
async function follow(location: string, asked = digest): Promise<Buffer> {
  registry.reply({ kind: 'blob' }, redirectTo(location));
  const blob = await upstream.fetchBlob(REPOSITORY, asked, 0, never());
  return bytesOf(blob!.body);
}

describe('a redirect', () => {
  it('leads where the upstream itself is, by name and by address', async () => {
    names['cdn.example.net'] = ['127.0.0.2', '127.0.0.1'];
    await expect(follow(at('127.0.0.1'))).resolves.toEqual(BYTES);
    names['cdn.example.net'] = ['127.0.0.1'];
    await expect(follow(at('cdn.example.net'))).resolves.toEqual(BYTES);
  });

  it.each([
    ['the metadata service', METADATA],
    ['a link-local address', '169.254.1.1'],
    ['a mapped address', '[::ffff:169.254.169.254]'],
    ['an address behind NAT64', '[64:ff9b::a9fe:a9fe]'],
    ['an address written as a number', '2852039166'],
    ['a broadcast', NOWHERE],
  ])('leads not to %s', async (_, host) => {
    const refused = follow(`http://${host}/latest?sig=s3cr3t`);
    await expect(refused).rejects.toMatchObject(failure('protocol', /its address .* "redirects"/));
    await expect(refused).rejects.toThrow(`from ${new URL(`http://${host}`).host}: `);
    await expect(refused).rejects.not.toThrow('s3cr3t');
    expect(new Set(dialled)).toEqual(new Set(['127.0.0.1']));
  });

  it('leads to no name that has only such addresses', async () => {
    names['cdn.example.net'] = [METADATA, 'fe80::1%lo', 'fd00:ec2::254', '::169.254.169.254', NOWHERE];
    const refused = follow(at('cdn.example.net'));
    await expect(refused).rejects.toMatchObject(
      failure('protocol', /cdn\.example\.net:\d+: its address 169\./),
    );
    expect(new Set(dialled)).toEqual(new Set(['127.0.0.1']));
  });

  it('leads to the allowed addresses of a name, and to no others', async () => {
    names['cdn.example.net'] = [METADATA, '127.0.0.1', 'fd00:ec2::254'];
    await expect(follow(at('cdn.example.net'))).resolves.toEqual(BYTES);
    expect(new Set(dialled)).toEqual(new Set(['127.0.0.1']));
  });

  it('leads nowhere where the name is none, which may pass', async () => {
    await expect(follow(at('cdn.example.net'))).rejects.toMatchObject(failure('unreachable', /ENOTFOUND/));
  });

  it('dials what was looked up and checked, and looks nothing up again', async () => {
    names['cdn.example.net'] = ['127.0.0.1'];
    await follow(at('cdn.example.net'));
    names['cdn.example.net'] = [METADATA];
    // On the connection that is there.
    await expect(follow(at('cdn.example.net'))).resolves.toEqual(BYTES);
    expect(lookedUp).toEqual(['registry.example.com', 'cdn.example.net']);

    await other.restart();
    await expect(follow(at('cdn.example.net'))).rejects.toMatchObject(failure('protocol'));
    expect(lookedUp).toEqual(['registry.example.com', 'cdn.example.net', 'cdn.example.net']);
    expect(dialled).not.toContain(METADATA);
  });
});

describe('an upstream with an address outside', () => {
  beforeEach(() => {
    names['registry.example.com'] = ['127.0.0.1', NOWHERE];
    names['cdn.example.net'] = ['127.0.0.1'];
  });

  it.each(['127.0.0.1', 'cdn.example.net', 'localhost.example.com', 'registry.example.com'])(
    'can not send us in, to %s',
    async (host) => {
      names['localhost.example.com'] = ['127.0.0.1'];
      await expect(follow(at(host))).rejects.toMatchObject(failure('protocol', /"redirects"/));
      expect(other.connections()).toBe(0);
      expect(other.requests).toEqual([]);
    },
  );

  it('can not send us in later either, when its name leads in', async () => {
    await upstream.resolve(REPOSITORY, TAG, never());
    names['registry.example.com'] = ['127.0.0.1'];
    await registry.restart();
    await expect(follow(at('cdn.example.net'))).rejects.toMatchObject(failure('protocol'));
    expect(lookedUp.filter((name) => name === 'registry.example.com').length).toBeGreaterThan(1);
    expect(other.requests).toEqual([]);
  });

  it('can send us to itself', async () => {
    const { digest: own, bytes } = IMAGE.config;
    const url = `http://registry.example.com:${portOf(registry)}/v2/${REPOSITORY}/blobs/${own}?again`;
    await expect(follow(url, own)).resolves.toEqual(Buffer.from(bytes));
  });

  it('can send us to what is listed, with its port', async () => {
    await upstream.close();
    connectTo({ allowedRedirects: [`cdn.example.net:${portOf(other)}`] });
    await expect(follow(at('cdn.example.net'))).resolves.toEqual(BYTES);

    await upstream.close();
    connectTo({ allowedRedirects: ['cdn.example.net'] });
    await expect(follow(at('cdn.example.net'))).rejects.toMatchObject(failure('protocol'));
  });
});

describe('a realm', () => {
  const challenge = () => {
    const realm = `http://auth.example.com:${portOf(other)}/token`;
    const header = { 'www-authenticate': `Bearer realm="${realm}",service="s"` };
    registry.reply({ kind: 'manifest' }, errorReply(401, 'UNAUTHORIZED', 'no', header));
    return upstream.resolve(REPOSITORY, TAG, never());
  };

  beforeEach(async () => {
    await upstream.close();
    connectTo({ credentials: passwordOf(ACCOUNT) });
  });

  it('of the same domain is asked where the upstream itself is', async () => {
    names['auth.example.com'] = ['127.0.0.1'];
    await expect(challenge()).rejects.toMatchObject(failure('protocol', /404/));
    expect(other.requests.map(({ path }) => path)).toEqual(['/token']);
  });

  it('of the same domain gets no password where its address is further in', async () => {
    names['auth.example.com'] = [METADATA];
    await expect(challenge()).rejects.toMatchObject(failure('protocol', /"realms"/));
    expect(new Set(dialled)).toEqual(new Set(['127.0.0.1']));
  });

  it('of the same domain gets no password inside for an upstream outside', async () => {
    names['auth.example.com'] = ['127.0.0.1'];
    names['registry.example.com'] = ['127.0.0.1', NOWHERE];
    await expect(challenge()).rejects.toMatchObject(failure('protocol', /"realms"/));
    expect(other.requests).toEqual([]);
  });

  it('that is listed is asked wherever it is', async () => {
    await upstream.close();
    connectTo({ allowedRealms: [`auth.example.com:${portOf(other)}`] });
    names['auth.example.com'] = ['127.0.0.1'];
    names['registry.example.com'] = ['127.0.0.1', NOWHERE];
    await expect(challenge()).rejects.toMatchObject(failure('protocol', /404/));
    expect(other.requests.map(({ path }) => path)).toEqual(['/token']);
  });
});
