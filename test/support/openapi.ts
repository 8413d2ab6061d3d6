/** docs/admin-api.yaml as something to hold real answers against. */
import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { parse } from 'yaml';

const FILE = new URL('../../docs/admin-api.yaml', import.meta.url);

interface Content {
  readonly schema: object;
  readonly example?: unknown;
  readonly examples?: Readonly<Record<string, { readonly value: unknown }>>;
}

interface Described {
  readonly content?: Readonly<Record<string, Content>>;
}

interface Operation {
  readonly responses: Readonly<Record<string, Described | Reference>>;
  readonly requestBody?: Described | Reference;
}

interface Reference {
  readonly $ref: string;
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

export const document = parse(readFileSync(FILE, 'utf8')) as Document;

const METHODS = ['get', 'put', 'post', 'delete'];
const ajv = new Ajv2020({ strict: false, allErrors: true });
(addFormats as unknown as (to: Ajv2020) => void)(ajv);
ajv.addSchema(document, 'api');

/** `GET /api/v1/jobs/{id}`, all of them. */
export function documentedRoutes(): readonly string[] {
  return Object.entries(document.paths).flatMap(([path, operations]) =>
    METHODS.filter((method) => method in operations).map((method) => `${method.toUpperCase()} ${path}`),
  );
}

/**
 * @param answer to that; its body is read as what its Content-Type says
 * @returns what is wrong with it; nothing where it is as documented
 */
export function mistakesIn(
  method: string,
  path: string,
  answer: { readonly status: number; readonly contentType: string | undefined; readonly body: string },
): readonly string[] {
  const operation = operationOf(method, path);
  const responses = operation?.responses;
  const response = responses?.[answer.status] ?? responses?.['default'];
  if (!response) return [`${method} ${path} is not documented with status ${answer.status}`];
  const content = resolved<Described>(response).content;
  if (!content) return answer.body === '' ? [] : ['there is a body where none is documented'];
  const type = answer.contentType?.split(';', 1)[0] ?? '';
  const schema = content[type]?.schema;
  if (!schema) return [`${method} ${path} is not documented as ${JSON.stringify(type)}`];
  return mistakesOf(schema, type === 'application/json' ? JSON.parse(answer.body) : answer.body);
}

/** Of a value that should be as `components.schemas` has it under that name. */
export function mistakesInView(name: string, value: unknown): readonly string[] {
  return mistakesOf({ $ref: `#/components/schemas/${name}` }, value);
}

/** Of every example in it that is not as its own schema says. */
export function mistakesInExamples(): readonly string[] {
  return documentedRoutes().flatMap((route) => {
    const [method = '', path = ''] = route.split(' ');
    const { responses = {}, requestBody } = operationOf(method, path) ?? {};
    const described = [...Object.values(responses), ...(requestBody ? [requestBody] : [])];
    const contents = described.flatMap((part) => Object.values(resolved<Described>(part).content ?? {}));
    return contents.flatMap(({ schema, example, examples = {} }) =>
      [...(example === undefined ? [] : [example]), ...Object.values(examples).map(({ value }) => value)]
        .flatMap((value) => mistakesOf(schema, value))
        .map((mistake) => `${route}: ${mistake}`),
    );
  });
}

function operationOf(method: string, path: string): Operation | undefined {
  const found = Object.entries(document.paths).find(([template]) =>
    new RegExp(`^${template.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(path),
  );
  return found?.[1][method.toLowerCase()];
}

function resolved<T extends object>(part: T | Reference): T {
  if (!('$ref' in part)) return part;
  const keys = part.$ref.replace('#/', '').split('/');
  return keys.reduce<unknown>((value, key) => (value as Record<string, unknown>)[key], document) as T;
}

function mistakesOf(schema: object, value: unknown): readonly string[] {
  const text = JSON.stringify(schema).replaceAll('"#/', '"api#/');
  const validate = ajv.compile(JSON.parse(text) as object);
  if (validate(value)) return [];
  return (validate.errors ?? []).map(
    ({ instancePath, message, params }) =>
      `${instancePath || 'it'} ${message ?? 'is wrong'} ${JSON.stringify(params)}`,
  );
}
