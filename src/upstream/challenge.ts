/** The WWW-Authenticate header (RFC 9110, section 11.6.1): several challenges, each with its parameters. */

export interface Challenge {
  /** In lower case. */
  readonly scheme: string;
  /** By name in lower case; the first counts. */
  readonly parameters: ReadonlyMap<string, string>;
}

const SEPARATORS = /[\s,]*/y;
const NAME = /[!#$%&'*+.^_`|~\w-]+/y;
/** Unquoted values of registries hold more than RFC 9110 lets a token hold: URLs, scopes. */
const VALUE = /\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))/y;
/** What `Negotiate` and others have in place of parameters. */
const TOKEN68 = /[ \t]+[\w.~+/-]+=*(?=\s*(?:,|$))/y;

/** Reads as far as it makes sense. */
export function parseChallenges(header: string): readonly Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  let position = 0;
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = position;
    const match = pattern.exec(header);
    if (match) position = pattern.lastIndex;
    return match ?? undefined;
  };
  for (;;) {
    take(SEPARATORS);
    const name = take(NAME)?.[0].toLowerCase();
    if (name === undefined) return challenges;
    const current = challenges.at(-1);
    const value = current && take(VALUE);
    if (!value) {
      challenges.push({ scheme: name, parameters: new Map() });
      take(TOKEN68);
    } else if (!current.parameters.has(name)) {
      current.parameters.set(name, value[1]?.replaceAll(/\\(.)/gs, '$1') ?? value[2] ?? '');
    }
  }
}
