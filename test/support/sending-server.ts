/** A server that sends one file as blobs are sent, and tells how each time ended. */
import { open, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { BufferPool, sendChunk } from '../../src/blobs/buffers.ts';
import { Sendfile } from '../../src/blobs/sendfile.ts';
import { ListeningServer, type ListenOptions } from '../../src/http/server.ts';
import { Outlet } from '../../src/lib/outlet.ts';
import { tempDir } from './temp-dir.ts';

/** In CI it has to be there; elsewhere what is about it is skipped where nobody can make it (build-native.ts). */
export const sendfile = Sendfile.load('always');
export const canSendfile = sendfile !== undefined || process.env['CI'] !== undefined;

export interface SendingOptions extends ListenOptions {
  /** What is promised; the file may have less. All of it unless given. */
  readonly length?: number;
  readonly isChunked?: boolean;
  readonly isCopied?: boolean;
}

export interface Sending {
  readonly socket: Socket;
  readonly response: ServerResponse;
  /** With the error that ended it, if one did. */
  readonly ended: Promise<unknown>;
}

export class SendingServer implements AsyncDisposable {
  readonly path: string;
  readonly sendings: Sending[] = [];
  readonly #server: ListeningServer;
  readonly #directory: AsyncDisposable;

  private constructor(server: ListeningServer, path: string, directory: AsyncDisposable) {
    this.#server = server;
    this.#directory = directory;
    this.path = path;
  }

  /** @param file its bytes, or where it is */
  static async start(file: Uint8Array | string, options: SendingOptions = {}): Promise<SendingServer> {
    const directory = await tempDir();
    const path = typeof file === 'string' ? file : join(directory.path, 'file');
    if (typeof file !== 'string') await writeFile(path, file);
    const buffers = new BufferPool({ sendfile: options.isCopied ? undefined : sendfile });
    const length = options.length ?? file.length;
    const answer = ({ socket }: IncomingMessage, response: ServerResponse) => {
      if (!options.isChunked) response.setHeader('Content-Length', length);
      const ended = send(path, response, buffers, length).then(
        () => void response.end(),
        (error: unknown) => {
          response.destroy();
          return error;
        },
      );
      started.sendings.push({ socket, response, ended });
    };
    const server = await ListeningServer.listen(answer, { host: '127.0.0.1', port: 0 }, options);
    const started = new SendingServer(server, path, directory);
    return started;
  }

  get url(): string {
    return this.#server.url;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.close(AbortSignal.abort());
    await Promise.all(this.sendings.map(({ ended }) => ended));
    await this.#directory[Symbol.asyncDispose]();
  }
}

async function send(path: string, response: ServerResponse, buffers: BufferPool, end: number): Promise<void> {
  await using file = await open(path);
  using outlet = new Outlet(response);
  for (let position = 0; position < end;) {
    position += await sendChunk(file, outlet, buffers, position, end);
  }
}
