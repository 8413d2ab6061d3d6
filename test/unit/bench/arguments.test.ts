/** What the benchmark's command line takes and refuses. */
import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { parseCommand, UsageError, type Known } from '../../../bench/support/arguments.ts';

const known: Known = { scenarios: ['warm', 'cold'], peers: ['entrepot', 'nginx'] };
const parse = (...args: string[]) => parseCommand(args, known);

test('without options all scenarios are measured five times', () => {
  expect(parse()).toEqual({
    kind: 'run',
    options: { isShort: false, rounds: 5 },
    out: resolve('bench/results'),
  });
});

test('the short run has one round, unless it is told how many', () => {
  expect(parse('--short')).toMatchObject({ options: { isShort: true, rounds: 1 } });
  expect(parse('--short', '--rounds', '3')).toMatchObject({ options: { isShort: true, rounds: 3 } });
});

test('scenarios and peers are chosen by name, in the order given', () => {
  expect(parse('--only', 'cold,warm', '--peers=nginx,entrepot')).toMatchObject({
    options: { only: ['cold', 'warm'], peers: ['nginx', 'entrepot'] },
  });
});

test('the report goes where it is told to', () => {
  expect(parse('--out', 'docs')).toMatchObject({ out: resolve('docs') });
});

test('help and the list go before everything else', () => {
  expect(parse('--help', '--rounds', 'many')).toEqual({ kind: 'help' });
  expect(parse('--list')).toEqual({ kind: 'list' });
});

test.each([
  ['an unknown scenario', ['--only', 'warm,hot'], /no scenario "hot"; there are: warm, cold/],
  ['an unknown peer', ['--peers', 'apache'], /no peer "apache"/],
  ['no rounds at all', ['--rounds', '0'], /--rounds takes/],
  ['half a round', ['--rounds', '1.5'], /--rounds takes/],
  ['an unknown option', ['--fast'], /--fast/],
  ['a word too many', ['warm'], /warm/],
])('%s is wrong usage', (_what, args, message) => {
  expect(() => parse(...args)).toThrow(UsageError);
  expect(() => parse(...args)).toThrow(message);
});
