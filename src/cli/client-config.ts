/** `client-config`: what to paste, and into which file, so that a client pulls through this mirror. */
import type { Config } from '../config/config.ts';
import { formatListen } from '../config/config.ts';
import { isInContainer, reachableUrl } from '../lib/reachable-url.ts';
import { CLIENT_FILES, type ClientFile, type Mirrored } from './client-files.ts';
import { API_OPTIONS, type Command, type Given, type Session } from './command.ts';
import { namedUrl } from './endpoint.ts';
import { EXIT, UsageError } from './errors.ts';
import { formatJson } from './format.ts';
import { paint } from './screen.ts';

export const CLIENT_CONFIG: Command = {
  name: 'client-config',
  summary: 'print what to paste into the configuration of a client, so that it pulls from here',
  argument: { name: 'KIND', offers: Object.keys(CLIENT_FILES) },
  options: {
    mirror: {
      value: 'URL',
      summary:
        'where clients reach the registry, such as http://mirror:5000, where that is not as it listens',
    },
    json: { summary: 'print an array of {file, content, then}' },
    ...API_OPTIONS,
  },
  details: [
    'The registries are those of the configuration here, or of the running mirror where --url or',
    'ENTREPOT_ADMIN_URL names one.',
  ],
  run: async (given, session) => {
    const { screen } = session;
    const mirrored = await findMirrored(given, session);
    const files = CLIENT_FILES[given.arguments[0] ?? '']?.(mirrored) ?? [];
    if (given.has('json')) screen.write(`${formatJson(files)}\n`);
    else screen.write(files.map((file) => formatFile(file, session)).join('\n'));
    if (given.text('mirror') === undefined && namedUrl(given, session.env) === undefined && isInContainer()) {
      session.complain('this is a container: give --mirror URL where its address is not what clients use');
    }
    return EXIT.success;
  },
};

function formatFile({ file, content, then }: ClientFile, { screen }: Session): string {
  const head = `# ${file}${then === undefined ? '' : `, and then: ${then}`}`;
  return `${paint(screen, 'bold', head)}\n${content}`;
}

async function findMirrored(given: Given, session: Session): Promise<Mirrored> {
  const mirror = mirrorUrl(given.text('mirror'));
  if (namedUrl(given, session.env) === undefined) return ofConfig(await session.loadConfig(), mirror);
  const api = await session.api();
  const { registryUrl, upstreams } = await api.state();
  const registries = upstreams.map(({ url, namespaces, isDefault }) => ({ url, namespaces, isDefault }));
  return { url: mirror ?? fromAfar(registryUrl, api.url), registries };
}

function ofConfig({ listen, tls, upstreams }: Config, mirror: string | undefined): Mirrored {
  const registries = upstreams.map(({ url, namespaces }, at) => ({ url, namespaces, isDefault: at === 0 }));
  const listening = `${tls ? 'https' : 'http'}://${formatListen(listen)}`;
  return { url: mirror ?? reachableUrl(listening), registries };
}

/** It listens on every address, of which that of the admin listener is one that is known to be reached. */
function fromAfar(registryUrl: string, adminUrl: string): string {
  const registry = new URL(registryUrl);
  const { hostname } = new URL(adminUrl);
  const isEverywhere = ['0.0.0.0', '[::]'].includes(registry.hostname);
  const isLocal = hostname === 'localhost' || hostname.startsWith('127.') || hostname === '[::1]';
  if (!isEverywhere || isLocal) return reachableUrl(registryUrl);
  registry.hostname = hostname;
  return registry.origin;
}

function mirrorUrl(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const url = /^https?:\/\//i.test(text) ? URL.parse(text) : null;
  // Clients do not agree on where a path belongs.
  if (!url || url.username !== '' || url.password !== '' || url.pathname !== '/' || url.search || url.hash) {
    throw new UsageError('--mirror is a URL such as http://mirror:5000, without a path', 'client-config');
  }
  return url.origin;
}
