/** What people call repositories and references, as docker takes it, and what the upstream's registry calls them. */
import type { RepositoryKey } from '../metadata/metadata-store.ts';
import { isDigest } from '../oci/digest.ts';
import { isRepositoryName, isTag, type Reference, type Tag } from '../oci/reference.ts';
import { Namespaces, nameWithin, type NamedRegistry } from '../repository/namespaces.ts';
import { AdminError } from './administration.ts';

export interface NamedUpstream extends NamedRegistry {
  readonly upstream: string;
}

export interface ImageName {
  readonly repository: RepositoryKey;
  readonly reference: Reference;
}

const LATEST: Reference = { kind: 'tag', tag: 'latest' as Tag };

export class ImageNames {
  readonly #registries: readonly NamedUpstream[];
  readonly #namespaces: Namespaces<NamedUpstream>;

  /** @param registries the first is the default */
  constructor(registries: readonly NamedUpstream[]) {
    // One that no request can name has a name here all the same: something may be left of it.
    this.#registries = registries.map(({ namespaces, ...registry }) => {
      return { ...registry, namespaces: namespaces.length > 0 ? namespaces : [registry.upstream] };
    });
    this.#namespaces = new Namespaces(this.#registries);
  }

  /** The default one first. */
  get upstreams(): readonly string[] {
    return this.#registries.map(({ upstream }) => upstream);
  }

  /** `alpine` is its tag `latest`; of `name:tag@digest` the digest counts. @throws AdminError `invalid` */
  parse(text: string): ImageName {
    const { path, tag, digest } = partsOf(text);
    const repository = this.#repositoryAt(path, text);
    if (tag !== undefined && !isTag(tag)) throw invalid(`${shown(text)} has no valid tag`);
    if (digest !== undefined) {
      if (!isDigest(digest)) throw invalid(`${shown(text)} has no valid digest`);
      return { repository, reference: { kind: 'digest', digest } };
    }
    return { repository, reference: tag === undefined ? LATEST : { kind: 'tag', tag } };
  }

  /** @throws AdminError `invalid`, also where a tag or a digest is named */
  parseRepository(text: string): RepositoryKey {
    const { path, tag, digest } = partsOf(text);
    if (tag !== undefined || digest !== undefined) {
      throw invalid(`${shown(text)} names a tag or a digest, and a repository is wanted`);
    }
    return this.#repositoryAt(path, text);
  }

  /** By which it can be pulled from here, and which `parseRepository` takes. */
  format({ upstream, name }: RepositoryKey): string {
    const prefix = this.prefixOf(upstream);
    if (prefix !== '') return `${prefix}${name}`;
    // What looks like the name of another registry has to say that it is of this one.
    const isMisread = this.#namespaces.findInPath(name) !== undefined || looksLikeHost(name);
    return isMisread ? `${shownNamespace(this.#registries[0]) ?? upstream}/${name}` : name;
  }

  formatReference(repository: RepositoryKey, reference: Reference): string {
    const name = this.format(repository);
    return reference.kind === 'tag' ? `${name}:${reference.tag}` : `${name}@${reference.digest}`;
  }

  /** What stands before the names of an upstream's repositories: nothing for the default one. */
  prefixOf(upstream: string): string {
    if (upstream === this.#registries[0]?.upstream) return '';
    const registry = this.#registries.find((candidate) => candidate.upstream === upstream);
    return `${shownNamespace(registry) ?? upstream}/`;
  }

  #repositoryAt(path: string, text: string): RepositoryKey {
    const named = this.#namespaces.findInPath(path);
    if (!named && looksLikeHost(path)) throw this.#notConfigured(path);
    const registry = named ?? this.#registries[0];
    const name = registry && nameWithin(registry, path);
    if (!name) throw invalid(`${shown(text)} is no name of an image; names are in lower case, as alpine:3`);
    return { upstream: registry.upstream, name };
  }

  #notConfigured(path: string): AdminError {
    const host = path.slice(0, path.indexOf('/'));
    const configured = this.#registries.flatMap(({ namespaces }) => namespaces).join(', ');
    return invalid(`${shown(host)} is no upstream of this mirror, which has ${configured}`);
  }
}

/** A namespace that a path can hold, if there is one: what has a port can only be asked for by `ns`. */
function shownNamespace(registry: NamedUpstream | undefined): string | undefined {
  return registry?.namespaces.find(isRepositoryName) ?? registry?.namespaces[0];
}

/** As docker tells it: `localhost` and what has a dot or a port, where a slash follows. */
function looksLikeHost(path: string): boolean {
  const slash = path.indexOf('/');
  return slash >= 0 && /[.:]|^localhost$/.test(path.slice(0, slash));
}

function partsOf(text: string) {
  const at = text.indexOf('@');
  const named = at < 0 ? text : text.slice(0, at);
  // A colon before a slash is that of a port.
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1);
  return {
    path: colon < 0 ? named : named.slice(0, colon),
    tag: colon < 0 ? undefined : named.slice(colon + 1),
    digest: at < 0 ? undefined : text.slice(at + 1),
  };
}

function invalid(message: string): AdminError {
  return new AdminError('invalid', message);
}

/** Of what came from outside, as much as a message needs. */
function shown(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}
