/** What the scripted upstream holds: repositories with blobs, manifests and tags, in memory. */
import { digestOf, type Digest } from '../../src/oci/digest.ts';
import { asReferrer, linksOf, type ReferrerDescriptor } from '../../src/oci/manifest.ts';
import { descriptorOf, type Content, type Pushable } from './images.ts';

interface Repository {
  readonly blobs: Map<string, Uint8Array>;
  readonly manifests: Map<string, Content>;
  readonly tags: Map<string, Digest>;
  isPrivate: boolean;
}

export class Contents {
  readonly #repositories = new Map<string, Repository>();
  readonly #blobs = new Map<string, Uint8Array>();

  push(repository: string, tag: string | undefined, image: Pushable): void {
    for (const child of image.children) this.push(repository, undefined, child);
    const target = this.#make(repository);
    for (const blob of image.blobs) this.#saveBlob(target, blob.digest, blob.bytes);
    target.manifests.set(image.manifest.digest, image.manifest);
    if (tag !== undefined) target.tags.set(tag, image.manifest.digest);
  }

  pushBlob(repository: string, bytes: Uint8Array): Digest {
    const digest = digestOf(bytes);
    this.#saveBlob(this.#make(repository), digest, bytes);
    return digest;
  }

  tag(repository: string, tag: string, digest: Digest): void {
    this.#make(repository).tags.set(tag, digest);
  }

  deleteTag(repository: string, tag: string): void {
    this.#make(repository).tags.delete(tag);
  }

  deleteManifest(repository: string, digest: Digest): void {
    this.#make(repository).manifests.delete(digest);
  }

  deleteBlob(repository: string, digest: Digest): void {
    this.#make(repository).blobs.delete(digest);
  }

  makePrivate(repository: string, isPrivate: boolean): void {
    this.#make(repository).isPrivate = isPrivate;
  }

  has(repository: string): boolean {
    return this.#repositories.has(repository);
  }

  isPrivate(repository: string): boolean {
    return this.#repositories.get(repository)?.isPrivate ?? false;
  }

  findManifest(repository: string, reference: string): Content | undefined {
    const target = this.#repositories.get(repository);
    return target?.manifests.get(target.tags.get(reference) ?? reference);
  }

  findBlob(repository: string, digest: string): Uint8Array | undefined {
    return this.#repositories.get(repository)?.blobs.get(digest);
  }

  /** Whatever repository has it: the CDN knows no repositories. */
  findAnyBlob(digest: string): Uint8Array | undefined {
    return this.#blobs.get(digest);
  }

  /** In lexical order, as the distribution-spec wants them. */
  tagsOf(repository: string): readonly string[] {
    return [...(this.#repositories.get(repository)?.tags.keys() ?? [])].sort();
  }

  referrersOf(repository: string, subject: string): readonly ReferrerDescriptor[] {
    const manifests = [...(this.#repositories.get(repository)?.manifests.values() ?? [])].map((content) => ({
      descriptor: descriptorOf(content),
      bytes: content.bytes,
    }));
    return manifests.filter((manifest) => linksOf(manifest).subject === subject).map(asReferrer);
  }

  #saveBlob(repository: Repository, digest: Digest, bytes: Uint8Array): void {
    repository.blobs.set(digest, bytes);
    this.#blobs.set(digest, bytes);
  }

  #make(name: string): Repository {
    let repository = this.#repositories.get(name);
    if (!repository) {
      repository = { blobs: new Map(), manifests: new Map(), tags: new Map(), isPrivate: false };
      this.#repositories.set(name, repository);
    }
    return repository;
  }
}
