/** A real Prometheus that scrapes one mirror by the configuration of deploy/prometheus, only more often. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from './free-port.ts';
import { DEPLOY } from './monitoring.ts';
import { programEnvironment } from './run.ts';
import { until } from './until.ts';

interface Result {
  readonly value: readonly [number, string];
}

export interface RuleState {
  readonly name: string;
  readonly health: string;
  readonly lastError?: string;
}

export class Prometheus implements AsyncDisposable {
  readonly #url: string;
  readonly #child: ChildProcess;

  private constructor(url: string, child: ChildProcess) {
    this.#url = url;
    this.#child = child;
  }

  /** Resolves when it has scraped. @param target `host:port` */
  static async start(directory: string, target: string): Promise<Prometheus> {
    const home = join(directory, 'prometheus');
    await mkdir(home);
    const configFile = join(home, 'prometheus.yml');
    await writeFile(configFile, await configFor(target));
    const address = `127.0.0.1:${await freePort()}`;
    const log = await open(join(home, 'log'), 'a');
    const child = spawn(
      'prometheus',
      [
        `--config.file=${configFile}`,
        `--storage.tsdb.path=${join(home, 'data')}`,
        `--web.listen-address=${address}`,
        '--log.level=warn',
      ],
      { env: programEnvironment(), stdio: ['ignore', log.fd, log.fd] },
    );
    await once(child, 'spawn');
    await log.close();
    const prometheus = new Prometheus(`http://${address}`, child);
    try {
      await until('Prometheus has scraped', async () => {
        if (child.exitCode !== null) return true;
        return (await prometheus.query('up')).includes(1);
      });
      if (child.exitCode !== null) throw new Error('it ended as it started');
    } catch (cause) {
      await prometheus[Symbol.asyncDispose]();
      const said = await readFile(join(home, 'log'), 'utf8');
      throw new Error(`Prometheus did not start:\n${said.slice(-4000)}`, { cause });
    }
    return prometheus;
  }

  /** The values, now. @throws Error where it can't make anything of the query */
  async query(query: string): Promise<readonly number[]> {
    const { result } = await this.#get<{ readonly result: readonly Result[] }>('query', { query });
    return result.map(({ value: [, value] }) => (value === '+Inf' ? Infinity : Number(value)));
  }

  async rules(): Promise<readonly RuleState[]> {
    type Groups = readonly { readonly rules: readonly RuleState[] }[];
    const { groups } = await this.#get<{ readonly groups: Groups }>('rules', {});
    return groups.flatMap(({ rules }) => rules);
  }

  labelValues(label: string, metric: string): Promise<readonly string[]> {
    return this.#get<readonly string[]>(`label/${label}/values`, { 'match[]': metric });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await ended;
  }

  async #get<T>(path: string, parameters: Readonly<Record<string, string>>): Promise<T> {
    const query = new URLSearchParams(parameters).toString();
    const answer = await fetch(`${this.#url}/api/v1/${path}?${query}`);
    const { status, data, error } = (await answer.json()) as { status: string; data: T; error?: string };
    if (status !== 'success') throw new Error(`${error ?? status}: ${query}`);
    return data;
  }
}

async function configFor(target: string): Promise<string> {
  const text = await readFile(join(DEPLOY, 'prometheus/prometheus.yml'), 'utf8');
  const replaced = text
    .replaceAll('15s', '1s')
    .replace("'mirror:5001'", `'${target}'`)
    .replace('- rules.yml', `- ${join(DEPLOY, 'prometheus/rules.yml')}`);
  if (!replaced.includes(target)) throw new Error('the configuration names its target in another way');
  return replaced;
}
