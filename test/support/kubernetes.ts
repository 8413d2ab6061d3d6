/** Holds an object against the schema that Kubernetes, or the Prometheus Operator, publishes for its kind. */

export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata?: { readonly name?: string; readonly namespace?: string; readonly labels?: object };
  readonly [key: string]: unknown;
}

/** What a package has for a kind: its `validate` throws what is wrong with `this`. */
interface Model {
  readonly prototype: { validate(): void };
}

const OPERATOR = 'monitoring.coreos.com/';

/** What is wrong with it, a line each. Throws where there is no such kind. */
export async function faultsOf(object: KubernetesObject): Promise<string[]> {
  const { apiVersion, kind } = object;
  const models = apiVersion.startsWith(OPERATOR)
    ? '@kubernetes-models/prometheus-operator'
    : 'kubernetes-models';
  const model = ((await import(`${models}/${apiVersion}`)) as Record<string, Model | undefined>)[kind];
  if (model === undefined) throw new Error(`there is no ${kind} in ${apiVersion}`);
  const unread = new Set<string>();
  try {
    model.prototype.validate.call(watched(object, '', unread));
  } catch (error) {
    return [(error as Error).message];
  }
  return [...unread].map((path) => `${path} is not known`);
}

/** The schemas allow keys that they don't know; an API server does not. What no check looks at is such a key. */
function watched(value: unknown, path: string, unread: Set<string>): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const inner = new Map<PropertyKey, unknown>();
  for (const [key, child] of Object.entries(value)) {
    unread.add(`${path}/${key}`);
    inner.set(key, watched(child, `${path}/${key}`, unread));
  }
  return new Proxy(value, {
    get(target, key) {
      unread.delete(`${path}/${String(key)}`);
      return inner.has(key) ? inner.get(key) : (Reflect.get(target, key) as unknown);
    },
  });
}
