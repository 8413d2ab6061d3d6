/** The certificate of a worker: it reads none itself, for the keeper hands it over, and each that comes after it. */
import type { KeyPairs } from '../http/server.ts';
import type { KeyPair } from '../http/tls-files.ts';
import type { PemPair } from './messages.ts';

export class HandedTls implements KeyPairs {
  #current: KeyPair;
  #use: (pair: KeyPair) => void = () => undefined;

  constructor(pair: PemPair) {
    this.#current = keyPairOf(pair);
  }

  get current(): KeyPair {
    return this.#current;
  }

  watch(use: (pair: KeyPair) => void): void {
    this.#use = use;
  }

  /** From now on, for new connections. */
  use(pair: PemPair): void {
    this.#current = keyPairOf(pair);
    this.#use(this.#current);
  }

  close(): void {
    this.#use = () => undefined;
  }
}

/** As a message carries it. */
export function pemPairOf({ cert, key }: KeyPair): PemPair {
  return { cert: cert.toString(), key: key.toString() };
}

function keyPairOf({ cert, key }: PemPair): KeyPair {
  return { cert: Buffer.from(cert), key: Buffer.from(key) };
}
