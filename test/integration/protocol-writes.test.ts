/** A mirror takes nothing: every method that writes is refused on every endpoint, without a word to upstream. */
import { once } from 'node:events';
import { request as nodeRequest, type IncomingMessage } from 'node:http';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { get, request, type Response } from '../support/http.ts';
import { buildImage } from '../support/images.ts';
import { expectError } from '../support/oci-error.ts';
import { RawConnection, sendRaw } from '../support/raw-http.ts';
import { useMirror } from '../support/use-mirror.ts';

const image = buildImage();
const { digest } = image.config;
const given = useMirror({}, beforeAll);

beforeEach(() => {
  given.upstream.push('library/alpine', '3', image);
  given.upstream.reset();
});

function expectRefused(response: Response): void {
  expectError(response, 405, 'UNSUPPORTED');
  expect(response.headers.allow).toBe('GET, HEAD');
  expect(response.headers.location).toBeUndefined();
  expect(given.upstream.requests).toEqual([]);
}

describe('what writes is a 405 that says what is allowed', () => {
  const UPLOADS = '/v2/library/alpine/blobs/uploads';

  it.each([
    ['POST', `${UPLOADS}/`],
    ['POST', UPLOADS],
    ['POST', `${UPLOADS}/?digest=${digest}`],
    ['POST', `${UPLOADS}/?digest-algorithm=sha512`],
    ['POST', `${UPLOADS}/?mount=${digest}&from=library/debian`],
    ['PATCH', `${UPLOADS}/2f1c9a`],
    ['PUT', `${UPLOADS}/2f1c9a?digest=${digest}`],
    ['DELETE', `${UPLOADS}/2f1c9a`],
    ['PUT', '/v2/library/alpine/manifests/3'],
    ['PUT', '/v2/library/alpine/manifests/3?tag=4&tag=5'],
    ['PUT', `/v2/library/alpine/manifests/${image.manifest.digest}`],
    ['DELETE', '/v2/library/alpine/manifests/3'],
    ['DELETE', `/v2/library/alpine/manifests/${image.manifest.digest}`],
    ['DELETE', `/v2/library/alpine/blobs/${digest}`],
    ['POST', '/v2/library/alpine/manifests/3'],
    ['PATCH', '/v2/library/alpine/manifests/3'],
    ['PUT', `/v2/library/alpine/blobs/${digest}`],
    ['PUT', `/docker.io/v2/library/alpine/manifests/3?ns=docker.io`],
    ['DELETE', '/v2/library/alpine/tags/list'],
    ['DELETE', '/v2/library/alpine/tags/3'],
    ['POST', `/v2/library/alpine/referrers/${digest}`],
    ['POST', '/v2/'],
    ['DELETE', '/v2/'],
    ['DELETE', '/v2/_catalog'],
    ['POST', '/nothing'],
    ['PUT', '/v2/NOT//valid/manifests/%2e%2e'],
    ['OPTIONS', '/v2/'],
    ['PROPFIND', '/v2/library/alpine/manifests/3'],
    ['TRACE', '/v2/'],
  ])('%s %s', async (method, path) => {
    expectRefused(await request(given.mirror.url + path, { method }));
  });

  it('a manifest that comes with its body, whose connection then ends', async () => {
    const url = `${given.v2}/library/alpine/manifests/3`;
    const headers = { 'content-type': image.manifest.mediaType };
    const response = await request(url, { method: 'PUT', body: image.manifest.bytes, headers });
    expectRefused(response);
    expect(response.headers.connection).toBe('close');
  });

  it('and a method in lower case, or of one’s own making, is no HTTP at all', async () => {
    for (const method of ['put', 'get', 'PUSH']) {
      const [response] = await sendRaw(given.mirror.url, `${method} /v2/ HTTP/1.1\r\nHost: mirror\r\n\r\n`);
      expect(response?.status).toBe(400);
    }
  });

  it('and what is refused changes nothing', async () => {
    const url = `${given.v2}/library/alpine/manifests/3`;
    expect((await get(url)).body).toEqual(image.manifest.bytes);
    for (const method of ['DELETE', 'PUT', 'POST']) await request(url, { method });
    expect((await get(url)).body).toEqual(image.manifest.bytes);
  });
});

describe('who asks before he sends (Expect: 100-continue)', () => {
  it('gets his 405 without a 100', async () => {
    const outgoing = nodeRequest(`${given.v2}/library/alpine/manifests/3`, {
      method: 'PUT',
      headers: { expect: '100-continue', 'content-length': '1000000' },
      agent: false,
    });
    const interim: number[] = [];
    outgoing.on('continue', () => interim.push(100));
    outgoing.on('information', ({ statusCode }) => interim.push(statusCode));
    outgoing.flushHeaders();
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    expect(response.statusCode).toBe(405);
    expect(response.headers.connection).toBe('close');
    expect(interim).toEqual([]);
    outgoing.on('error', () => undefined).destroy();
    expect(given.upstream.requests).toEqual([]);
  });

  it('gets what he asks for with a GET', async () => {
    using connection = await RawConnection.open(given.mirror.url);
    connection.send('GET /v2/ HTTP/1.1\r\nHost: mirror\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n');
    expect((await connection.toEnd()).toString()).toMatch(/^HTTP\/1\.1 200 /);
  });
});
