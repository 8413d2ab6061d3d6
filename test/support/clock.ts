/** A clock that a test moves. */
export interface MovableClock {
  readonly now: () => number;
  readonly pass: (ms: number) => void;
}

export function movableClock(): MovableClock {
  let time = Date.now();
  return { now: () => time, pass: (ms) => void (time += ms) };
}
