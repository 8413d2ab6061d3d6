/** The command line in this process: with a screen that remembers, and a scripted mirror behind the real admin API. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import { runCli } from '../../src/cli/cli.ts';
import { createAdminApp } from '../../src/http/admin.ts';
import { Secret } from '../../src/lib/secret.ts';
import { ScriptedAdministration } from './scripted-administration.ts';
import { NOW } from './scripted-content.ts';

export interface ServedAdministration extends AsyncDisposable {
  readonly administration: ScriptedAdministration;
  readonly url: string;
}

export async function serveAdministration(token?: string): Promise<ServedAdministration> {
  const administration = new ScriptedAdministration();
  const app = createAdminApp({
    administration,
    access: { listenHost: '127.0.0.1', token: token === undefined ? undefined : new Secret(token) },
    findFaults: () => Promise.resolve([]),
    findWarnings: () => Promise.resolve([]),
    metrics: { contentType: 'text/plain', render: () => Promise.resolve('') },
    onError: () => undefined,
  });
  const server = createServer(app);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    administration,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

export interface LineOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** What is typed; makes standard input and error a terminal. */
  readonly typed?: string;
  /** Makes standard output a terminal of that many columns. */
  readonly columns?: number;
  readonly rows?: number;
  readonly now?: () => number;
  readonly interrupted?: AbortSignal;
  /** Sees each text when it is written to standard output. */
  readonly onOutput?: (text: string) => void;
}

export interface LineResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** @param url of the mirror; without it, the environment decides */
export async function runLine(
  args: readonly string[],
  url: string | undefined,
  options: LineOptions = {},
): Promise<LineResult> {
  const { typed, columns, rows, interrupted = new AbortController().signal, onOutput } = options;
  const hasTerminal = typed !== undefined;
  let stdout = '';
  const stderr = Object.assign(new PassThrough({ encoding: 'utf8' }), { isTTY: hasTerminal, columns: 80 });
  let complaints = '';
  stderr.on('data', (text: string) => void (complaints += text));
  const stdin = Object.assign(new PassThrough(), { isTTY: hasTerminal, setRawMode: () => undefined });
  if (hasTerminal) stdin.end(typed);
  const never = (): Promise<number> => Promise.reject(new Error('nothing is to be started here'));
  const code = await runCli(
    args,
    { version: '1.2.3', serve: never, rebuildIndex: never },
    {
      env: { ...(url === undefined ? {} : { ENTREPOT_ADMIN_URL: url }), ...options.env },
      stdin,
      stderr,
      stdout: {
        isTTY: columns !== undefined,
        columns: columns ?? 0,
        rows: rows ?? 24,
        write: (text) => {
          stdout += text;
          onOutput?.(text);
        },
      },
      now: options.now ?? (() => Date.parse(NOW)),
      interrupted,
    },
  );
  return { code, stdout, stderr: complaints };
}
