/** Digests as the index keeps them: one byte for the algorithm, then the raw hash: 33 bytes instead of 71. */
import { algorithmOf, hexOf, isDigest, type Digest } from '../oci/digest.ts';
import { CorruptIndexError } from './sqlite-corruption.ts';

const ALGORITHM_BYTE = { sha256: '01', sha512: '02' } as const;

export function encodeDigest(digest: Digest): Buffer {
  return Buffer.from(ALGORITHM_BYTE[algorithmOf(digest)] + hexOf(digest), 'hex');
}

/** For a page of what comes behind one, or of the first ones. */
export function keyAfter(digest: Digest | undefined): Buffer {
  return digest === undefined ? Buffer.alloc(0) : encodeDigest(digest);
}

export function decodeDigest(key: Buffer): Digest {
  const digest = `${key[0] === 1 ? 'sha256' : 'sha512'}:${key.toString('hex', 1)}`;
  if (!isDigest(digest)) throw new CorruptIndexError(`it holds a broken digest: ${key.toString('hex')}`);
  return digest;
}
