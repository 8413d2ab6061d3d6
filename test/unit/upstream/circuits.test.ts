import { describe, expect, it } from 'vitest';
import {
  Circuits,
  type Attempt,
  type CircuitChange,
  type HostCircuit,
} from '../../../src/upstream/circuits.ts';
import { movableClock } from '../../support/clock.ts';

const HOST = 'registry.example:5000';
const OUTAGE = new Error('nobody there');

function opened(options: { readonly random?: () => number } = {}) {
  const clock = movableClock();
  const changes: CircuitChange[] = [];
  const circuits = new Circuits({
    now: clock.now,
    random: options.random ?? (() => 0),
    onChange: (change) => changes.push(change),
  });
  return { clock, changes, circuits, circuit: circuits.of(new URL(`https://${HOST}/v2/`)) };
}

function begin(circuit: HostCircuit): Attempt {
  const attempt = circuit.attempt();
  if (attempt === undefined) throw new Error(`the circuit is ${circuit.state}, and lets nobody through`);
  return attempt;
}

function fail(circuit: HostCircuit, times = 1, cause = OUTAGE): void {
  for (let time = 0; time < times; time++) {
    using attempt = begin(circuit);
    attempt.fail(cause);
  }
}

function succeed(circuit: HostCircuit): void {
  using attempt = begin(circuit);
  attempt.succeed();
}

describe('a circuit that is closed', () => {
  it('opens with the third failure in a row, and says for how long and why', () => {
    const { circuit, changes } = opened();
    fail(circuit, 2);
    expect([circuit.state, changes]).toEqual(['closed', []]);
    const last = new Error('still nobody');
    fail(circuit, 1, last);
    expect(changes).toEqual([{ host: HOST, state: 'open', cause: last, openForMs: 5000 }]);
  });

  it('counts from zero after an answer', () => {
    const { circuit, changes } = opened();
    fail(circuit, 2);
    succeed(circuit);
    fail(circuit, 2);
    expect([circuit.state, changes]).toEqual(['closed', []]);
  });

  it('learns nothing from requests without a verdict', () => {
    const { circuit } = opened();
    fail(circuit, 2);
    begin(circuit)[Symbol.dispose]();
    expect(circuit.state).toBe('closed');
    fail(circuit);
    expect(circuit.state).toBe('open');
  });
});

describe('a circuit that is open', () => {
  it('lets nobody through, and tells since when, for how long and why', () => {
    const { circuit, clock } = opened();
    const since = clock.now();
    fail(circuit);
    clock.pass(5000);
    fail(circuit, 2);
    clock.pass(1700);
    expect(circuit.attempt()).toBeUndefined();
    expect(circuit.outage).toEqual({ since, askedAgainInSeconds: 4, cause: OUTAGE });
    clock.pass(3299);
    expect(circuit.attempt()).toBeUndefined();
    expect(circuit.outage.askedAgainInSeconds).toBe(1);
  });

  it('takes no more notice of requests that began before and fail', () => {
    const { circuit, clock, changes } = opened();
    const early = begin(circuit);
    fail(circuit, 3);
    clock.pass(4000);
    early.fail(new Error('late'));
    expect(circuit.outage).toMatchObject({ askedAgainInSeconds: 1, cause: OUTAGE });
    expect(changes).toHaveLength(1);
  });

  it('closes where one that began before is answered after all', () => {
    const { circuit, changes } = opened();
    const early = begin(circuit);
    fail(circuit, 3);
    early.succeed();
    expect(changes.at(-1)).toEqual({ host: HOST, state: 'closed' });
    fail(circuit, 2);
    expect(circuit.state).toBe('closed');
  });

  it('is open for less, by up to a fifth, so that not all mirrors ask at once', () => {
    const { circuit, changes, clock } = opened({ random: () => 0.5 });
    fail(circuit, 3);
    expect(changes.at(-1)).toMatchObject({ openForMs: 4500 });
    clock.pass(4500);
    expect(circuit.attempt()).toBeDefined();
  });

  it('does not wait for a clock that was set back', () => {
    const { circuit, clock } = opened();
    fail(circuit, 3);
    clock.pass(-3_600_000);
    expect(circuit.attempt()).toBeDefined();
  });
});

describe('a circuit whose time is over', () => {
  it('lets one through as its probe, and nobody else meanwhile', () => {
    const { circuit, clock, changes } = opened();
    fail(circuit, 3);
    clock.pass(5000);
    expect(circuit.state).toBe('open');
    expect(circuit.attempt()).toBeDefined();
    expect(changes.at(-1)).toEqual({ host: HOST, state: 'half-open' });
    expect(circuit.attempt()).toBeUndefined();
    expect(circuit.outage.askedAgainInSeconds).toBe(1);
  });

  it('closes when the probe is answered', () => {
    const { circuit, clock, changes } = opened();
    fail(circuit, 3);
    clock.pass(5000);
    succeed(circuit);
    expect(changes.at(-1)).toEqual({ host: HOST, state: 'closed' });
    fail(circuit, 2);
    expect(circuit.state).toBe('closed');
    fail(circuit);
    expect(changes.at(-1)).toMatchObject({ state: 'open', openForMs: 5000 });
  });

  it('is open for twice as long with each probe that fails, up to a quarter of a minute, and still since the first failure', () => {
    const { circuit, clock, changes } = opened();
    const since = clock.now();
    fail(circuit, 3);
    for (let probe = 0; probe < 5; probe++) {
      clock.pass(changes.at(-1)?.openForMs ?? 0);
      fail(circuit);
    }
    const times = changes.flatMap(({ openForMs }) => openForMs ?? []);
    expect(times).toEqual([5000, 10_000, 15_000, 15_000, 15_000, 15_000]);
    expect(circuit.outage.since).toBe(since);
  });

  it('makes the next its probe where one ends without a verdict', () => {
    const { circuit, clock, changes } = opened();
    fail(circuit, 3);
    clock.pass(5000);
    const leaver = begin(circuit);
    leaver[Symbol.dispose]();
    expect(changes.map(({ state }) => state)).toEqual(['open', 'half-open']);
    const next = begin(circuit);
    expect(circuit.attempt()).toBeUndefined();
    next.fail(OUTAGE);
    expect(changes.at(-1)).toMatchObject({ state: 'open', openForMs: 10_000 });
  });

  it('closes for all where one that began before it all is answered while the probe is under way', () => {
    const { circuit, clock, changes } = opened();
    const early = begin(circuit);
    fail(circuit, 3);
    clock.pass(5000);
    const probe = begin(circuit);
    early.succeed();
    expect(circuit.attempt()).toBeDefined();
    probe.fail(OUTAGE);
    expect(changes.map(({ state }) => state)).toEqual(['open', 'half-open', 'closed']);
  });

  it('leaves the verdict to the probe where a request that began before it all fails', () => {
    const { circuit, clock, changes } = opened();
    const early = begin(circuit);
    fail(circuit, 3);
    clock.pass(5000);
    const probe = begin(circuit);
    early.fail(OUTAGE);
    early[Symbol.dispose]();
    expect(circuit.attempt()).toBeUndefined();
    probe.succeed();
    expect(changes.map(({ state }) => state)).toEqual(['open', 'half-open', 'closed']);
  });
});

describe('circuits', () => {
  it('are each origin its own', () => {
    const { circuits, circuit } = opened();
    fail(circuit, 3);
    expect(circuits.of(new URL(`https://${HOST}/elsewhere?a=b`))).toBe(circuit);
    expect(circuits.of(new URL(`http://${HOST}/`)).state).toBe('closed');
    expect(circuits.of(new URL('https://cdn.example/')).state).toBe('closed');
    expect(circuits.states).toEqual(
      expect.arrayContaining([
        { host: HOST, state: 'open' },
        { host: 'cdn.example', state: 'closed' },
      ]),
    );
  });

  it('are kept of a bounded number of hosts, those asked last', () => {
    const { circuits, circuit } = opened();
    fail(circuit, 3);
    for (let host = 0; host < 5000; host++) {
      circuits.of(new URL(`https://cdn-${host}.example/`));
      circuits.of(new URL(`https://${HOST}/`));
    }
    expect(circuits.states.length).toBeLessThanOrEqual(500);
    expect(circuits.of(new URL(`https://${HOST}/`))).toBe(circuit);
  });
});
