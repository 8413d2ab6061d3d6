/** Reads a blob as a client does: what is sent by the system goes to sockets only. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { BlobContent } from '../../src/blobs/blob-store.ts';
import type { ByteRange } from '../../src/lib/byte-range.ts';
import { get } from './http.ts';

export async function readOverHttp(content: BlobContent, range?: ByteRange): Promise<Buffer> {
  const sent = Promise.withResolvers<undefined>();
  const server = createServer((_request, response) => {
    response.setHeader('Content-Length', range ? range.end - range.start : content.size!);
    content.sendTo(response, range).then(() => {
      response.end();
      sent.resolve(undefined);
    }, sent.reject);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const { body } = await get(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    await sent.promise;
    return body;
  } finally {
    server.close();
  }
}
