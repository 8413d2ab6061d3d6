/** Nothing that upstream says is read without a bound, whether or not it says how long it is. */
import type { ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import { MEDIA_TYPE } from '../../src/oci/manifest.ts';
import { get } from '../support/http.ts';
import { startMirror } from '../support/mirror.ts';
import { expectError } from '../support/oci-error.ts';
import { LoopbackListener } from '../support/scripted-upstream-listener.ts';

const DIGEST = `sha256:${'ab'.repeat(32)}`;
/** Of one answer: what is read, and what the system holds on its way. */
const MAX_BYTES = 32 * 1024 * 1024;

interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** How the body goes on, for as long as somebody listens. */
  readonly forEver?: string;
}

const json = { 'content-type': 'application/json' };
const answers: Readonly<Record<string, Answer>> = {
  token: { status: 200, headers: json, body: '{"token":"t","x":"', forEver: 'x' },
  'token that is refused': { status: 403, headers: json, body: '{"errors":[{"code":"', forEver: 'x' },
  'token of a service that fails': { status: 500, headers: json, forEver: '[' },
  manifest: {
    status: 200,
    headers: { 'content-type': MEDIA_TYPE.ociManifest },
    body: '{"layers":[0',
    forEver: ',0',
  },
  tags: { status: 200, headers: json, body: '{"tags":["a"', forEver: ',"a"' },
  referrers: {
    status: 200,
    headers: { 'content-type': MEDIA_TYPE.ociIndex },
    body: '{"manifests":[{}',
    forEver: ',{}',
  },
  absence: { status: 404, headers: json, forEver: '[' },
  refusal: { status: 403, headers: json, forEver: '[' },
  failure: { status: 500, headers: { 'content-type': 'text/html' }, forEver: '<p>' },
};

/** A registry that gives that answer, and asks for a token before where that is what is asked for. */
async function startEndless(what: string, contentLength: number | undefined) {
  const endless = answers[what]!;
  const left = Promise.withResolvers<undefined>();
  let mostBytesSent = 0;
  const pour = (response: ServerResponse) => {
    const chunk = Buffer.alloc(60 * 1024, endless.forEver);
    let bytesSent = 0;
    const more = () => {
      while (!response.destroyed && response.write(chunk)) bytesSent += chunk.length;
      mostBytesSent = Math.max(mostBytesSent, bytesSent);
    };
    response.on('drain', more).on('close', () => left.resolve(undefined));
    response.write(endless.body ?? '', more);
  };
  const listener = await LoopbackListener.start(({ method, url = '' }, response) => {
    if (what.startsWith('token') && !url.startsWith('/token')) {
      const challenge = `Bearer realm="${listener.url}/token",service="s"`;
      response.writeHead(401, { 'www-authenticate': challenge }).end();
      return;
    }
    const length = contentLength === undefined ? {} : { 'content-length': contentLength };
    response.writeHead(endless.status, { ...endless.headers, ...length });
    if (method === 'HEAD') response.end();
    else pour(response);
  });
  return {
    url: listener.url,
    left: left.promise,
    mostBytesSent: () => mostBytesSent,
    [Symbol.asyncDispose]: () => listener.stop(),
  };
}

describe.each([
  ['chunked, without a length', undefined],
  ['with a length that is a lie, or not', 2 ** 40],
])('an answer without an end, %s', (_, contentLength) => {
  it.each([
    ['token', 'tags/list', 502],
    ['token that is refused', 'tags/list', 403],
    ['token of a service that fails', 'tags/list', 503],
    ['manifest', `manifests/${DIGEST}`, 502],
    ['tags', 'tags/list', 502],
    ['referrers', `referrers/${DIGEST}`, 502],
    ['absence', `blobs/${DIGEST}`, 404],
    ['refusal', 'tags/list', 403],
    ['failure', 'tags/list', 503],
  ])('is left when it is too long: a %s, for %s', async (what, path, status) => {
    await using upstream = await startEndless(what, contentLength);
    await using mirror = await startMirror({ upstreamUrl: upstream.url });
    const response = await get(`${mirror.url}/v2/library/alpine/${path}`);
    expectError(response, status, { 403: 'DENIED', 404: 'BLOB_UNKNOWN' }[status] ?? 'UNAVAILABLE');
    await upstream.left;
    expect(upstream.mostBytesSent()).toBeLessThan(MAX_BYTES);
  });
});

describe('a list of tags whose pages have no end', () => {
  it('is given up, and not begun again', async () => {
    let pages = 0;
    await using listener = Object.assign(
      await LoopbackListener.start((_request, response) => {
        pages += 1;
        const link = `</v2/library/alpine/tags/list?n=1000&last=${pages}>; rel="next"`;
        response.writeHead(200, { ...json, link }).end('{"tags":["a"]}');
      }),
      { [Symbol.asyncDispose]: () => listener.stop() },
    );
    await using mirror = await startMirror({ upstreamUrl: listener.url });
    expectError(await get(`${mirror.url}/v2/library/alpine/tags/list`), 502, 'UNAVAILABLE');
    expect(pages).toBe(1000);
  });
});
