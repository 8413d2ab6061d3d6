/** Secrets where somebody looks who debugs: in dumps of the configuration, and in what the command prints of it. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { serialize } from 'node:v8';
import { describe, expect, it } from 'vitest';
import { formatConfig } from '../../src/config/describe-config.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { createLogger } from '../../src/telemetry/logger.ts';
import { Collector } from '../support/sinks.ts';
import { run } from '../support/command.ts';
import { tempDir } from '../support/temp-dir.ts';

const SECRETS = ['pass-9d1f', 'token-77ab', 'file-c03e'];
const yaml = (directory: string) => `
upstreams:
  - { url: https://one.example.com, username: robot, password: ${SECRETS[0]} }
  - { url: https://two.example.com, token: ${SECRETS[1]} }
  - { url: https://three.example.com, username: robot, passwordFile: ${join(directory, 'secret')} }
`;

describe('a secret of the configuration', () => {
  it('is in no dump of it, however deep', () => {
    const readFile = (path: string) => (path.endsWith('secret') ? SECRETS[2]! : yaml('/run'));
    const config = loadConfig({ env: {}, file: 'entrepot.yaml', readFile });
    const log = new Collector();
    createLogger({ level: 'info', isPretty: false, destination: log }).info({ config }, 'it');
    const dumps = [
      inspect(config, { depth: Infinity, showHidden: true, getters: true, showProxy: true }),
      JSON.stringify(config),
      inspect(structuredClone(config), { depth: Infinity }),
      serialize(config).toString('latin1'),
      config.upstreams.flatMap(({ credentials }) => Object.values(credentials ?? {}).map(String)).join(),
      formatConfig(config),
      log.bytes.toString(),
    ];
    for (const secret of SECRETS) {
      for (const dump of dumps) expect(dump).not.toContain(secret);
    }
    for (const dump of [dumps[0], dumps[1], dumps[5]]) expect(dump).toContain('***');
    // They were there to be leaked.
    const [one, two] = config.upstreams;
    expect(one.credentials).toHaveProperty('password');
    expect(two?.credentials).toHaveProperty('token');
  });

  it('is in nothing that the command prints of it, right or wrong', async () => {
    await using cwd = await tempDir();
    await writeFile(join(cwd.path, 'secret'), SECRETS[2]!);
    await writeFile(join(cwd.path, 'right.yaml'), yaml(cwd.path));
    // The commonest mistakes: the secret in the URL, in the user name, in a key that there is not.
    const mistakes = yaml(cwd.path)
      .replace('https://two', `https://robot:${SECRETS[1]}@two`)
      .replace('username: robot,', `username: "robot:${SECRETS[0]}",`)
      .replace('token:', 'tokens:');
    await writeFile(join(cwd.path, 'wrong.yaml'), mistakes);
    for (const [args, code, sign] of [
      [['config', '-c', 'right.yaml'], 0, '***'],
      [['config', '-c', 'wrong.yaml'], 1, '3 mistakes'],
      [['serve', '-c', 'wrong.yaml'], 1, '3 mistakes'],
    ] as const) {
      const exit = await run(args, { cwd: cwd.path });
      const printed = exit.stdout + exit.stderr;
      expect(exit.code === 0).toBe(code === 0);
      expect(printed).toContain(sign);
      for (const secret of SECRETS) expect(printed).not.toContain(secret);
    }
  });
});
