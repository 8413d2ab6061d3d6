/**
 * A program that ends in one of several ways while the system sends a file to somebody who doesn't read, for
 * test/unit/blobs/sendfile-end.test.ts.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { argv } from 'node:process';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { setTimeout } from 'node:timers/promises';
import { sentBeside } from '../../src/lib/beside.ts';
import { SendingServer } from './sending-server.ts';

const SIZE = 32 * 1024 * 1024;

async function beginSending(): Promise<AsyncDisposable> {
  const server = await SendingServer.start(Buffer.alloc(SIZE));
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.write('GET / HTTP/1.1\r\nHost: mirror\r\n\r\n');
  while (!server.sendings[0] || sentBeside(server.sendings[0].socket) === 0) await setTimeout(1);
  return {
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]();
      socket.destroy();
    },
  };
}

if (!isMainThread) {
  await beginSending();
  parentPort?.postMessage('sending');
} else if (argv[2] === 'terminate a thread') {
  const worker = new Worker(new URL(import.meta.url));
  await once(worker, 'message');
  await worker.terminate();
  console.log('ended');
} else {
  const sending = await beginSending();
  console.log('ended');
  if (argv[2] === 'exit') process.exit();
  await sending[Symbol.asyncDispose]();
}
