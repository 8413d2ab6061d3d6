/** One connection on which bytes are sent, whatever they are, and read until the other side has had enough. */
import { connect } from 'node:net';

/** How long it may be quiet before our side ends: what was sent may be the beginning of a request. */
const QUIET_MS = 100;
/** How long the other side may then keep it open. */
const PATIENCE_MS = 20_000;

/** All that comes. */
export function exchange(url: string, bytes: Uint8Array): Promise<Buffer> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  const received: Buffer[] = [];
  return new Promise((resolve, reject) => {
    const patience = setTimeout(() => {
      socket.destroy();
      reject(new Error('the connection stays open'));
    }, PATIENCE_MS);
    socket
      .on('data', (chunk: Buffer) => received.push(chunk))
      // Being cut off is something to look at, not to throw.
      .on('error', () => undefined)
      .on('close', () => {
        clearTimeout(patience);
        resolve(Buffer.concat(received));
      })
      .setTimeout(QUIET_MS, () => socket.end())
      .write(bytes);
  });
}
