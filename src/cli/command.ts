/** What a command is: a row of the table that help, usage errors and completion are made of, and what it has to run with. */
import type { Config } from '../config/config.ts';
import type { AdminClient } from './admin-client.ts';
import type { Screen } from './screen.ts';

export interface Option {
  readonly short?: string;
  /** What stands for its value in help; without it, it takes none. */
  readonly value?: string;
  /** It may be given several times. */
  readonly isMultiple?: boolean;
  readonly summary: string;
  /** What completion offers as its value. */
  readonly offers?: 'files' | readonly string[];
}

export type Options = Readonly<Record<string, Option>>;

export interface Argument {
  readonly name: string;
  readonly isOptional?: boolean;
  readonly isMultiple?: boolean;
  /** All that it may be. */
  readonly offers?: readonly string[];
}

export interface Command {
  readonly name: string;
  readonly summary: string;
  readonly argument?: Argument;
  readonly options: Options;
  /** Paragraphs for its own help. */
  readonly details?: readonly string[];
  /** Resolves to the exit code. */
  readonly run: (given: Given, session: Session) => Promise<number>;
}

/** What the command line said. */
export class Given {
  readonly arguments: readonly string[];
  readonly #values: Readonly<Record<string, unknown>>;

  constructor(args: readonly string[], values: Readonly<Record<string, unknown>>) {
    this.arguments = args;
    this.#values = values;
  }

  has(option: string): boolean {
    return this.#values[option] !== undefined;
  }

  text(option: string): string | undefined {
    const value = this.#values[option];
    return typeof value === 'string' ? value : undefined;
  }

  texts(option: string): readonly string[] {
    const value = this.#values[option];
    return Array.isArray(value) ? (value as readonly string[]) : [];
  }
}

/** What needs more than a client of the admin API. */
export interface Programs {
  readonly version: string;
  /** Each resolves to the exit code. */
  readonly serve: (config: Config) => Promise<number>;
  readonly rebuildIndex: (config: Config) => Promise<number>;
}

/** The world around a command. */
export interface Session {
  readonly screen: Screen;
  /** On standard error, a line. */
  readonly complain: (text: string) => void;
  /** Resolves to what was typed; absent where nobody can type. */
  readonly ask: ((question: string) => Promise<string>) | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly now: () => number;
  /** Rejects when `interrupted` is aborted. */
  readonly pause: (ms: number) => Promise<void>;
  /** By Ctrl-C. */
  readonly interrupted: AbortSignal;
  /** What serve would run with here. @throws ConfigError */
  readonly loadConfig: () => Promise<Config>;
  readonly api: () => Promise<AdminClient>;
  readonly programs: Programs;
}

export const CONFIG_OPTION: Options = {
  config: {
    short: 'c',
    value: 'FILE',
    offers: 'files',
    summary: 'the configuration file, instead of the one that ENTREPOT_CONFIG names',
  },
};

/** Of every command that asks a running mirror. */
export const API_OPTIONS: Options = {
  url: {
    value: 'URL',
    summary: "the admin listener, instead of ENTREPOT_ADMIN_URL or this machine's own as it is configured",
  },
  'token-file': {
    value: 'FILE',
    offers: 'files',
    summary:
      'a file with the admin token, instead of ENTREPOT_ADMIN_TOKEN, ENTREPOT_ADMIN_TOKEN_FILE or admin.token',
  },
  ...CONFIG_OPTION,
};

export const JSON_OPTION: Options = {
  json: { summary: 'print what the API answers, and nothing else' },
};

export const DETACH_OPTION: Options = {
  detach: { short: 'd', summary: 'print the job and let it run, instead of following it to its end' },
};
