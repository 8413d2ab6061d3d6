/** Reads the mirror's log as it comes: what must never stand in it, and what explains an answer. */
import type { Findings } from './findings.ts';
import { SECRETS } from './plan.ts';
import type { Tally } from './tally.ts';

interface Line {
  readonly level?: unknown;
  readonly msg?: unknown;
  readonly digest?: unknown;
  readonly outcome?: unknown;
}

const MAX_TAIL = 400;
/** Faults of our own making, in upstream or on disk, that have to be reported as errors. */
const EXPECTED_ERRORS =
  /^(?:upstream sent other bytes|a blob of the index is missing|the index was corrupt|a blob (?:has|is) changed|a stored blob)\b/;
const NEVER =
  /\b(?:TypeError|ReferenceError|RangeError|AssertionError|unhandledRejection|uncaughtException)\b/;
export class LogWatch {
  readonly #findings: Findings;
  readonly #tally: Tally;
  readonly #tail: string[] = [];
  readonly #uncachedAt = new Map<string, number>();
  #rest = '';

  constructor(findings: Findings, tally: Tally) {
    this.#findings = findings;
    this.#tally = tally;
  }

  get tail(): readonly string[] {
    return this.#tail;
  }

  /** When a download last went past the cache because that had no room for it. */
  uncachedAt(digest: string): number {
    return this.#uncachedAt.get(digest) ?? -Infinity;
  }

  output(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#line(line);
  }

  /** Of a new process: what the one before has not said to its end is lost. */
  begin(): void {
    this.#rest = '';
  }

  errorOutput(text: string): void {
    this.#keep(text.trimEnd());
    if (/warning|error|deprecated/i.test(text))
      this.#findings.add('the mirror complains on standard error', text);
    this.#checkSecrets(text);
  }

  #line(text: string): void {
    this.#keep(text);
    this.#checkSecrets(text);
    if (NEVER.test(text)) {
      this.#findings.add('an error of programming is in the log', text);
    }
    let line: Line;
    try {
      line = JSON.parse(text) as Line;
    } catch {
      this.#findings.add('a line of the log is no JSON', text);
      return;
    }
    const { level, msg, digest, outcome } = line;
    const message = String(msg);
    if (level === 'fatal') this.#findings.add('a fatal line is in the log', text);
    if (level === 'error') {
      this.#tally.count('log errors', message);
      if (!EXPECTED_ERRORS.test(message)) this.#findings.add('an unexpected error is in the log', text);
    }
    if (outcome === 'uncached' && typeof digest === 'string') this.#uncachedAt.set(digest, performance.now());
    if (typeof outcome === 'string') this.#tally.count('downloads', outcome);
  }

  #checkSecrets(text: string): void {
    if (SECRETS.test(text)) this.#findings.add('a secret is in the log', text);
  }

  #keep(text: string): void {
    this.#tail.push(text.slice(0, 1500));
    if (this.#tail.length > MAX_TAIL) this.#tail.shift();
  }
}
