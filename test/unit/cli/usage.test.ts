import { describe, expect, it } from 'vitest';
import { COMMANDS } from '../../../src/cli/command-table.ts';
import { EXIT_CODES } from '../../../src/cli/errors.ts';
import type { Option } from '../../../src/cli/command.ts';
import { runLine } from '../../support/command-line.ts';

describe('help', () => {
  it('lists every command and every exit code', async () => {
    const { code, stdout } = await runLine(['--help'], undefined);
    expect(code).toBe(0);
    for (const { name } of COMMANDS) expect(stdout).toMatch(new RegExp(`^ {2}${name}\\b.* `, 'm'));
    for (const { summary } of COMMANDS) expect(stdout).toContain(summary);
    for (const [exit, meaning] of EXIT_CODES)
      expect(stdout).toMatch(new RegExp(`^ {2}${exit} +${meaning}$`, 'm'));
  });

  it.each(COMMANDS)(
    '$name --help has every option, and is the same as help $name',
    async ({ name, options }) => {
      const { code, stdout } = await runLine([name, '--help'], undefined);
      expect(code).toBe(0);
      expect(stdout).toContain(`Usage: entrepot ${name}`);
      for (const [option, { summary }] of Object.entries(options)) {
        expect(stdout).toContain(`--${option}`);
        expect(stdout).toContain(summary);
      }
      expect(await runLine(['help', name], undefined)).toMatchObject({ stdout });
    },
  );
});

describe('help on a terminal', () => {
  it.each([['--help'], ['help', 'pull']])('keeps within its width: %s', async (...args) => {
    const { stdout } = await runLine(args, undefined, { columns: 100 });
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(100);
    const whole = (await runLine(args, undefined)).stdout;
    expect(stdout.replaceAll(/\s+/g, ' ')).toBe(whole.replaceAll(/\s+/g, ' '));
  });
});

describe('the table of commands', () => {
  it('has no option that means one thing here and another there', () => {
    const seen = new Map<string, Option>();
    for (const [name, option] of COMMANDS.flatMap(({ options }) => Object.entries(options))) {
      const { short, value, isMultiple } = seen.get(name) ?? option;
      seen.set(name, option);
      expect({ name, short, value, isMultiple }).toEqual({
        ...{ name, short: option.short, value: option.value, isMultiple: option.isMultiple },
      });
    }
    const shorts = [...seen].flatMap(([, { short }]) => short ?? []);
    expect(new Set(shorts).size).toBe(shorts.length);
  });
});

describe('wrong usage', () => {
  it.each([
    [['statsu'], 'did you mean status?'],
    [['status', 'now'], 'too many arguments: now'],
    [['status', '--josn'], 'there is no option --josn; did you mean --json?'],
    [['evict', '-5'], 'there is no option -5'],
    [['pull'], 'REFERENCE is missing'],
    [['ls', 'a', 'b'], 'too many arguments: b'],
    [['client-config', 'docker'], 'KIND is one of dockerd'],
    [['completion'], 'SHELL is missing'],
    [['status', '--token-file', '/no/such/file'], '--token-file'],
    [['ls', 'a', '--search', 'b'], '--search'],
    [['help', 'nothing-like-it'], 'there is no command'],
    [['a\x1b[31mb'], 'a\\u001b[31mb'],
  ])('%j is told in a line, with where to look, and exits with 2', async (args, text) => {
    const { code, stdout, stderr } = await runLine(args, 'http://127.0.0.1:1');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^entrepot: /);
    expect(stderr).toContain(text);
    expect(stderr).toMatch(/\nTry: entrepot (\S+ )?--help\n$/);
    expect(stderr).not.toContain('\x1b');
  });

  it('takes options before the command, and their values for no command', async () => {
    const { code, stderr } = await runLine(['--url', 'http://127.0.0.1:1', 'status'], undefined);
    expect(code).toBe(3);
    expect(stderr).toContain('http://127.0.0.1:1');
  });
});
