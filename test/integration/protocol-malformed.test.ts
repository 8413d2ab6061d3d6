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

describe('nonsense behind a request that is still being answered', () => {
  const given = useMirror();

  it('ends the connection, and puts not a byte into the answer', async () => {
    const bytes = randomBytes('held', 2 * MIB);
    const digest = given.upstream.pushBlob('library/alpine', bytes);
    const gate = given.upstream.hold({ kind: 'cdn' }, { afterBytes: MIB });
    using connection = await RawConnection.open(given.mirror.url);
    connection.send(`GET /v2/library/alpine/blobs/${digest} HTTP/1.1\r\nHost: mirror\r\n\r\n`);
    await connection.until(/\r\n\r\n/);
    await gate.waiting;
    connection.send('nonsense\r\n\r\n');
    const received = await connection.toEnd();
    gate.release();
    const body = received.subarray(received.indexOf('\r\n\r\n') + 4);
    expect(body.length).toBeLessThan(bytes.length);
    expect(body.equals(bytes.subarray(0, body.length))).toBe(true);
    // The download belongs to nobody, and ends well.
    expect((await get(`${given.v2}/library/alpine/blobs/${digest}`)).body.equals(bytes)).toBe(true);
  });
});
