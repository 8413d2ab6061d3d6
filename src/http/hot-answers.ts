/**
 * Answers that may be given again to the same request, whole and ready to be written: what they rest on was asked of
 * the repository once. Bounded in bytes, the least recently given go first. It knows no repository, so that a process
 * that has none can answer from it.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { LRUCache } from 'lru-cache';
import type { Validity } from '../repository/repository.ts';
import type { Asked } from './request-record.ts';

/** One whose status is 200. Plain data. */
export interface HotAnswer {
  /** Name, value, name, value: all but those that Node.js adds. */
  readonly headers: string[];
  readonly validity: Validity;
  /** What the router found the request to ask for. */
  readonly record: Readonly<Asked>;
}

export interface KeptAnswer extends HotAnswer {
  /** As latin1, nothing for a HEAD. Headers and a string are one write, where those and a buffer are two (2 us less of 16). */
  readonly body: string;
}

/** Takes an answer that may be given again to what asks for the same target, before its first byte. */
export type Keep = (
  response: ServerResponse,
  target: string,
  answer: HotAnswer,
  body: Uint8Array | undefined,
) => void;

export interface AnswerKeeper {
  /** To be called when a request begins, before anything is asked on its behalf. */
  begin(): Keep;
}

/** Beside the bytes of its body: roughly what headers, keys, maps and the objects around them take. */
const ENTRY_BYTES = 2048;
/** A larger one is no longer dominated by what is done once for each request. */
const MAX_BODY_BYTES = 64 * 1024;

/** Method and target, as they stand in the request line. */
export function targetOf({ method = '', url = '' }: IncomingMessage): string {
  return `${method} ${url}`;
}

export class HotAnswers implements AnswerKeeper {
  readonly #answers: LRUCache<string, KeptAnswer>;
  /** The targets whose answers rest on a key. */
  readonly #targetsOf = new Map<string, Set<string>>();
  /** Counts what was dropped. */
  #drops = 0;

  constructor(maxBytes: number) {
    this.#answers = new LRUCache({
      maxSize: Math.max(1, Math.floor(maxBytes)),
      sizeCalculation: ({ body }, target) => ENTRY_BYTES + body.length + target.length,
      dispose: ({ validity }, target) => this.#unlist(validity.keys, target),
    });
  }

  begin(): Keep {
    const dropsBefore = this.#drops;
    return (_response, target, answer, body = new Uint8Array()) => {
      // Whatever was dropped since the request began may be what its answer rests on.
      if (this.#drops !== dropsBefore || body.length > MAX_BODY_BYTES) return;
      this.#keep(target, { ...answer, body: latin1Of(body) });
    };
  }

  /** @param now in milliseconds since the epoch */
  find(target: string, now: number): KeptAnswer | undefined {
    const kept = this.#answers.get(target);
    if (kept === undefined) return undefined;
    const { since, until } = kept.validity;
    // Before it began, if the clock was set back: then it is asked again rather than trusted for longer.
    if (since <= now && now < until) return kept;
    this.#answers.delete(target);
    return undefined;
  }

  /** @param key a digest, or a `tagKey`; nothing is left without one */
  drop(key: string | undefined): void {
    this.#drops += 1;
    if (key === undefined) this.#answers.clear();
    // A copy: each deletion shortens the set.
    else for (const target of [...(this.#targetsOf.get(key) ?? [])]) this.#answers.delete(target);
  }

  #keep(target: string, kept: KeptAnswer): void {
    this.#answers.set(target, kept);
    // One larger than the whole is not taken in.
    if (!this.#answers.has(target)) return;
    for (const key of kept.validity.keys) {
      const targets = this.#targetsOf.get(key);
      if (targets) targets.add(target);
      else this.#targetsOf.set(key, new Set([target]));
    }
  }

  #unlist(keys: readonly string[], target: string): void {
    for (const key of keys) {
      const targets = this.#targetsOf.get(key);
      targets?.delete(target);
      if (targets?.size === 0) this.#targetsOf.delete(key);
    }
  }
}

function latin1Of({ buffer, byteOffset, length }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, length).toString('latin1');
}
