/**
 * From the name in a request to the repository: which upstream is meant, and what the repository is called there. An
 * upstream is named by `?ns=` (containerd, dockerd with its store, BuildKit) or by the beginning of the path; where
 * neither is there, the default one is meant. Names are keys into the configuration and never a host to dial.
 */
import { RegistryError } from '../oci/errors.ts';
import { isRepositoryName, type RepositoryName } from '../oci/reference.ts';
import type { Mirror } from './mirror.ts';
import { Namespaces, nameWithin, type NamedRegistry } from './namespaces.ts';
import type { Repository } from './repository.ts';

export interface RepositoryRequest {
  readonly name: RepositoryName;
  /** What stood before `/v2/` in the path. */
  readonly prefix?: string | undefined;
  /** The query's `ns`. */
  readonly namespace?: string | undefined;
}

/** One upstream as clients may name it. */
export interface MirroredRegistry extends NamedRegistry {
  readonly mirror: Pick<Mirror, 'upstream' | 'repository' | 'repositoryNames'>;
}

export class Repositories {
  readonly #registries: readonly MirroredRegistry[];
  readonly #default: MirroredRegistry;
  readonly #namespaces: Namespaces<MirroredRegistry>;

  /** @param registries the first is the default */
  constructor(registries: readonly [MirroredRegistry, ...MirroredRegistry[]]) {
    this.#registries = registries;
    [this.#default] = registries;
    this.#namespaces = new Namespaces(registries);
  }

  /** @throws RegistryError NAME_UNKNOWN for an upstream that is not configured: never the default in its place */
  find({ name, prefix, namespace }: RepositoryRequest): Repository {
    const byPrefix = this.#named(prefix);
    const byNamespace = this.#named(namespace);
    // Who asks for one registry must not get what has the same name in another.
    if (byPrefix && byNamespace && byPrefix !== byNamespace) throw unknownRegistry(namespace);
    const registry = byPrefix ?? byNamespace ?? this.#namespaces.findInPath(name) ?? this.#default;
    // BuildKit sends both the prefix and `ns`: what names the upstream is no part of the repository's name there.
    return registry.mirror.repository(nameWithin(registry, name) ?? name);
  }

  /** All that is cached, as names that can be pulled from here, in lexical order; `after` is exclusive. */
  async list(after: string | undefined, limit: number): Promise<readonly string[]> {
    const lists = this.#registries.map(async (registry) => {
      const prefix = registry === this.#default ? '' : pathPrefix(registry);
      if (prefix === undefined) return [];
      if (after !== undefined && after >= `${prefix}\u{10ffff}`) return [];
      const from = after?.startsWith(prefix) ? after.slice(prefix.length) : undefined;
      const names = await registry.mirror.repositoryNames(from, limit);
      return names.map((name) => `${prefix}${name}`).filter((name) => after === undefined || name > after);
    });
    return (await Promise.all(lists)).flat().sort().slice(0, limit);
  }

  #named(namespace: string | undefined): MirroredRegistry | undefined {
    if (namespace === undefined) return undefined;
    const registry = this.#namespaces.find(namespace);
    if (!registry) throw unknownRegistry(namespace);
    return registry;
  }
}

function unknownRegistry(namespace = ''): RegistryError {
  return new RegistryError('NAME_UNKNOWN', 'this mirror has no upstream of that name', {
    detail: { ns: namespace.slice(0, 255) },
  });
}

/** A namespace with a port can't stand in a path: what only `ns` can ask for has no name of its own here. */
function pathPrefix({ namespaces }: MirroredRegistry): string | undefined {
  const namespace = namespaces.find(isRepositoryName);
  return namespace === undefined ? undefined : `${namespace}/`;
}
