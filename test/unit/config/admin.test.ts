import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { ConfigError, type Config } from '../../../src/config/config.ts';
import { describeConfig, formatConfig } from '../../../src/config/describe-config.ts';
import { loadConfig } from '../../../src/config/load-config.ts';
import { Secret } from '../../../src/lib/secret.ts';

const TOKEN = 'correct-horse-battery-staple';
const FILES: Readonly<Record<string, string>> = {
  '/run/token': `${TOKEN}\n`,
  '/run/short': 'hunter2\n',
  '/run/two': `${TOKEN}\n${TOKEN}\n`,
};

function load(env: Record<string, string>): Config {
  return loadConfig({
    env,
    readFile(path) {
      const text = FILES[path];
      if (text === undefined) throw new Error('ENOENT');
      return text;
    },
  });
}

function mistakesOf(env: Record<string, string>): readonly string[] {
  try {
    load(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.mistakes;
    throw error;
  }
  return [];
}

describe('the token of the admin listener', () => {
  it('is a text, which shows up nowhere', () => {
    const config = load({ ENTREPOT_ADMIN_TOKEN: TOKEN });
    expect(config.admin.token instanceof Secret && config.admin.token.reveal()).toBe(TOKEN);
    expect(describeConfig(config)).toMatchObject({ admin: { listen: '127.0.0.1:5001', token: '***' } });
    for (const text of [formatConfig(config), JSON.stringify(config), inspect(config, { depth: null })]) {
      expect(text).not.toContain(TOKEN);
    }
  });

  it('or a file that has one now, and may have another later', () => {
    const config = load({ ENTREPOT_ADMIN_TOKEN_FILE: '/run/token' });
    expect(config.admin.token).toEqual({ file: '/run/token' });
    expect(describeConfig(config)).toMatchObject({ admin: { tokenFile: '/run/token' } });
  });

  it.each([
    [{ ENTREPOT_ADMIN_TOKEN: 'fifteen-letters' }, 'ENTREPOT_ADMIN_TOKEN is "***" (it has less than 16'],
    [{ ENTREPOT_ADMIN_TOKEN: 'two words are not one token' }, 'it has a space'],
    [{ ENTREPOT_ADMIN_TOKEN: 'ein-schlüssel-mit-umlaut' }, 'not of ASCII'],
    [{ ENTREPOT_ADMIN_TOKEN_FILE: '/run/short' }, 'ENTREPOT_ADMIN_TOKEN_FILE is "/run/short" (it has less'],
    [{ ENTREPOT_ADMIN_TOKEN_FILE: '/run/two' }, 'it has a space'],
    [{ ENTREPOT_ADMIN_TOKEN_FILE: '/run/none' }, "it can't be read"],
    [
      { ENTREPOT_ADMIN_TOKEN: TOKEN, ENTREPOT_ADMIN_TOKEN_FILE: '/run/token' },
      'ENTREPOT_ADMIN_TOKEN_FILE goes against ENTREPOT_ADMIN_TOKEN: keep one of the two',
    ],
  ])('is none as %j', (env, mistake) => {
    expect(mistakesOf(env)).toEqual([expect.stringContaining(mistake)]);
    expect(mistakesOf(env).join()).not.toMatch(/hunter2|fifteen|correct-horse|schl/);
  });
});
