/** Waits, within a bound, for something outside this process to become true. */
import { setTimeout as delay } from 'node:timers/promises';

const EVERY_MS = 50;

/** Throws when `probe` has not said true in time; what a probe throws counts as "not yet" and becomes the cause. */
export async function until(
  what: string,
  probe: () => boolean | Promise<boolean>,
  timeoutMs = 30_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  let cause: unknown;
  while (Date.now() < deadline) {
    try {
      if (await probe()) return;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    await delay(EVERY_MS);
  }
  throw new Error(`waited ${timeoutMs} ms in vain: ${what}`, { cause });
}
