/** Whether the daemons of this machine use the mirror: what their configuration names, and a proof where one can be had. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { StateView } from '../admin/views.ts';
import type { AdminClient } from './admin-client.ts';
import type { Given } from './command.ts';
import { askDocker, isUnixSocket } from './docker-socket.ts';
import { reasonOf } from './errors.ts';
import type { Finding } from './finding.ts';

const DOCKER_SOCKET = '/var/run/docker.sock';
const CONTAINERD_HOSTS = '/etc/containerd/certs.d';
const REGISTRIES_CONF = '/etc/containers/registries.conf';
const TIMEOUT_MS = 5000;
/** Of repositories that are looked through for a tag to ask for. */
const TRIED_REPOSITORIES = 20;

interface Daemon {
  readonly check: string;
  /** Undefined where there is none, and none has to be. */
  readonly place: string | undefined;
  /** Somebody has said that it has to use the mirror. */
  readonly isMeant: boolean;
  readonly kind: 'dockerd' | 'containerd' | 'podman';
}

export async function* examineDaemons(
  given: Given,
  api: AdminClient,
  state: StateView | undefined,
): AsyncIterable<Finding> {
  const daemons: readonly Daemon[] = [
    daemonOf(given, 'docker', 'dockerd', DOCKER_SOCKET),
    daemonOf(given, 'containerd', 'containerd', CONTAINERD_HOSTS),
    daemonOf(given, 'podman', 'podman', REGISTRIES_CONF),
  ];
  for (const daemon of daemons) {
    const { place, check, kind } = daemon;
    if (place === undefined) continue;
    if (!state) yield { check, result: 'skipped', found: 'the mirror has to run for that' };
    else if (kind === 'dockerd') yield* examineDocker(daemon, place, api, state);
    else yield await examineFiles(daemon, place, state);
  }
}

function daemonOf(given: Given, option: string, kind: Daemon['kind'], usual: string): Daemon {
  const named = given.text(option);
  const place = named ?? (existsSync(usual) ? usual : undefined);
  return { check: kind, place, isMeant: named !== undefined, kind };
}

async function* examineDocker(
  daemon: Daemon,
  socket: string,
  api: AdminClient,
  state: StateView,
): AsyncIterable<Finding> {
  const { check } = daemon;
  if (!isUnixSocket(socket)) {
    yield { check, result: daemon.isMeant ? 'failed' : 'skipped', found: `there is no socket ${socket}` };
    return;
  }
  let mirrors: readonly string[];
  try {
    const { body } = await askDocker(socket, '/info');
    const { RegistryConfig } = body as {
      readonly RegistryConfig?: { readonly Mirrors?: readonly string[] | null };
    };
    mirrors = RegistryConfig?.Mirrors ?? [];
  } catch (error) {
    yield {
      check,
      result: daemon.isMeant ? 'failed' : 'skipped',
      found: `${socket} can't be asked: ${reasonOf(error)}`,
      advice: 'run this as a user who may use docker',
    };
    return;
  }
  const named = await examineNamed(daemon, mirrors, state);
  yield named;
  if (named.result === 'ok') yield await proveDocker(daemon, socket, api, state);
}

/** Has the daemon ask for something that is cached, and looks whether the mirror saw it ask. */
async function proveDocker(
  { check }: Daemon,
  socket: string,
  api: AdminClient,
  state: StateView,
): Promise<Finding> {
  const reference = await cachedReference(api, state);
  if (reference === undefined) {
    return {
      check,
      result: 'skipped',
      found: 'nothing of Docker Hub is cached that it could be seen to ask for',
    };
  }
  const { now: before } = await api.state();
  let status: number;
  try {
    status = (await askDocker(socket, `/distribution/${reference}/json`)).status;
  } catch (error) {
    return {
      check,
      result: 'warning',
      found: `it could not be had to ask for ${reference}: ${reasonOf(error)}`,
    };
  }
  const clients = await api.clients();
  const seen = clients.find(
    ({ userAgent, lastSeenAt }) =>
      userAgent.startsWith('docker/') && Date.parse(lastSeenAt) >= Date.parse(before),
  );
  return seen
    ? { check, result: 'ok', found: `asked for ${reference}, it asked the mirror, from ${seen.address}` }
    : {
        check,
        result: 'failed',
        found: `asked for ${reference}, it answered ${status}, and the mirror saw nothing of it`,
        advice: 'restart docker after a change of daemon.json; see its log for why it passes the mirror by',
      };
}

/** A tag that it would ask its mirrors for. */
async function cachedReference(api: AdminClient, { upstreams }: StateView): Promise<string | undefined> {
  const hub = upstreams.find(({ isDefault }) => isDefault);
  for (const { repository, upstream, tags } of await api.someRepositories(TRIED_REPOSITORIES)) {
    if (upstream !== hub?.name || tags === 0) continue;
    const held = (await api.someTags(repository, TRIED_REPOSITORIES)).find(({ isHeld }) => isHeld);
    if (held) return `${repository}:${held.tag}`;
  }
  return undefined;
}

async function examineFiles(daemon: Daemon, place: string, state: StateView): Promise<Finding> {
  try {
    const urls = daemon.kind === 'containerd' ? containerdMirrors(place) : podmanMirrors(place);
    return await examineNamed(daemon, urls, state);
  } catch (error) {
    const result = daemon.isMeant ? 'failed' : 'skipped';
    return { check: daemon.check, result, found: `${place} can't be read: ${reasonOf(error)}` };
  }
}

async function examineNamed(
  { check, isMeant, kind }: Daemon,
  urls: readonly string[],
  { instance }: StateView,
): Promise<Finding> {
  const result = isMeant ? 'failed' : 'warning';
  const advice = `entrepot client-config ${kind}`;
  if (urls.length === 0) return { check, result, found: 'it has no mirror for docker.io', advice };
  const answers = await Promise.all(urls.map(async (url) => ({ url, answer: await instanceAt(url) })));
  const ours = answers.find(({ answer }) => answer === instance);
  if (ours) return { check, result: 'ok', found: `its mirror ${ours.url} is this one` };
  const found = answers.map(
    ({ url, answer }) =>
      `${url} ${answer instanceof Error ? `can't be reached: ${reasonOf(answer)}` : 'is another one'}`,
  );
  return { check, result, found: found.join('\n'), advice };
}

/** Who answers there; undefined where it is no Entrepôt. */
async function instanceAt(url: string): Promise<string | undefined | Error> {
  try {
    const response = await fetch(`${url.replace(/\/+$/, '')}/v2/`, {
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    return response.headers.get('x-entrepot-instance') ?? undefined;
  } catch (error) {
    return error as Error;
  }
}

/** Of docker.io, or else of all registries. */
function containerdMirrors(directory: string): readonly string[] {
  readdirSync(directory);
  const file = ['docker.io', '_default'].map((name) => join(directory, name, 'hosts.toml')).find(existsSync);
  if (file === undefined) return [];
  return [...readFileSync(file, 'utf8').matchAll(/^\s*\[host\."([^"]+)"\]/gm)].flatMap(
    ([, url]) => url ?? [],
  );
}

/** Every mirror that is named, of the file and of those in the directory beside it. */
function podmanMirrors(file: string): readonly string[] {
  const directory = `${file}.d`;
  const more = existsSync(directory) ? readdirSync(directory).filter((name) => name.endsWith('.conf')) : [];
  const files = [file, ...more.map((name) => join(directory, name))];
  const sections = files.flatMap((path) => readFileSync(path, 'utf8').split(/^\s*(?=\[)/m));
  return sections.flatMap((section) => {
    if (!section.startsWith('[[registry.mirror]]')) return [];
    const host = /^\s*location\s*=\s*"([^"/]+)/m.exec(section)?.[1];
    const isPlain = /^\s*insecure\s*=\s*true/m.test(section);
    return host === undefined ? [] : [`${isPlain ? 'http' : 'https'}://${host}`];
  });
}
