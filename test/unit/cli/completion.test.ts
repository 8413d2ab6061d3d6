import { execFileSync, spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { COMMANDS } from '../../../src/cli/command-table.ts';
import { runLine } from '../../support/command-line.ts';
import { tempDir } from '../../support/temp-dir.ts';

async function scriptFor(shell: string): Promise<string> {
  const { code, stdout } = await runLine(['completion', shell], undefined);
  expect(code).toBe(0);
  return stdout;
}

/** What bash would offer behind those words. */
async function offered(...words: readonly string[]): Promise<readonly string[]> {
  const asked = [
    await scriptFor('bash'),
    `COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')})`,
    `COMP_CWORD=${words.length - 1}`,
    '_entrepot',
    'printf "%s\\n" "${COMPREPLY[@]}"',
  ].join('\n');
  return execFileSync('bash', ['--norc', '-c', asked], { encoding: 'utf8' }).trim().split('\n');
}

describe('completion in bash', () => {
  it('offers the commands, and all of them', async () => {
    expect(await offered('entrepot', '')).toEqual(COMMANDS.map(({ name }) => name));
    expect(await offered('entrepot', 'pu')).toEqual(['pull', 'purge']);
  });

  it('offers the options of the command', async () => {
    expect(await offered('entrepot', 'pull', 'alpine', '--p')).toEqual(['--platform']);
    expect(await offered('entrepot', 'status', '--p')).toEqual(['']);
    expect(await offered('entrepot', '--config', 'x', 'evict', '--d')).toEqual(['--detach']);
  });

  it('offers what an argument may be', async () => {
    expect(await offered('entrepot', 'offline', '')).toEqual(['on', 'off']);
    expect(await offered('entrepot', 'client-config', '--json', 'c')).toEqual(['containerd']);
  });

  it('offers files where an option wants one, and nothing where it wants a text', async () => {
    expect(await offered('entrepot', 'status', '--config', '/etc/pass')).toContain('/etc/passwd');
    expect(await offered('entrepot', 'status', '--url', '')).toEqual(['']);
  });

  it('offers the same behind an equals sign, and names with spaces in one piece', async () => {
    await using directory = await tempDir();
    const file = join(directory.path, 'two words');
    await writeFile(file, '');
    expect(await offered('entrepot', 'status', '--config', file.slice(0, -2))).toEqual([file]);
    expect(await offered('entrepot', 'status', '--config', '=', file.slice(0, -2))).toEqual([file]);
    expect(await offered('entrepot', 'status', '--config', '=')).not.toEqual(['']);
    expect(await offered('entrepot', '--config', '=', file, 'evict', '--d')).toEqual(['--detach']);
  });
});

describe('completion in other shells', () => {
  it.each(['zsh', 'fish'])('has a line in %s for every command and option', async (shell) => {
    const script = await scriptFor(shell);
    for (const { name, options } of COMMANDS) {
      expect(script).toContain(name);
      for (const option of Object.keys(options)) {
        expect(script).toContain(shell === 'fish' ? `-l ${option}` : `--${option}`);
      }
    }
  });

  it.each(['zsh', 'fish'])('is a script that %s reads, where that is installed', async (shell) => {
    expect(runShell(shell, ['-n', '-c', await scriptFor(shell)]) ?? '').toBe('');
  });

  it('completes at its first call where zsh loads it from its fpath', async () => {
    await using directory = await tempDir();
    await writeFile(join(directory.path, '_entrepot'), await scriptFor('zsh'));
    const lines = [
      `fpath=(${directory.path})`,
      'autoload -Uz _entrepot',
      '_describe() { print -r -- $commands }',
      "words=(entrepot '') CURRENT=2",
      '_entrepot',
    ];
    expect(runShell('zsh', ['-f', '-c', lines.join('\n')]) ?? 'status:').toContain('status:');
  });

  it('offers commands and options in fish', async () => {
    const script = await scriptFor('fish');
    const ask = (line: string) => runShell('fish', ['-N', '-c', `${script}\ncomplete -C '${line}'`]);
    expect(ask('entrepot pu') ?? 'pull\t\npurge\t').toMatch(/^pull\t.*\npurge\t/);
    expect(ask('entrepot --he') ?? '--help').toContain('--help');
    expect(ask('entrepot offline ') ?? 'off\non\n').toBe('off\non\n');
  });
});

/** What it prints; undefined where it is not installed: on a machine of one's own the other tests have to do. */
function runShell(shell: string, args: readonly string[]): string | undefined {
  const { error, status, stdout, stderr } = spawnSync(shell, args, { encoding: 'utf8' });
  if ((error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT' && !process.env['CI']) return undefined;
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return stdout;
}
