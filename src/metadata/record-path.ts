/**
 * Where a record lies below the root of all records: `<upstream>/<repository>/_manifests/<algorithm>/<hex>`,
 * `_tags/<tag>`, `_blobs/<algorithm>/<hex>`, and `_pins/tags/<tag>` or `_pins/digests/<algorithm>/<hex>`. No component of a repository begins with an underscore.
 */
import { algorithmOf, hexOf, isDigest, type Digest } from '../oci/digest.ts';
import { isRepositoryName, isTag, type Reference, type Tag } from '../oci/reference.ts';
import type { RecordAddress } from './record.ts';

/** With `/` between the segments. */
export function formatRecordPath(address: RecordAddress): string {
  const { upstream, name } = address.repository;
  const repository = `${encodeUpstream(upstream)}/${name}`;
  switch (address.kind) {
    case 'tag':
      return `${repository}/_tags/${address.tag}`;
    case 'pin':
      // A tag may be called as an algorithm is.
      return address.reference.kind === 'tag'
        ? `${repository}/_pins/tags/${address.reference.tag}`
        : `${repository}/_pins/digests/${formatDigestPath(address.reference.digest)}`;
    default:
      return `${repository}/_${address.kind}s/${formatDigestPath(address.digest)}`;
  }
}

/** Undefined for what is no place of a record. */
export function parseRecordPath(path: string): RecordAddress | undefined {
  const [encoded = '', ...segments] = path.split('/');
  const at = segments.findIndex((segment) => segment.startsWith('_'));
  const name = segments.slice(0, at).join('/');
  const upstream = decodeUpstream(encoded);
  if (at < 0 || upstream === undefined || !isRepositoryName(name)) return undefined;
  const repository = { upstream, name };
  const [folder, ...rest] = segments.slice(at);
  switch (folder) {
    case '_tags': {
      const tag = parseTag(rest);
      return tag && { kind: 'tag', repository, tag };
    }
    case '_manifests':
    case '_blobs': {
      const digest = parseDigestPath(rest);
      const kind = folder === '_blobs' ? 'blob' : 'manifest';
      return digest && { kind, repository, digest };
    }
    case '_pins': {
      const reference = parsePinned(rest);
      return reference && { kind: 'pin', repository, reference };
    }
    default:
      return undefined;
  }
}

function parsePinned([folder, ...rest]: readonly string[]): Reference | undefined {
  const tag = folder === 'tags' ? parseTag(rest) : undefined;
  if (tag) return { kind: 'tag', tag };
  const digest = folder === 'digests' ? parseDigestPath(rest) : undefined;
  return digest && { kind: 'digest', digest };
}

function parseTag(segments: readonly string[]): Tag | undefined {
  const tag = segments.join('/');
  return isTag(tag) ? tag : undefined;
}

function formatDigestPath(digest: Digest): string {
  return `${algorithmOf(digest)}/${hexOf(digest)}`;
}

function parseDigestPath(segments: readonly string[]): Digest | undefined {
  const digest = segments.join(':');
  return isDigest(digest) ? digest : undefined;
}

/** A leading dot would make `..` or a hidden file. */
function encodeUpstream(upstream: string): string {
  return encodeURIComponent(upstream).replace(/^\./, '%2E');
}

function decodeUpstream(encoded: string): string | undefined {
  try {
    const upstream = decodeURIComponent(encoded);
    return encodeUpstream(upstream) === encoded ? upstream : undefined;
  } catch (error) {
    if (error instanceof URIError) return undefined;
    throw error;
  }
}
