/** A probe that tells nothing for long: it may wait in a line of our own, behind bodies that take an hour. */
import { describe, expect, it } from 'vitest';
import { Circuits } from '../../../src/upstream/circuits.ts';

function openCircuit() {
  const clock = { now: 1_000_000 };
  const circuits = new Circuits({ now: () => clock.now, random: () => 0, onChange: () => undefined });
  const circuit = circuits.of(new URL('https://registry.example.com'));
  for (let time = 0; time < 3; time += 1) circuit.attempt()?.fail(new Error('away'));
  clock.now += 5000;
  return { clock, circuit };
}

describe('a probe that gets no verdict', () => {
  it('is waited for as long as a question may take, and then another one is sent', () => {
    const { clock, circuit } = openCircuit();
    expect(circuit.attempt()).toBeDefined();
    clock.now += 29_999;
    expect(circuit.attempt()).toBeUndefined();
    clock.now += 1;
    const second = circuit.attempt();
    expect(second).toBeDefined();
    expect(circuit.attempt()).toBeUndefined();
    second?.succeed();
    expect(circuit.state).toBe('closed');
  });

  it('leaves the verdict to the one that was sent after it', () => {
    const { clock, circuit } = openCircuit();
    const first = circuit.attempt();
    clock.now += 30_000;
    using second = circuit.attempt();
    first?.fail(new Error('still away'));
    first?.[Symbol.dispose]();
    expect(circuit.state).toBe('half-open');
    expect(circuit.attempt()).toBeUndefined();
    second?.fail(new Error('still away'));
    expect(circuit.state).toBe('open');
  });

  it('is not waited for by a clock that was set back', () => {
    const { clock, circuit } = openCircuit();
    circuit.attempt();
    clock.now -= 3_600_000;
    expect(circuit.attempt()).toBeDefined();
  });
});
