/** Clients that speak HTTP/1.0, as nginx does to what is behind it: to them a body without a length ends with its connection. */
import { connect } from 'node:net';
import { beforeAll, describe, expect, it } from 'vitest';
import { randomBytes } from '../support/images.ts';
import { flipByte } from '../support/scripted-upstream-faults.ts';
import { useMirror } from '../support/use-mirror.ts';

const REPOSITORY = 'library/alpine';

describe('a blob of unknown size, asked for by HTTP/1.0', () => {
  const given = useMirror({}, beforeAll);

  /** A blob that upstream sends without a length. */
  const pushBlob = (seed: string) => {
    const bytes = randomBytes(seed, 100_000);
    const digest = given.upstream.pushBlob(REPOSITORY, bytes);
    const headers = { 'content-length': undefined };
    given.upstream.fault({ kind: 'blob', method: 'HEAD', reference: digest }, { headers });
    return { bytes, digest, headers };
  };

  const pull = async (digest: string) => {
    const { hostname, port, pathname } = new URL(`${given.v2}/${REPOSITORY}/blobs/${digest}`);
    const socket = connect(Number(port), hostname);
    const chunks: Buffer[] = [];
    let error: NodeJS.ErrnoException | undefined;
    socket.on('error', (reason) => (error = reason));
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.write(`GET ${pathname} HTTP/1.0\r\n\r\n`);
    await new Promise((resolve) => socket.once('close', resolve));
    const received = Buffer.concat(chunks);
    return { head: received.toString('latin1').split('\r\n\r\n', 1)[0], received, error: error?.code };
  };

  it('comes whole, and ends as it should', async () => {
    const { bytes, digest, headers } = pushBlob('whole');
    given.upstream.fault({ kind: 'cdn', reference: digest }, { headers });
    const { head, received, error } = await pull(digest);
    expect(head).toMatch(/^HTTP\/1\.[01] 200 /);
    expect(head).not.toMatch(/content-length|chunked/i);
    expect(received.subarray(-bytes.length).equals(bytes)).toBe(true);
    expect(error).toBeUndefined();
  });

  it('is broken off, and does not end as a whole one would, where its bytes are wrong', async () => {
    const { digest, headers } = pushBlob('wrong');
    given.upstream.fault({ kind: 'cdn', reference: digest }, { headers, body: flipByte(70_000) });
    const { head, error } = await pull(digest);
    expect(head).toMatch(/^HTTP\/1\.[01] 200 /);
    expect(error).toBe('ECONNRESET');
  });
});
