/** Reads the configuration from its file and the environment, and finds every mistake in it before anything starts. */
import { LineCounter, parseDocument, type YAMLError } from 'yaml';
import {
  ConfigError,
  type AccelConfig,
  type Config,
  type UpstreamConfig,
  type UpstreamCredentials,
} from './config.ts';
import {
  CONFIG_VARIABLE,
  overlay,
  unknownVariables,
  valueOf,
  type Environment,
  type Tree,
} from './environment.ts';
import type { ReadFile } from './kinds.ts';
import { describeIssue } from './mistakes.ts';
import { configSchema, type ParsedConfig } from './schema.ts';
import { settingsOf } from './setting.ts';
import type { ParsedUpstream } from './upstream-schema.ts';
import { DOCKER_HUB_URL, isDockerHub, nameOf, namespacesOf } from './upstream-names.ts';

export interface ConfigSources {
  readonly env: Environment;
  /** Gives the text of a file, or throws. */
  readonly readFile: ReadFile;
  /** The YAML file, before the one that ENTREPOT_CONFIG names. */
  readonly file?: string | undefined;
}

/** @throws ConfigError */
export function loadConfig({ env, readFile, file = valueOf(env, CONFIG_VARIABLE) }: ConfigSources): Config {
  const schema = configSchema(readFile);
  const settings = settingsOf(schema);
  const { tree, mistakes } = file === undefined ? { tree: {}, mistakes: [] } : readTree(file, readFile);
  const origins = overlay(tree, settings, env);
  setDefaultUpstream(tree);

  const parsed = schema.safeParse(tree);
  for (const issue of parsed.error?.issues ?? []) {
    mistakes.push(...describeIssue(issue, { file, origins, settings, tree }));
  }
  mistakes.push(...unknownVariables(env, settings));
  if (!parsed.success || mistakes.length > 0) {
    throw new ConfigError(mistakes);
  }
  return freeze(toConfig(parsed.data));
}

/** A file that can't be used counts as empty, so that mistakes in the environment are found along with it. */
function readTree(file: string, readFile: ReadFile): { readonly tree: Tree; readonly mistakes: string[] } {
  const refused = (why: string) => ({ tree: {}, mistakes: [`${file} ${why}`] });
  let text: string;
  try {
    text = readFile(file);
  } catch (cause) {
    return refused(`can't be read: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { prettyErrors: false, lineCounter: lines });
  const faults = [...document.errors, ...document.warnings].map(
    (fault) => `${file}:${lines.linePos(fault.pos[0]).line}: ${withoutQuotations(fault)}`,
  );
  if (faults.length > 0) return { tree: {}, mistakes: faults };
  let content: unknown;
  try {
    content = withoutNulls(document.toJS());
  } catch {
    return refused('has an alias without an anchor, or too many of them; quote a value that begins with *');
  }
  if (content === undefined) return { tree: {}, mistakes: [] };
  if (typeof content !== 'object' || Array.isArray(content)) {
    return refused('holds no settings; expected lines such as "listen: 0.0.0.0:5000"');
  }
  return { tree: content as Tree, mistakes: [] };
}

/** Neither the lines around (pretty errors) nor the text in question: a password may stand there. */
function withoutQuotations({ code, message }: YAMLError): string {
  if (code === 'TAG_RESOLVE_FAILED') return 'There is no such tag; quote a value that begins with !';
  return message.replace(/(?<=[a-z]): .*$/s, '');
}

/** `cache:` with nothing below it, or with comments only, says nothing. */
function withoutNulls(value: unknown): unknown {
  if (value === null || value === undefined) return undefined;
  if (Array.isArray(value)) return value.map((item: unknown) => withoutNulls(item) ?? null);
  if (typeof value !== 'object') return value;
  const entries = Object.entries(value).map(([key, child]) => [key, withoutNulls(child)] as const);
  return Object.fromEntries(entries.filter(([, child]) => child !== undefined));
}

function setDefaultUpstream(tree: Tree): void {
  tree['upstreams'] ??= [{}];
  const first: unknown = Array.isArray(tree['upstreams']) ? tree['upstreams'][0] : undefined;
  if (typeof first === 'object' && first !== null) (first as Tree)['url'] ??= DOCKER_HUB_URL;
}

function toConfig(parsed: ParsedConfig): Config {
  const namespaces = namespacesOf(parsed.upstreams);
  const [first, ...others] = parsed.upstreams.map((upstream, index) =>
    toUpstream(upstream, namespaces[index]),
  );
  if (!first) throw new TypeError('the schema let a configuration without an upstream pass');
  const { certificate, key } = parsed.tls;
  return {
    listen: parsed.listen,
    admin: { listen: parsed.admin.listen, token: parsed.admin.token ?? parsed.admin.tokenFile },
    tls: certificate !== undefined && key !== undefined ? { certificate, key } : undefined,
    dataDir: parsed.dataDir,
    upstreams: [first, ...others],
    cache: {
      maxSize: parsed.cache.maxSize,
      lowWater: parsed.cache.lowWater,
      memoryBytes: parsed.cache.memory,
    },
    tagTtlMs: parsed.tagTtl,
    tagStaleForMs: parsed.tagStaleFor,
    missTtlMs: parsed.missTtl,
    isOffline: parsed.offline,
    downloads: {
      maxConcurrent: parsed.downloads.maxConcurrent,
      whenAbandoned: parsed.downloads.whenAbandoned,
      keepPartialMs: parsed.downloads.keepPartial,
    },
    scrub: { intervalMs: parsed.scrub.interval, bytesPerSecond: parsed.scrub.rate },
    clients: { maxConnections: parsed.clients.maxConnections, timeoutMs: parsed.clients.timeout },
    workers: parsed.workers,
    sendfile: parsed.sendfile,
    accel: toAccel(parsed.accel),
    log: parsed.log,
    shutdownGraceMs: parsed.shutdownGrace,
  };
}

function toAccel({ header, prefix, minSize }: ParsedConfig['accel']): AccelConfig | undefined {
  return header === 'off' ? undefined : { header, prefix, minBytes: minSize };
}

function toUpstream(parsed: ParsedUpstream, namespaces: readonly string[] = []): UpstreamConfig {
  return {
    name: nameOf(parsed.url),
    url: parsed.url,
    isDockerHub: isDockerHub(parsed.url),
    namespaces,
    credentials: credentialsOf(parsed),
    realms: parsed.realms ?? [],
    redirects: parsed.redirects ?? [],
    maxConnections: parsed.maxConnections,
    connectTimeoutMs: parsed.connectTimeout,
    headersTimeoutMs: parsed.headersTimeout,
    bodyTimeoutMs: parsed.bodyTimeout,
  };
}

function credentialsOf(parsed: ParsedUpstream): UpstreamCredentials | undefined {
  const { username } = parsed;
  const password = parsed.password ?? parsed.passwordFile;
  const token = parsed.token ?? parsed.tokenFile;
  if (username !== undefined && password !== undefined) return { kind: 'password', username, password };
  return token === undefined ? undefined : { kind: 'token', token };
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const child of Object.values(value)) freeze(child);
  }
  return value;
}
