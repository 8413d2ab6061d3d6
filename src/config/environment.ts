/** Lays the environment's ENTREPOT_* variables over the settings of the file, and finds those that are none of ours. */
import { nearest } from './nearest.ts';
import type { Setting } from './setting.ts';

export type Environment = Readonly<Record<string, string | undefined>>;
/** Of plain data, as YAML gives it. */
export type Tree = Record<string, unknown>;

export const CONFIG_VARIABLE = 'ENTREPOT_CONFIG';
/** No setting: by it the commands find a mirror that runs elsewhere. */
export const ADMIN_URL_VARIABLE = 'ENTREPOT_ADMIN_URL';

/** Empty is as good as unset: compose files and charts often pass variables on without a value. */
export function valueOf(env: Environment, variable: string): string | undefined {
  return env[variable] === '' ? undefined : env[variable];
}

/**
 * Writes values into `tree`, those for an upstream into its first.
 * @returns which variable each path (joined by dots, `upstreams.0.url`) then comes from
 */
export function overlay(tree: Tree, settings: readonly Setting[], env: Environment): Map<string, string> {
  const origins = new Map<string, string>();
  for (const { env: variable, path } of settings) {
    const value = variable === undefined ? undefined : valueOf(env, variable);
    if (variable === undefined || value === undefined) continue;
    const keys = path.replace('[]', '.0').split('.');
    if (put(tree, keys, value)) origins.set(keys.join('.'), variable);
  }
  return origins;
}

/** `false` where something else than a section is in the way, which the schema then refuses. */
function put(tree: Tree, keys: readonly string[], value: string): boolean {
  const [key = '', ...rest] = keys;
  if (rest.length === 0) {
    tree[key] = value;
    return true;
  }
  tree[key] ??= rest[0] === '0' ? [] : {};
  const child = tree[key];
  return typeof child === 'object' && child !== null && put(child as Tree, rest, value);
}

/** A mistake for each ENTREPOT_* variable that is no setting: a misspelt one would go unheeded. */
export function unknownVariables(env: Environment, settings: readonly Setting[]): readonly string[] {
  const known = new Set<string>([
    ...settings.flatMap((setting) => setting.env ?? []),
    ...[CONFIG_VARIABLE, ADMIN_URL_VARIABLE],
  ]);
  return Object.keys(env)
    .filter((name) => name.startsWith('ENTREPOT_') && !known.has(name))
    .filter((name) => valueOf(env, name) !== undefined && !isFromKubernetes(name, env[name]))
    .map((name) => {
      const meant = name === 'ENTREPOT_PORT' ? 'ENTREPOT_LISTEN' : nearest(name, known);
      return `${name} is no setting${meant === undefined ? '' : `; did you mean ${meant}?`}`;
    });
}

/**
 * Kubernetes gives each container such variables for every Service of its namespace, and a Service of this mirror is
 * likely called entrepot or entrepot-something.
 */
function isFromKubernetes(name: string, value = ''): boolean {
  return (
    /_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$/.test(name) ||
    /_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/.test(name) ||
    (name.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(value))
  );
}
