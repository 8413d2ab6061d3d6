/** What no two settings may say together. Checks see undefined for what was not given, and null for what was refused. */
import { nameOf, namespacesOf, type NamedUpstream } from './upstream-names.ts';

/** What is wrong with the setting of an issue's path, where that alone is not wrong. */
export interface Contradiction {
  readonly before: string;
  /** The path of the other setting, whose name comes here. */
  readonly other?: readonly (string | number)[];
  readonly after?: string;
  /** How many keys of the issue's path to leave out to get where the path of `other` starts. */
  readonly depth: number;
}

/** What a zod check gets beside the value. */
interface Check {
  addIssue(issue: {
    code: 'custom';
    path: (string | number)[];
    params: { contradiction: Contradiction };
  }): void;
}
type Given<Key extends string> = Readonly<Partial<Record<Key, unknown>>>;

export function checkTls(tls: Given<'certificate' | 'key'>, check: Check): void {
  if (tls.certificate !== undefined && tls.key === undefined) {
    refuse(check, ['certificate'], { before: 'needs tls.key too' });
  }
  if (tls.key !== undefined && tls.certificate === undefined) {
    refuse(check, ['key'], { before: 'needs tls.certificate too' });
  }
}

export function checkAdmin(admin: Given<'token' | 'tokenFile'>, check: Check): void {
  if (admin.token !== undefined && admin.tokenFile !== undefined) {
    refuse(check, ['tokenFile'], {
      before: 'goes against',
      other: ['token'],
      after: ': keep one of the two',
    });
  }
}

export function checkCredentials(
  upstream: Given<'username' | 'password' | 'passwordFile' | 'token' | 'tokenFile'>,
  check: Check,
): void {
  const given = (keys: readonly (keyof typeof upstream)[]) =>
    keys.filter((key) => upstream[key] !== undefined);
  const goesAgainst = (key: string, kept: string) =>
    refuse(check, [key], { before: 'goes against', other: [kept], after: ': keep one of the two' });
  const passwords = given(['password', 'passwordFile']);
  const tokens = given(['token', 'tokenFile']);
  if (passwords.length > 1) goesAgainst('passwordFile', 'password');
  if (tokens.length > 1) goesAgainst('tokenFile', 'token');
  if (upstream.username === undefined) {
    for (const key of passwords) refuse(check, [key], { before: 'needs a username too' });
  } else {
    if (passwords.length === 0)
      refuse(check, ['username'], { before: 'needs a password or passwordFile too' });
    for (const key of tokens) goesAgainst(key, 'username');
  }
}

/** A name that two upstreams have would lead to either. */
export function checkNames(upstreams: readonly NamedUpstream[], check: Check): void {
  const names = upstreams.map(({ url }) => (url ? [nameOf(url)] : []));
  refuseDoubles(names, 'url', 'is the same registry as', check);
  refuseDoubles(namespacesOf(upstreams), 'namespaces', 'has a name that is already one of', check);
}

function refuseDoubles(
  lists: readonly (readonly string[])[],
  key: 'url' | 'namespaces',
  before: string,
  check: Check,
): void {
  const owners = new Map<string, number>();
  for (const [index, list] of lists.entries()) {
    for (const text of list) {
      const owner = owners.get(text);
      if (owner === undefined) owners.set(text, index);
      else {
        const words = { before, other: [owner, key], after: ` (${text})` };
        refuse(check, [index, key], words);
      }
    }
  }
}

function refuse(check: Check, path: (string | number)[], words: Omit<Contradiction, 'depth'>): void {
  const contradiction: Contradiction = { ...words, depth: path.length };
  check.addIssue({ code: 'custom', path, params: { contradiction } });
}
