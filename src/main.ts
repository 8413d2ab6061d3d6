#!/usr/bin/env node
/**
 * The process: is the mirror to run, or is something asked of one? Each loads only what it needs, for an idle mirror
 * has no use for the command line, and a short command none for the mirror.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { Config } from './config/config.ts';

const EXIT = { success: 0, failure: 1, interrupted: 130 } as const;

/** The arguments of `serve`; undefined where another command is meant, or help, or something is wrong with them. */
function serveArguments(args: readonly string[]): { readonly config: string | undefined } | undefined {
  const { values, positionals } = parseArgs({
    args: [...args],
    strict: false,
    allowPositionals: true,
    options: { config: { type: 'string', short: 'c' } },
  });
  const { config, ...others } = values;
  const isServe = positionals.length === 0 || (positionals.length === 1 && positionals[0] === 'serve');
  const isWhole = config === undefined || typeof config === 'string';
  return isServe && isWhole && Object.keys(others).length === 0 ? { config } : undefined;
}

async function startMirror({ config: file }: { readonly config: string | undefined }): Promise<number> {
  const { loadConfig } = await import('./config/load-config.ts');
  const { ConfigError } = await import('./config/config.ts');
  try {
    return await serve(
      loadConfig({ env: process.env, readFile: (path) => readFileSync(path, 'utf8'), file }),
    );
  } catch (error) {
    process.stderr.write(`entrepot: ${(error as Error).message}\n`);
    return error instanceof ConfigError ? 78 : EXIT.failure;
  }
}

async function serve(config: Config): Promise<number> {
  const mirror = await import('./serve.ts');
  return mirror.serve(config, readVersion());
}

async function rebuildIndex(config: Config): Promise<number> {
  const { rebuildIndex: rebuild } = await import('./commands.ts');
  const { createLogger } = await import('./telemetry/logger.ts');
  return rebuild(config, createLogger({ level: config.log.level, isPretty: process.stdout.isTTY }));
}

async function runCommand(args: readonly string[]): Promise<number> {
  const { runCli } = await import('./cli/cli.ts');
  // Whoever reads it, as `head` does, has seen enough.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(EXIT.success);
  });
  const interruption = new AbortController();
  process.on('SIGINT', () => {
    // Whoever asks twice does not want to wait.
    if (interruption.signal.aborted) process.exit(EXIT.interrupted);
    interruption.abort();
  });
  const { env, stdin, stdout, stderr } = process;
  const programs = { version: readVersion(), serve, rebuildIndex };
  return runCli(args, programs, {
    env,
    stdin,
    stdout,
    stderr,
    now: Date.now,
    interrupted: interruption.signal,
  });
}

function readVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

const args = process.argv.slice(2);
const forServe = serveArguments(args);
process.exitCode = forServe ? await startMirror(forServe) : await runCommand(args);
