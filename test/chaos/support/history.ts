/**
 * What upstream has had, and when: where each tag pointed, what each repository held, which were withdrawn. It is what
 * an answer of the mirror is held against. Times are of `performance.now()`.
 */
import type { Digest } from '../../../src/oci/digest.ts';
import { Spans } from './spans.ts';

interface TagState {
  readonly since: number;
  /** Undefined while there is no such tag. */
  readonly digest: Digest | undefined;
}

export class History {
  readonly #tags = new Map<string, TagState[]>();
  readonly #held = new Map<string, number>();
  readonly #withdrawn = new Map<string, Spans>();

  setTag(repository: string, tag: string, digest: Digest | undefined): void {
    const key = `${repository}:${tag}`;
    const states = this.#tags.get(key) ?? [];
    this.#tags.set(key, states);
    states.push({ since: performance.now(), digest });
  }

  setHeld(repository: string, digest: Digest): void {
    const key = `${repository}@${digest}`;
    if (!this.#held.has(key)) this.#held.set(key, performance.now());
  }

  /** Since when upstream has had it there; undefined where it never had. */
  heldSince(repository: string, digest: Digest): number | undefined {
    return this.#held.get(`${repository}@${digest}`);
  }

  currentTag(repository: string, tag: string): Digest | undefined {
    return this.#statesOf(repository, tag).at(-1)?.digest;
  }

  /** All that the tag pointed to at some time between, `undefined` where it was not there. */
  tagBetween(repository: string, tag: string, from: number, until: number): ReadonlySet<Digest | undefined> {
    const states = this.#statesOf(repository, tag);
    const values = new Set<Digest | undefined>();
    if ((states[0]?.since ?? Infinity) > from) values.add(undefined);
    for (const [index, { since, digest }] of states.entries()) {
      const ended = states[index + 1]?.since ?? Infinity;
      if (since <= until && ended >= from) values.add(digest);
    }
    return values;
  }

  /** How many states of the tag came before it had this one; -1 where it never had. No digest comes twice. */
  ageOf(repository: string, tag: string, digest: Digest): number {
    return this.#statesOf(repository, tag).findIndex((state) => state.digest === digest);
  }

  tagsOf(repository: string): readonly string[] {
    const prefix = `${repository}:`;
    return [...this.#tags.keys()]
      .filter((key) => key.startsWith(prefix))
      .map((key) => key.slice(prefix.length));
  }

  withdrawalsOf(repository: string): Spans {
    let spans = this.#withdrawn.get(repository);
    if (!spans) this.#withdrawn.set(repository, (spans = new Spans()));
    return spans;
  }

  #statesOf(repository: string, tag: string): readonly TagState[] {
    return this.#tags.get(`${repository}:${tag}`) ?? [];
  }
}
