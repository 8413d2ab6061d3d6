/** What upstreams are called: the name of each in keys and logs, and the registry names that requests may use for it. */

export interface NamedUpstream {
  /** As the schema gives it; null where it was refused, undefined where it is missing. */
  readonly url: string | null | undefined;
  readonly namespaces?: readonly string[] | null | undefined;
}

export const DOCKER_HUB_URL = 'https://registry-1.docker.io';
const DOCKER_HUB = 'docker.io';
const DOCKER_HUB_HOSTS: readonly string[] = ['registry-1.docker.io', 'index.docker.io', DOCKER_HUB];

export function isDockerHub(url: string): boolean {
  return DOCKER_HUB_HOSTS.includes(new URL(url).host);
}

/** `docker.io`, or `host[:port][/path]`. */
export function nameOf(url: string): string {
  const { host, pathname } = new URL(url);
  return isDockerHub(url) ? DOCKER_HUB : `${host}${pathname === '/' ? '' : pathname}`;
}

/**
 * Whatever is not said follows from the URLs. `docker.io` goes to the first upstream where no other has it: a mirror
 * of some other registry then still answers a dockerd, which knows only mirrors of Docker Hub.
 */
export function namespacesOf(upstreams: readonly NamedUpstream[]): readonly (readonly string[])[] {
  const lists = upstreams.map(({ url, namespaces }) => {
    if (namespaces) return namespaces;
    if (!url) return [];
    const { host } = new URL(url);
    return isDockerHub(url) ? [...new Set([DOCKER_HUB, host])] : [host];
  });
  const [first, ...others] = lists;
  const isFree = first !== undefined && !upstreams[0]?.namespaces && !lists.flat().includes(DOCKER_HUB);
  return isFree ? [[DOCKER_HUB, ...first], ...others] : lists;
}
