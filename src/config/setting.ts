/**
 * One leaf of the schema: its kind of value together with its description, default and environment variable, so
 * that checking, the environment and the reference documentation all come from the one place where it is declared.
 */
import * as z from 'zod';
import type { Kind } from './kinds.ts';

export interface SettingDoc {
  /** The variable that goes over the file; for a setting of an upstream, over that of the first. */
  readonly env?: `ENTREPOT_${string}`;
  /** For the reference: sentences. */
  readonly description: string;
  /** Where a default depends on other settings: words instead of a value. */
  readonly defaultNote?: string;
}

export interface Setting extends SettingDoc {
  /** `cache.maxSize`, `upstreams[].url`. */
  readonly path: string;
  readonly default: string | undefined;
  readonly expected: string;
  readonly isSecret: boolean;
}

/** What a leaf's issue says besides its path. */
export interface Refusal {
  readonly expected: string;
  readonly hint: string;
  readonly isSecret: boolean;
}

const registry = z.registry<Omit<Setting, 'path'>>();

export function withDefault<T>(text: string, kind: Kind<T>, doc: SettingDoc) {
  return z.prefault(leaf(kind), text).register(registry, describe(kind, doc, text));
}

export function optional<T>(kind: Kind<T>, doc: SettingDoc) {
  return z.optional(leaf(kind)).register(registry, describe(kind, doc, undefined));
}

export function required<T>(kind: Kind<T>, doc: SettingDoc) {
  return leaf(kind).register(registry, describe(kind, doc, undefined));
}

/** All leaves of a schema, in the order of their declaration. */
export function settingsOf(schema: z.core.$ZodType, path = ''): readonly Setting[] {
  const doc = registry.get(schema);
  if (doc) return [{ path, ...doc }];
  if (schema instanceof z.ZodObject) {
    return Object.entries(schema.shape as z.core.$ZodShape).flatMap(([key, child]) =>
      settingsOf(child, path === '' ? key : `${path}.${key}`),
    );
  }
  if (schema instanceof z.ZodArray) return settingsOf(schema.element, `${path}[]`);
  if (schema instanceof z.ZodPrefault) return settingsOf(schema.unwrap(), path);
  throw new TypeError(`the schema has something at ${path} that is neither a setting nor a section`);
}

function describe<T>(kind: Kind<T>, doc: SettingDoc, text: string | undefined): Omit<Setting, 'path'> {
  return { ...doc, default: text, expected: kind.expected, isSecret: kind.isSecret ?? false };
}

/**
 * A refused value becomes an issue that lets checks across settings still run, so that all mistakes are found at
 * once; those checks meet null in its place.
 */
function leaf<T>(kind: Kind<T>) {
  return z.unknown().transform((raw, ctx): T => {
    try {
      return kind.parse(textOf(raw, kind));
    } catch (cause) {
      if (!(cause instanceof SyntaxError)) throw cause;
      const refusal: Refusal = {
        expected: kind.expected,
        hint: cause.message,
        isSecret: kind.isSecret ?? false,
      };
      ctx.issues.push({ code: 'custom', input: raw, params: { refusal }, continue: true });
      return null as T;
    }
  });
}

function textOf(raw: unknown, kind: Kind<unknown>): string {
  if (typeof raw === 'string') return kind.isSecret ? raw : raw.trim();
  if (kind.isSecret) throw new SyntaxError('it is not a text');
  if (typeof raw === 'number' || typeof raw === 'boolean') return String(raw);
  if (kind.isList && Array.isArray(raw) && raw.every((item) => typeof item === 'string'))
    return raw.join(',');
  throw new SyntaxError();
}
