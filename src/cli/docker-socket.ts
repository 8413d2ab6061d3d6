/** Asks a Docker daemon something over its Unix socket. */
import { statSync } from 'node:fs';
import { request, type IncomingMessage } from 'node:http';
import { once } from 'node:events';
import { json } from 'node:stream/consumers';

/** It may ask a registry itself before it answers. */
const TIMEOUT_MS = 20_000;

export function isUnixSocket(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isSocket() ?? false;
}

export async function askDocker(
  socketPath: string,
  path: string,
): Promise<{ readonly status: number; readonly body: unknown }> {
  const asked = request({
    socketPath,
    path,
    signal: AbortSignal.timeout(TIMEOUT_MS),
    headers: { host: 'docker' },
  });
  asked.end();
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  return { status: response.statusCode ?? 0, body: await json(response) };
}
