/** Certificate and key from files, read again when either changes: a renewed certificate needs no restart. */
import { readFile } from 'node:fs/promises';
import { unwatchFile, watchFile } from 'node:fs';
import { createSecureContext } from 'node:tls';

export interface KeyPair {
  readonly cert: Buffer;
  readonly key: Buffer;
}

export interface TlsFilesOptions {
  readonly certificate: string;
  readonly key: string;
  /** Hears of each change: with an error where the new pair can't be used, and the old one stays. */
  readonly onReload: (error?: Error) => void;
  /** Five seconds unless given. */
  readonly pollMs?: number | undefined;
}

/** By polling: it sees the swapped symbolic links of Kubernetes secrets and files on network mounts, as events do not. */
const POLL_MS = 5000;

export class TlsFiles {
  readonly current: KeyPair;
  readonly #options: TlsFilesOptions;
  #stop: (() => void) | undefined;

  private constructor(options: TlsFilesOptions, current: KeyPair) {
    this.#options = options;
    this.current = current;
  }

  /** @throws where a file can't be read, or the two do not belong together */
  static async load(options: TlsFilesOptions): Promise<TlsFiles> {
    return new TlsFiles(options, await readPair(options));
  }

  watch(use: (pair: KeyPair) => void): void {
    const { certificate, key, onReload, pollMs = POLL_MS } = this.#options;
    const reload = () => {
      readPair(this.#options).then(
        (pair) => {
          use(pair);
          onReload();
        },
        (error: unknown) => onReload(error as Error),
      );
    };
    for (const path of [certificate, key]) watchFile(path, { interval: pollMs, persistent: false }, reload);
    this.#stop = () => {
      for (const path of [certificate, key]) unwatchFile(path, reload);
    };
  }

  close(): void {
    this.#stop?.();
  }
}

async function readPair({ certificate, key }: TlsFilesOptions): Promise<KeyPair> {
  const pair = { cert: await readFile(certificate), key: await readFile(key) };
  try {
    createSecureContext(pair);
  } catch (cause) {
    const { message } = cause as Error;
    throw new Error(`the certificate ${certificate} and the key ${key} can't be used together: ${message}`, {
      cause,
    });
  }
  return pair;
}
