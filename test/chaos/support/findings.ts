/** What is wrong with the mirror, and what had happened before. One finding ends the run. */

export interface Finding {
  /** Since the start of the run. */
  readonly atMs: number;
  readonly what: string;
  /** What is known about it: the request, the answer, the state of the model. */
  readonly details: string;
}

const MAX_FINDINGS = 20;
const MAX_ACTIONS = 80;

export class Findings {
  readonly #startedAt = performance.now();
  readonly #findings: Finding[] = [];
  readonly #actions: string[] = [];

  get all(): readonly Finding[] {
    return this.#findings;
  }

  get isEmpty(): boolean {
    return this.#findings.length === 0;
  }

  get elapsedMs(): number {
    return performance.now() - this.#startedAt;
  }

  /** The last of all that was done to the mirror, in order. */
  get actions(): readonly string[] {
    return this.#actions;
  }

  acted(action: string): void {
    if (!this.isEmpty) return;
    this.#actions.push(`${(this.elapsedMs / 1000).toFixed(3)} ${action}`);
    if (this.#actions.length > MAX_ACTIONS) this.#actions.shift();
  }

  /** For what may only follow from what was found before. */
  addIfFirst(what: string, details: unknown): void {
    if (this.isEmpty) this.add(what, details);
  }

  add(what: string, details: unknown = ''): void {
    if (this.#findings.length === MAX_FINDINGS) return;
    const text = typeof details === 'string' ? details : JSON.stringify(details, undefined, 1);
    this.#findings.push({ atMs: this.elapsedMs, what, details: text });
  }
}
