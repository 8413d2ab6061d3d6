/**
 * Digests: `sha256:<64 hex>` and `sha512:<128 hex>`, the two registered algorithms of the OCI image-spec
 * ("Digests"). Anything else can't be verified here and so is refused.
 */
import { createHash, type Hash } from 'node:crypto';
import { RegistryError } from './errors.ts';

declare const brand: unique symbol;
/** Made only by {@link parseDigest} and {@link digestOf}: holding one means that its grammar was checked. */
export type Digest = string & { readonly [brand]: 'Digest' };
export type DigestAlgorithm = 'sha256' | 'sha512';

const GRAMMAR = /^(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$/;

export function isDigest(text: string): text is Digest {
  return GRAMMAR.test(text);
}

/** @throws RegistryError DIGEST_INVALID */
export function parseDigest(text: string): Digest {
  if (!isDigest(text)) {
    throw new RegistryError(
      'DIGEST_INVALID',
      'a digest is sha256:<64 hex digits> or sha512:<128 hex digits>',
      {
        detail: { digest: text.slice(0, 200) },
      },
    );
  }
  return text;
}

export function algorithmOf(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha256:') ? 'sha256' : 'sha512';
}

/** The hex digits, safe as a file name. */
export function hexOf(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1);
}

export function digestOf(bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}` as Digest;
}

/** Hashes a body as it passes, with the algorithm of the digest that it is expected to have. */
export class DigestHasher {
  readonly #expected: Digest;
  readonly #algorithm: DigestAlgorithm;
  #hash: Hash;

  constructor(expected: Digest) {
    this.#expected = expected;
    this.#algorithm = algorithmOf(expected);
    this.#hash = createHash(this.#algorithm);
  }

  update(chunk: Uint8Array): void {
    this.#hash.update(chunk);
  }

  /** Another that has seen the same bytes, and goes its own way from here. */
  copy(): DigestHasher {
    const copy = new DigestHasher(this.#expected);
    copy.#hash = this.#hash.copy();
    return copy;
  }

  /** Of what has passed until now; more may pass. */
  digestSoFar(): Digest {
    return `${this.#algorithm}:${this.#hash.copy().digest('hex')}` as Digest;
  }

  /** Ends the hasher: nothing may be added after it. */
  digest(): Digest {
    return `${this.#algorithm}:${this.#hash.digest('hex')}` as Digest;
  }
}
