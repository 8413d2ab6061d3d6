/** What is no valid HTTP, or too much of it: refused in the form of the OCI, and never in the middle of an answer. */
import { beforeAll, describe, expect, it } from 'vitest';
import { get, jsonOf } from '../support/http.ts';
import { randomBytes } from '../support/images.ts';
import { parseResponses, RawConnection, sendRaw } from '../support/raw-http.ts';
import { useMirror } from '../support/use-mirror.ts';

const MIB = 1024 * 1024;
const given = useMirror({}, beforeAll);

async function expectRefusal(bytes: string | Uint8Array, status: number): Promise<void> {
  const responses = await sendRaw(given.mirror.url, bytes);
  expect(responses).toHaveLength(1);
  const [response] = responses;
  expect(response).toMatchObject({
    status,
    headers: { 'content-type': 'application/json', connection: 'close' },
  });
  expect(jsonOf({ body: Buffer.from(response!.body) })).toMatchObject({
    errors: [{ code: expect.stringMatching(/^[A-Z_]+$/) as string, message: expect.any(String) as string }],
  });
  expect(given.upstream.requests).toEqual([]);
}

describe('bytes that are no HTTP request', () => {
  const HOST = 'Host: mirror\r\n';

  it.each([
    ['a line of text', 'hello\r\n\r\n'],
    ['a TLS handshake', Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03])],
    ['a NUL in the path', `GET /v2/library/al\0pine/manifests/3 HTTP/1.1\r\n${HOST}\r\n`],
    ['a space in the path', `GET /v2/library/al pine/manifests/3 HTTP/1.1\r\n${HOST}\r\n`],
    ['a header without a colon', `GET /v2/ HTTP/1.1\r\n${HOST}nonsense\r\n\r\n`],
    ['a header name with a space', `GET /v2/ HTTP/1.1\r\n${HOST}X y: z\r\n\r\n`],
    ['a header folded onto two lines', `GET /v2/ HTTP/1.1\r\n${HOST}X: a\r\n b\r\n\r\n`],
    ['a carriage return alone', `GET /v2/ HTTP/1.1\r\n${HOST}X: a\rY: b\r\n\r\n`],
    ['two lengths of one body', `GET /v2/ HTTP/1.1\r\n${HOST}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`],
    ['a length that is no number', `GET /v2/ HTTP/1.1\r\n${HOST}Content-Length: x\r\n\r\n`],
    [
      'a length and chunks',
      `GET /v2/ HTTP/1.1\r\n${HOST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    ],
    [
      'a transfer coding that hides chunks',
      `GET /v2/ HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked, x\r\n\r\n`,
    ],
    ['a transfer coding without an end', `GET /v2/ HTTP/1.1\r\n${HOST}Transfer-Encoding: gzip\r\n\r\n`],
    ['a transfer coding of no kind', `GET /v2/ HTTP/1.1\r\n${HOST}Transfer-Encoding: xchunked\r\n\r\n`],
    [
      'a transfer coding twice',
      `GET /v2/ HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    ],
    ['a space before a colon', `GET /v2/ HTTP/1.1\r\n${HOST}Transfer-Encoding : chunked\r\n\r\n`],
    ['the same length twice', `GET /v2/ HTTP/1.1\r\n${HOST}Content-Length: 0\r\nContent-Length: 0\r\n\r\n`],
    ['a list of lengths', `GET /v2/ HTTP/1.1\r\n${HOST}Content-Length: 5, 5\r\n\r\nhello`],
    ['a length with a sign', `GET /v2/ HTTP/1.1\r\n${HOST}Content-Length: +5\r\n\r\nhello`],
    ['a length beyond all numbers', `GET /v2/ HTTP/1.1\r\n${HOST}Content-Length: ${'9'.repeat(30)}\r\n\r\n`],
    ['line feeds alone', 'GET /v2/ HTTP/1.1\nHost: mirror\n\n'],
    ['a line feed alone', 'GET /v2/ HTTP/1.1\r\nHost: mirror\nX: y\r\n\r\n'],
    ['a NUL in a header', `GET /v2/ HTTP/1.1\r\n${HOST}X: a\0b\r\n\r\n`],
    ['no host', 'GET /v2/ HTTP/1.1\r\n\r\n'],
    ['two hosts', `GET /v2/ HTTP/1.1\r\n${HOST}Host: other\r\n\r\n`],
    ['a host and a port for a path', `GET mirror:5000 HTTP/1.1\r\n${HOST}\r\n`],
    ['a tunnel', 'CONNECT registry-1.docker.io:443 HTTP/1.1\r\nHost: registry-1.docker.io:443\r\n\r\n'],
    ['a tunnel to a path', `CONNECT /v2/ HTTP/1.1\r\n${HOST}\r\n`],
    ['the beginning of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0'],
    ['HTTP/2 in letters', `GET /v2/ HTTP/2.0\r\n${HOST}\r\n`],
    ['another protocol', `GET /v2/ SMTP/1.1\r\n${HOST}\r\n`],
    ['another version', `GET /v2/ HTTP/3.7\r\n${HOST}\r\n`],
  ])('are a 400: %s', async (_, bytes) => {
    await expectRefusal(bytes, 400);
  });

  it('are a 400 after a request that was one, and that is answered', async () => {
    const ping = `GET /v2/ HTTP/1.1\r\n${HOST}\r\n`;
    using connection = await RawConnection.open(given.mirror.url);
    connection.send(ping);
    await connection.until(/\r\n\r\n\{\}$/);
    connection.send('nonsense\r\n\r\n');
    expect(parseResponses(await connection.toEnd())).toMatchObject([{ status: 200 }, { status: 400 }]);
  });
});

describe('too much of it', () => {
  it.each([
    ['a header of 20 KiB', `GET /v2/ HTTP/1.1\r\nHost: mirror\r\nX: ${'x'.repeat(20 * 1024)}\r\n\r\n`],
    ['headers of 20 KiB', `GET /v2/ HTTP/1.1\r\nHost: mirror\r\n${'X: 0123456789\r\n'.repeat(1500)}\r\n`],
    ['a path of 20 KiB', `GET /v2/${'a/'.repeat(10 * 1024)}manifests/3 HTTP/1.1\r\nHost: mirror\r\n\r\n`],
  ])('is a 431: %s', async (_, bytes) => {
    await expectRefusal(bytes, 431);
  });

  it('is not a token of 8 KiB, which some clients have', async () => {
    const headers = { authorization: `Bearer ${'x'.repeat(8 * 1024)}` };
    expect((await get(`${given.v2}/`, { headers })).status).toBe(200);
  });
});

describe('targets of other forms', () => {
  it.each([
    ['*', 404],
    ['http://mirror/v2/', 200],
    ['http://jane:private@mirror/v2/', 200],
    ['HTTPS://MIRROR:99999999/v2/?ns=docker.io', 200],
    ['http://', 404],
    ['http://mirror', 404],
    ['http://[', 404],
    ['http://[::1/v2/', 200],
    ['http://%zz/nothing', 404],
    ['/v2/#fragment', 404],
    ['//mirror/v2/../', 404],
    ['/v2/;a=b', 404],
    [`/${'a'.repeat(15 * 1024)}`, 400],
    [`/v2/${'%41'.repeat(5000)}/manifests/3`, 400],
    [`/v2/?${'a=b&'.repeat(3500)}`, 200],
  ])('%s is a %i in the form of the OCI', async (target, status) => {
    const bytes = `GET ${target} HTTP/1.1\r\nHost: mirror\r\nConnection: close\r\n\r\n`;
    const responses = await sendRaw(given.mirror.url, bytes);
    expect(responses).toMatchObject([{ status, headers: { 'content-type': 'application/json' } }]);
    const isError = status !== 200;
    const body = jsonOf({ body: Buffer.from(responses[0]!.body) });
    expect(body).toEqual(
      isError ? { errors: [expect.objectContaining({ code: expect.any(String) as string })] } : {},
    );
    expect(JSON.stringify(given.mirror.log)).not.toContain('private');
    expect(given.upstream.requests).toEqual([]);
  });

  it('are fine in HTTP/1.0 without a host, and the connection ends with the answer', async () => {
    expect(await sendRaw(given.mirror.url, 'GET /v2/ HTTP/1.0\r\n\r\n')).toMatchObject([
      { status: 200, body: '{}', headers: { connection: 'close' } },
    ]);
  });

  it.each(['websocket', 'h2c'])('are answered by HTTP/1.1 to who would rather speak %s', async (protocol) => {
    const upgrade = `Connection: Upgrade, HTTP2-Settings\r\nUpgrade: ${protocol}\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n`;
    using connection = await RawConnection.open(given.mirror.url);
    connection.send(`GET /v2/ HTTP/1.1\r\nHost: mirror\r\n${upgrade}\r\n`);
    await connection.until(/\r\n\r\n\{\}$/);
    expect(parseResponses(connection.received)).toMatchObject([{ status: 200, body: '{}' }]);
  });
});

describe('a body that nobody asked for', () => {
  it.each([
    ['of which little comes', 'Content-Length: 1000000000\r\n\r\nlittle'],
    ['that is announced only', 'Content-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n'],
    ['in chunks without an end', 'Transfer-Encoding: chunked\r\n\r\n5;private=1\r\nhello\r\n'],
    [
      'that hides another request',
      'Content-Length: 40\r\n\r\nGET /v2/_catalog HTTP/1.1\r\nHost: mirror\r\n\r\n',
    ],
    [
      'before another request',
      'Content-Length: 5\r\n\r\nhelloGET /v2/_catalog HTTP/1.1\r\nHost: mirror\r\n\r\n',
    ],
    [
      'of no bytes, before another',
      'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /v2/_catalog HTTP/1.1\r\n\r\n',
    ],
  ])('is not waited for, and ends the connection: one %s', async (_what, rest) => {
    for (const [path, status] of [
      ['/v2/', 200],
      ['/v2/library/alpine/manifests/sha256:wrong', 400],
      ['/nothing', 404],
    ] as const) {
      const responses = await sendRaw(given.mirror.url, `GET ${path} HTTP/1.1\r\nHost: mirror\r\n${rest}`);
      expect(responses).toMatchObject([{ status, headers: { connection: 'close' } }]);
    }
    expect(given.upstream.requests).toEqual([]);
  });
});

describe('what is refused before it is a request', () => {
  const given = useMirror();

  it('is counted and logged with its reason and its client, and with nothing of what came', async () => {
    await sendRaw(
      given.mirror.url,
      'GET /private HTTP/1.1\r\nHost: mirror\r\nprivate\r\nprivate: private\r\n\r\n',
    );
    expect(await given.mirror.metric('entrepot_refused_connections_total{reason="malformed"}')).toBe(1);
    expect(given.mirror.log).toContainEqual(
      expect.objectContaining({ reason: 'malformed', client: '127.0.0.1', code: 'HPE_INVALID_HEADER_TOKEN' }),
    );
    expect(JSON.stringify(given.mirror.log)).not.toContain('private');
  });
});

describe('nonsense behind a request that is still being answered', () => {
  const given = useMirror();

  it('puts not a byte into the answer, and is refused when all of that is out', async () => {
    const bytes = randomBytes('held', 2 * MIB);
    const digest = given.upstream.pushBlob('library/alpine', bytes);
    const gate = given.upstream.hold({ kind: 'cdn' }, { afterBytes: MIB });
    using connection = await RawConnection.open(given.mirror.url);
    connection.send(`GET /v2/library/alpine/blobs/${digest} HTTP/1.1\r\nHost: mirror\r\n\r\n`);
    await connection.until(/\r\n\r\n/);
    await gate.waiting;
    connection.send('nonsense\r\n\r\n');
    await expect.poll(() => given.mirror.log.some(({ reason }) => reason === 'malformed')).toBe(true);
    gate.release();
    const [answer, refusal, ...others] = parseResponses(await connection.toEnd());
    expect(Buffer.from(answer!.body, 'latin1').equals(bytes)).toBe(true);
    expect(refusal).toMatchObject({ status: 400, headers: { connection: 'close' } });
    expect(others).toEqual([]);
  });
});
