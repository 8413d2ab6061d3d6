/** As much of TOML as clients' configurations need: tables, arrays of tables, strings, booleans, integers, arrays. */

type Table = Record<string, unknown>;

/** @throws Error at a line that is none */
export function parseToml(text: string): Table {
  const root: Table = {};
  let table = root;
  for (const line of text.split('\n').map((one) => one.trim())) {
    const header = /^(?<open>\[\[?)(?<path>.+?)(?<close>\]\]?)$/.exec(line)?.groups;
    const pair = /^(?<key>[\w-]+)\s*=\s*(?<value>.+)$/.exec(line)?.groups;
    if (line === '' || line.startsWith('#')) continue;
    if (header) table = enter(root, keysOf(header['path']!), header['open'] === '[[');
    else if (pair && !(pair['key']! in table)) table[pair['key']!] = JSON.parse(pair['value']!);
    else throw new Error(`not a line of TOML: ${line}`);
  }
  return root;
}

function keysOf(path: string): readonly string[] {
  const keys = [...path.matchAll(/"((?:[^"\\]|\\.)*)"|([\w-]+)/g)].map(
    ([, quoted, bare]) => quoted ?? bare ?? '',
  );
  const written = keys.map((key) => (/^[\w-]+$/.test(key) ? key : `"${key}"`));
  if (written.join('.') !== path) throw new Error(`not a name of TOML: ${path}`);
  return keys;
}

/** The last of an array is the one that its children belong to. */
function enter(root: Table, keys: readonly string[], isArray: boolean): Table {
  return keys.reduce<Table>((parent, key, at) => {
    const isLast = at === keys.length - 1;
    if (isLast && isArray) {
      const list = (parent[key] ??= []) as Table[];
      list.push({});
      return list.at(-1)!;
    }
    if (isLast && key in parent) throw new Error(`the table ${keys.join('.')} is there twice`);
    const child = (parent[key] ??= {}) as Table | Table[];
    return Array.isArray(child) ? child.at(-1)! : child;
  }, root);
}
