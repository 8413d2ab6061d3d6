/**
 * The kinds of values that settings have: how each is read from text, and how to say what was expected.
 * `parse` throws SyntaxError with a hint, or with an empty message where the expectation says it all.
 */
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { Secret } from '../lib/secret.ts';
import { formatDuration, parseBytes, parseDuration } from '../lib/units.ts';
import type { CacheBound, ListenAddress } from './config.ts';

export interface Kind<T> {
  /** Completes "expected ...", with an example. */
  readonly expected: string;
  readonly parse: (text: string) => T;
  /** Never shown, and only taken as it stands: YAML would read 0123 as a number. */
  readonly isSecret?: true;
  /** May be a list in YAML; as text its items are separated by commas. */
  readonly isList?: true;
}

export type ReadFile = (path: string) => string;

export const listenAddress: Kind<ListenAddress> = {
  expected: 'an address and a port such as 0.0.0.0:5000, [::1]:5000 or :5000',
  parse(text) {
    const match = /^(?:\[(?<six>[0-9a-f:.]+)\]|(?<host>[a-z0-9.-]*)):(?<port>\d{1,5})$/i.exec(text);
    const port = Number(match?.groups?.['port']);
    if (
      !match ||
      port > 65_535 ||
      !URL.canParse(`http://${text.startsWith(':') ? `0.0.0.0${text}` : text}`)
    ) {
      throw new SyntaxError(/^\d+$/.test(text) ? `a port alone is written :${text}` : '');
    }
    // Every IPv4 address: "::" would fail on a host without IPv6.
    return { host: match.groups?.['six'] ?? (match.groups?.['host'] || '0.0.0.0'), port };
  },
};

export const path: Kind<string> = {
  expected: 'a path such as /var/lib/entrepot',
  parse(text) {
    if (text === '' || text.includes('\0')) throw new SyntaxError();
    return resolve(text);
  },
};

/** A file that is read when it is needed, but has to be there from the start. */
export function readableFile(readFile: ReadFile, what: string): Kind<string> {
  return {
    expected: `the path of ${what} that this process may read`,
    parse(text) {
      const file = path.parse(text);
      read(readFile, file);
      return file;
    },
  };
}

/**
 * Its content, without the newline that editors leave at its end, has to be a secret already at the start.
 * @param kind of secret
 */
export function secretFile(readFile: ReadFile, kind: Kind<Secret> = secret): Kind<{ readonly file: string }> {
  return {
    expected: 'the path of a file that holds nothing but the secret, on one line',
    parse(text) {
      const file = path.parse(text);
      kind.parse(read(readFile, file).replace(/\r?\n$/, ''));
      return { file };
    },
  };
}

export const secret: Kind<Secret> = {
  expected: 'a text without line breaks, in quotes in YAML',
  isSecret: true,
  parse(text) {
    if (text === '') throw new SyntaxError('the secret is empty');
    if (hasControlCharacter(text)) throw new SyntaxError('the secret has a line break or control character');
    return new Secret(text);
  },
};

/** One that nobody guesses, and that fits into a header. */
export const accessToken: Kind<Secret> = {
  expected: 'a text of at least 16 letters, digits and signs such as "openssl rand -hex 32" makes',
  isSecret: true,
  parse(text) {
    if (text.length < 16) throw new SyntaxError('it has less than 16 characters');
    if (!/^[\x21-\x7e]+$/.test(text))
      throw new SyntaxError('it has a space, or a letter that is not of ASCII');
    return new Secret(text);
  },
};

export const username: Kind<string> = {
  expected: 'a user name without a colon',
  // `name:password` is the commonest mistake here.
  isSecret: true,
  parse(text) {
    // The colon ends the name in Basic authentication (RFC 7617, section 2).
    if (text === '' || text.includes(':') || hasControlCharacter(text)) throw new SyntaxError();
    return text;
  },
};

export const registryUrl: Kind<string> = {
  expected: 'the http or https URL of a registry such as https://registry-1.docker.io',
  parse(text) {
    const url = /^https?:\/\//i.test(text) ? URL.parse(text) : null;
    if (!url) throw new SyntaxError();
    if (url.username !== '' || url.password !== '') {
      throw new SyntaxError('credentials belong into username and password');
    }
    if (url.search !== '' || url.hash !== '') throw new SyntaxError('it has a query or a fragment');
    const bare = url.pathname.replace(/\/+$/, '');
    if (/\/v2$/.test(bare)) throw new SyntaxError('leave /v2 out, it is added to each request');
    // What people call Docker Hub; its registry has another host.
    if (url.hostname === 'docker.io') url.hostname = 'registry-1.docker.io';
    return `${url.origin}${bare}`;
  },
};

export const registryHosts: Kind<readonly string[]> = {
  expected: 'registry hosts such as docker.io or registry.example.com:5000, separated by commas',
  isList: true,
  parse(text) {
    const hosts = text.split(',').map((host) => host.trim().toLowerCase());
    if (
      !hosts.every((host) => /^(?:\[[0-9a-f:.]+\]|[a-z0-9]+(?:[.-]+[a-z0-9]+)*)(?::\d{1,5})?$/.test(host))
    ) {
      throw new SyntaxError(text.includes('//') ? 'leave the scheme and the path out' : '');
    }
    return [...new Set(hosts)];
  },
};

export const cacheBound: Kind<CacheBound> = {
  expected: 'a size such as 40GiB or 500MB, or a share of the file system such as 80%',
  parse(text) {
    if (text.endsWith('%')) return { kind: 'share', share: share.parse(text) };
    return { kind: 'bytes', bytes: positive(parseBytes(text)) };
  },
};

export const share: Kind<number> = {
  expected: 'a share such as 90%, more than 0% and at most 100%',
  parse(text) {
    const match = /^(\d+(?:\.\d+)?)\s*%$/.exec(text);
    const percent = Number(match?.[1]);
    if (!match || percent <= 0 || percent > 100) throw new SyntaxError();
    return percent / 100;
  },
};

export const size: Kind<number> = {
  expected: 'a size such as 64MiB or 500MB',
  parse: (text) => positive(parseBytes(text)),
};

export function duration(minMs: number, maxMs: number): Kind<number> {
  return {
    expected: `a duration such as 500ms, 60s or 5m, from ${formatDuration(minMs)} to ${formatDuration(maxMs)}`,
    parse(text) {
      const ms = parseDuration(text);
      if (ms < minMs || ms > maxMs) throw new SyntaxError();
      return ms;
    },
  };
}

export function integer(min: number, max: number): Kind<number> {
  return {
    expected: `a whole number from ${min} to ${max}`,
    parse(text) {
      const value = /^\d+$/.test(text) ? Number(text) : NaN;
      if (!(value >= min && value <= max)) throw new SyntaxError();
      return value;
    },
  };
}

/** As many as this process may use, with `auto`. */
export const processes: Kind<number> = {
  expected: 'a whole number from 1 to 64, or auto for one for each processor core',
  parse: (text) => (text === 'auto' ? Math.min(64, availableParallelism()) : integer(1, 64).parse(text)),
};

export const uriPrefix: Kind<string> = {
  expected: 'a path such as /entrepot-blobs/, with a slash at both ends',
  parse(text) {
    if (!/^\/(?:[\w.-]+\/)+$/.test(text)) throw new SyntaxError();
    return text;
  },
};

export const toggle: Kind<boolean> = {
  expected: 'true or false',
  parse(text) {
    if (text !== 'true' && text !== 'false') throw new SyntaxError();
    return text === 'true';
  },
};

export function choice<T extends string>(words: readonly T[]): Kind<T> {
  return {
    expected: `one of ${words.join(', ')}`,
    parse(text) {
      const word = words.find((known) => known === text.toLowerCase());
      if (word === undefined) throw new SyntaxError();
      return word;
    },
  };
}

/** Bytes a second; 0 is allowed. */
export const rate: Kind<number> = {
  expected: 'bytes a second such as 16MiB, or 0',
  parse: (text) => (text === '0' ? 0 : parseBytes(text)),
};

function positive(bytes: number): number {
  if (bytes === 0) throw new SyntaxError('it has to be more than nothing');
  return bytes;
}

function read(readFile: ReadFile, file: string): string {
  try {
    return readFile(file);
  } catch (cause) {
    throw new SyntaxError(`it can't be read: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
}

function hasControlCharacter(text: string): boolean {
  return /\p{Cc}/u.test(text);
}
