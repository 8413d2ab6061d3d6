/** R1 and R9 of what clients need: the ping that decides whether a mirror is used at all, and idle connections. */
import { Agent } from 'node:http';
import { beforeAll, describe, expect, it } from 'vitest';
import { get, head, jsonOf, request } from '../support/http.ts';
import { buildImage } from '../support/images.ts';
import { expectError, expectHeadError } from '../support/oci-error.ts';
import { RawConnection, sendRaw } from '../support/raw-http.ts';
import { useMirror } from '../support/use-mirror.ts';

/** dockerd 30 s, containerd 30 s, BuildKit 120 s. */
const LONGEST_IDLE_OF_A_CLIENT_SECONDS = 120;

describe('R1: the ping', () => {
  // Of the strictest kind, so that a challenge of its own would show.
  const given = useMirror({ scripted: { allowAnonymous: false } }, beforeAll);

  it.each(['/v2/', '/v2', '/docker.io/v2/', '/docker.io/v2', '/v2/?ns=docker.io'])(
    'answers GET and HEAD of %s with 200, the API version and no challenge, and asks upstream nothing',
    async (path) => {
      for (const method of ['GET', 'HEAD']) {
        const response = await request(given.mirror.url + path, { method });
        expect(response.status).toBe(200);
        expect(response.headers).toMatchObject({
          'docker-distribution-api-version': 'registry/2.0',
          'content-type': 'application/json',
          'content-length': '2',
        });
        expect(response.headers['www-authenticate']).toBeUndefined();
        expect(response.headers.location).toBeUndefined();
        expect(response.body.toString()).toBe(method === 'GET' ? '{}' : '');
      }
      expect(given.upstream.requests).toEqual([]);
    },
  );

  it('challenges nobody who sends credentials of his own, and takes no notice of them', async () => {
    const headers = { authorization: `Basic ${Buffer.from('jane:hub-password').toString('base64')}` };
    const response = await get(`${given.mirror.url}/v2/`, { headers });
    expect(response.status).toBe(200);
    expect(JSON.stringify(given.mirror.log)).not.toContain('hub-password');
    expect(JSON.stringify(given.mirror.log)).not.toContain(headers.authorization);
  });

  it('answers while upstream is away', async () => {
    await given.upstream.stop();
    try {
      expect((await get(`${given.mirror.url}/v2/`)).status).toBe(200);
    } finally {
      await given.upstream.restart();
    }
  });
});

describe('the registry listener', () => {
  const given = useMirror({}, beforeAll);

  it.each([
    '/',
    '/healthz',
    '/readyz',
    '/metrics',
    '/v1/search',
    '/v1/_ping',
    '/favicon.ico',
    '/token',
    '/api/v2.0/projects',
    '/V2/',
    '/v2/_catalog/',
    '/v2/library/alpine',
    '/v2/library/alpine/',
    '/v2/library/alpine/tags',
    '/v2/library/alpine/tags/latest',
    '/v2/library/alpine/manifests/3/',
  ])('has nothing at %s: 404 in the form of the OCI, to GET and HEAD', async (path) => {
    expectError(await get(given.mirror.url + path), 404, 'UNSUPPORTED');
    expectHeadError(await head(given.mirror.url + path), 404);
    expect(given.upstream.requests).toEqual([]);
  });

  it('does not say what it is made with', async () => {
    for (const path of ['/v2/', '/nothing']) {
      const { headers } = await get(given.mirror.url + path);
      expect(headers['x-powered-by']).toBeUndefined();
      expect(headers['x-content-type-options']).toBe('nosniff');
    }
  });

  it('takes a URL in the absolute form, as a client sends it to a proxy (RFC 9112, section 3.2.2)', async () => {
    const { url } = given.mirror;
    given.upstream.push('library/alpine', '3', buildImage());
    const target = `${url}/v2/library/alpine/manifests/3?ns=docker.io`;
    const [response] = await sendRaw(
      url,
      `HEAD ${target} HTTP/1.1\r\nHost: mirror\r\nConnection: close\r\n\r\n`,
    );
    expect(response?.status).toBe(200);
    expect(response?.headers['oci-namespace']).toBe('docker.io');
    given.upstream.reset();
  });
});

describe('R9: idle connections', () => {
  const given = useMirror();

  it('are kept longer than any client keeps them', async () => {
    const agent = new Agent({ keepAlive: true });
    try {
      const { headers } = await get(`${given.v2}/`, { agent });
      expect(headers.connection).toBe('keep-alive');
      const timeout = /timeout=(\d+)/.exec(String(headers['keep-alive'] ?? ''))?.[1];
      expect(Number(timeout)).toBeGreaterThan(LONGEST_IDLE_OF_A_CLIENT_SECONDS);
    } finally {
      agent.destroy();
    }
  });

  it('survive whatever is answered on them: bodies, 304, 404, 405 and 416', async () => {
    const image = buildImage();
    given.upstream.push('library/alpine', '3', image);
    const { digest } = image.layers[0]!;
    const manifest = '/v2/library/alpine/manifests/3';
    const blob = `/v2/library/alpine/blobs/${digest}`;
    const requests = [
      `GET ${manifest}`,
      `HEAD ${manifest}`,
      `GET ${manifest} If-None-Match: *`,
      `GET ${blob}`,
      `HEAD ${blob}`,
      `GET ${blob} Range: bytes=9999999-`,
      'GET /v2/library/alpine/manifests/none',
      `PUT ${manifest}`,
      'GET /nothing',
    ];
    using connection = await RawConnection.open(given.mirror.url);
    const statuses: string[] = [];
    for (const [index, text] of requests.entries()) {
      const [method = '', path = '', ...header] = text.split(' ');
      connection.send(
        `${method} ${path} HTTP/1.1\r\nHost: mirror\r\n${header.join(' ')}${header.length > 0 ? '\r\n' : ''}\r\n`,
      );
      await connection.until(new RegExp(`(?:HTTP/1\\.1 \\d+ [^]*){${index + 1}}`));
      statuses.push([...connection.received.toString('latin1').matchAll(/HTTP\/1\.1 (\d+) /g)].at(-1)![1]!);
    }
    expect(statuses).toEqual(['200', '200', '304', '200', '200', '416', '404', '405', '404']);
    expect(connection.received.toString('latin1')).not.toMatch(/^Connection: close/im);
  });

  it('serve the next request at once when it was sent before the first was answered', async () => {
    using connection = await RawConnection.open(given.mirror.url);
    const ping = 'GET /v2/ HTTP/1.1\r\nHost: mirror\r\n';
    connection.send(`${ping}\r\n${ping}Connection: close\r\n\r\n`);
    const text = (await connection.toEnd()).toString();
    expect(text.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(2);
    expect(jsonOf({ body: Buffer.from(text.slice(-2)) })).toEqual({});
  });
});
