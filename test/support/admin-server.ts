/** The admin listener over a scripted administration, for whoever serves it, or asks it, or looks at its page. */
import { createAdminApp, type AdminAppOptions } from '../../src/http/admin.ts';
import { ListeningServer } from '../../src/http/server.ts';
import { Secret } from '../../src/lib/secret.ts';
import { ScriptedAdministration } from './scripted-administration.ts';
import { NOW } from './scripted-content.ts';

export interface AdminServerOptions extends Partial<Omit<AdminAppOptions, 'administration' | 'access'>> {
  readonly administration?: ScriptedAdministration;
  readonly token?: string | { readonly file: string };
  /** What the configuration says of where it listens; it is on 127.0.0.1 in any case. */
  readonly listenHost?: string;
}

export interface AdminServer extends AsyncDisposable {
  readonly url: string;
  readonly administration: ScriptedAdministration;
  /** What it could not answer. */
  readonly errors: readonly unknown[];
}

export async function startAdminServer(options: AdminServerOptions = {}): Promise<AdminServer> {
  const { administration = new ScriptedAdministration(), token, listenHost = '127.0.0.1', ...rest } = options;
  const errors: unknown[] = [];
  const app = createAdminApp({
    findFaults: () => Promise.resolve([]),
    findWarnings: () => Promise.resolve([]),
    metrics: { contentType: 'text/plain', render: () => Promise.resolve('scripted 1\n') },
    onError: (error) => void errors.push(error),
    now: () => Date.parse(NOW),
    ...rest,
    administration,
    access: { listenHost, token: typeof token === 'string' ? new Secret(token) : token },
  });
  const server = await ListeningServer.listen(app, { host: '127.0.0.1', port: 0 });
  return {
    ...{ url: server.url, administration, errors },
    [Symbol.asyncDispose]: () => server.close(AbortSignal.abort()),
  };
}
