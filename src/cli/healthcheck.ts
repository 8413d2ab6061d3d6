/** `healthcheck`: asks the mirror that runs with this configuration whether it is ready, for a container's supervisor. */
import { CONFIG_OPTION, type Command } from './command.ts';
import { ownUrl } from './endpoint.ts';
import { EXIT, reasonOf } from './errors.ts';

const TIMEOUT_MS = 5000;

export const HEALTHCHECK: Command = {
  name: 'healthcheck',
  summary: 'ask the running mirror whether it is ready',
  options: CONFIG_OPTION,
  run: async (_given, { screen, loadConfig }) => {
    const url = ownUrl((await loadConfig()).admin.listen);
    try {
      const response = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
      screen.write(`${await response.text()}\n`);
      return response.ok ? EXIT.success : EXIT.failure;
    } catch (error) {
      screen.write(`no answer from ${url.replace('http://', '')}: ${reasonOf(error)}\n`);
      return EXIT.failure;
    }
  },
};
