/**
 * Where a record lies below the root of all records: `<upstream>/<repository>/_manifests/<algorithm>/<hex>`,
 * `_tags/<tag>` or `_blobs/<algorithm>/<hex>`. No component of a repository begins with an underscore.
 */
import { algorithmOf, hexOf, isDigest } from '../oci/digest.ts';
import { isRepositoryName, isTag } from '../oci/reference.ts';
import type { RecordAddress } from './record.ts';

/** With `/` between the segments. */
export function formatRecordPath(address: RecordAddress): string {
  const { upstream, name } = address.repository;
  const repository = `${encodeUpstream(upstream)}/${name}`;
  if (address.kind === 'tag') return `${repository}/_tags/${address.tag}`;
  const { kind, digest } = address;
  return `${repository}/_${kind}s/${algorithmOf(digest)}/${hexOf(digest)}`;
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
      const tag = rest.join('/');
      return isTag(tag) ? { kind: 'tag', repository, tag } : undefined;
    }
    case '_manifests':
    case '_blobs': {
      const digest = rest.join(':');
      const kind = folder === '_blobs' ? 'blob' : 'manifest';
      return isDigest(digest) ? { kind, repository, digest } : undefined;
    }
    default:
      return undefined;
  }
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
