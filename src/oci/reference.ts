/** Repository names, tags and references, by the grammars of OCI distribution-spec v1.1.1 ("Pulling manifests"). */
import { isDigest, parseDigest, type Digest } from './digest.ts';
import { RegistryError } from './errors.ts';

declare const brand: unique symbol;
export type RepositoryName = string & { readonly [brand]: 'RepositoryName' };
export type Tag = string & { readonly [brand]: 'Tag' };
export type Reference =
  { readonly kind: 'tag'; readonly tag: Tag } | { readonly kind: 'digest'; readonly digest: Digest };

const COMPONENT = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const NAME = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`);
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
/** Many clients limit host and name together to 255 characters (distribution-spec). */
const MAX_NAME_LENGTH = 255;

export function isRepositoryName(text: string): text is RepositoryName {
  return text.length <= MAX_NAME_LENGTH && NAME.test(text);
}

/** @throws RegistryError NAME_INVALID */
export function parseRepositoryName(text: string): RepositoryName {
  if (!isRepositoryName(text)) {
    throw new RegistryError(
      'NAME_INVALID',
      'the repository name does not match the grammar of the OCI distribution-spec',
      {
        detail: { name: text.slice(0, MAX_NAME_LENGTH) },
      },
    );
  }
  return text;
}

export function isTag(text: string): text is Tag {
  return TAG.test(text);
}

/**
 * A text with a colon is a digest, everything else a tag.
 * @throws RegistryError DIGEST_INVALID or TAG_INVALID
 */
export function parseReference(text: string): Reference {
  if (isDigest(text)) return { kind: 'digest', digest: text };
  if (text.includes(':')) return { kind: 'digest', digest: parseDigest(text) };
  if (!isTag(text)) {
    throw new RegistryError(
      'TAG_INVALID',
      'the tag does not match the grammar of the OCI distribution-spec',
      {
        detail: { tag: text.slice(0, MAX_NAME_LENGTH) },
      },
    );
  }
  return { kind: 'tag', tag: text };
}

export function formatReference(reference: Reference): string {
  return reference.kind === 'tag' ? reference.tag : reference.digest;
}
