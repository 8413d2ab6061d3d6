/**
 * The registry names that upstreams answer for, and how the beginning of a path names one of them. They are keys into
 * the configuration and never a host to dial.
 */
import { isRepositoryName, type RepositoryName } from '../oci/reference.ts';

/** One upstream as clients may name it. */
export interface NamedRegistry {
  readonly namespaces: readonly string[];
  /** On Docker Hub `alpine` is `library/alpine`. */
  readonly impliesLibrary: boolean;
}

export class Namespaces<R extends NamedRegistry> {
  readonly #byNamespace = new Map<string, R>();

  constructor(registries: readonly R[]) {
    for (const registry of registries) {
      for (const namespace of registry.namespaces) this.#byNamespace.set(namespace, registry);
    }
  }

  find(namespace: string): R | undefined {
    return this.#byNamespace.get(namespace);
  }

  /** `ghcr.io/owner/name`: the longest beginning of the path that names an upstream, with something behind it. */
  findInPath(path: string): R | undefined {
    for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
      const registry = this.#byNamespace.get(path.slice(0, end));
      if (registry) return registry;
    }
    return undefined;
  }
}

/** What the registry itself calls it; `undefined` where that is no name. */
export function nameWithin(registry: NamedRegistry, path: string): RepositoryName | undefined {
  const prefix = registry.namespaces
    .filter((namespace) => path.startsWith(`${namespace}/`))
    .reduce((longest, namespace) => (namespace.length > longest.length ? namespace : longest), '');
  const rest = prefix === '' ? path : path.slice(prefix.length + 1);
  const full = registry.impliesLibrary && !rest.includes('/') ? `library/${rest}` : rest;
  return isRepositoryName(full) ? full : undefined;
}
