/** Says what is wrong where, to somebody who wrote a file or a variable and never saw the schema. */
import type * as z from 'zod';
import { Secret } from '../lib/secret.ts';
import type { Tree } from './environment.ts';
import { nearest } from './nearest.ts';
import type { Contradiction } from './contradictions.ts';
import type { Refusal, Setting } from './setting.ts';

export interface MistakeContext {
  readonly file: string | undefined;
  /** Of paths joined by dots: the variable that the value came from. */
  readonly origins: ReadonlyMap<string, string>;
  readonly settings: readonly Setting[];
  /** What was checked. */
  readonly tree: Tree;
}

type Path = readonly PropertyKey[];

export function describeIssue(issue: z.core.$ZodIssue, context: MistakeContext): readonly string[] {
  const where = originOf(issue.path, context);
  const given = shown(valueAt(issue.path, context.tree));
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => describeUnknownKey([...issue.path, key], context));
    case 'invalid_type':
      return [
        issue.expected === 'array'
          ? `${where} is ${given}; expected a list, each item of which begins with "- "`
          : `${where} is ${given}; expected a section with ${keysBelow(issue.path, context).join(', ')}`,
      ];
    case 'too_small':
      return [`${where} is an empty list; expected at least one upstream, or no list at all`];
    case 'custom': {
      const { refusal, contradiction } = issue.params as { refusal?: Refusal; contradiction?: Contradiction };
      if (refusal) return [describeRefusal(where, given, refusal)];
      if (contradiction) return [describeContradiction(issue.path, contradiction, context)];
      break;
    }
    default:
  }
  return [`${where}: ${issue.message}`];
}

function describeRefusal(where: string, given: string, { expected, hint, isSecret }: Refusal): string {
  const value = isSecret ? `"${Secret.mask}"` : given;
  return `${where} is ${value}${hint === '' ? '' : ` (${hint})`}; expected ${expected}`;
}

function describeContradiction(path: Path, words: Contradiction, context: MistakeContext): string {
  const other = words.other && originOf([...path.slice(0, -words.depth), ...words.other], context);
  return [originOf(path, context), words.before, other].filter(Boolean).join(' ') + (words.after ?? '');
}

function describeUnknownKey(path: Path, context: MistakeContext): string {
  const known = keysBelow(path.slice(0, -1), context);
  const meant = nearest(String(path.at(-1)), known);
  const help = meant === undefined ? `known here: ${known.join(', ')}` : `did you mean ${meant}?`;
  return `${originOf(path, context)} is no setting; ${help}`;
}

/** `ENTREPOT_TAG_TTL`, `entrepot.yaml:upstreams[0].url`, or the bare path where it comes from neither. */
function originOf(path: Path, { origins, file }: MistakeContext): string {
  const variable = origins.get(path.join('.'));
  if (variable !== undefined) return variable;
  const name = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
  return `${file === undefined ? '' : `${file}:`}${name.replace(/^\./, '')}`;
}

/** The keys that a section may have. */
function keysBelow(path: Path, { settings }: MistakeContext): readonly string[] {
  const prefix = path.map((key) => (typeof key === 'number' ? '[].' : `${String(key)}.`)).join('');
  const section = prefix.replaceAll('.[]', '[]');
  const below = settings.filter((setting) => setting.path.startsWith(section));
  return [...new Set(below.map((setting) => setting.path.slice(section.length).split(/[.[]/, 1)[0] ?? ''))];
}

function valueAt(path: Path, tree: unknown): unknown {
  return path.reduce<unknown>(
    (value, key) => (typeof value === 'object' && value !== null ? (value as Tree)[String(key)] : undefined),
    tree,
  );
}

const MAX_SHOWN = 100;

/** As it was given, but for the credentials of a URL. */
function shown(value: unknown): string {
  if (value === undefined) return 'missing';
  if (value === null) return 'empty';
  if (Array.isArray(value)) return 'a list';
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean')
    return 'a section';
  const text = String(value).replace(/^.*@/s, `${Secret.mask}@`);
  return JSON.stringify(text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}...` : text);
}
