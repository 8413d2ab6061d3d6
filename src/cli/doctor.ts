/** `doctor`: looks at everything that has to be right for pulls to come from the cache, and says what to do where it is not. */
import type { StateView } from '../admin/views.ts';
import type { Config } from '../config/config.ts';
import type { AdminClient } from './admin-client.ts';
import { API_OPTIONS, type Command, type Given, type Session } from './command.ts';
import { examineDaemons } from './doctor-daemons.ts';
import { examineDataDirectory } from './doctor-disk.ts';
import { examineBound, examineState } from './doctor-state.ts';
import { examineUpstream } from './doctor-upstream.ts';
import { namedUrl } from './endpoint.ts';
import { EXIT, RefusedError, UnreachableError } from './errors.ts';
import { formatCount, formatJson, printable } from './format.ts';
import type { Finding } from './finding.ts';
import { paint, type Style } from './screen.ts';

const STYLES: Readonly<Record<Finding['result'], Style>> = {
  ok: 'green',
  skipped: 'dim',
  warning: 'yellow',
  failed: 'red',
};

export const DOCTOR: Command = {
  name: 'doctor',
  summary:
    'find out what is wrong: configuration, disk, clock, upstreams, and whether daemons use the mirror',
  options: {
    docker: {
      value: 'SOCKET',
      offers: 'files',
      summary:
        'the daemon that has to use the mirror; without it, the one of /var/run/docker.sock if it is there',
    },
    containerd: {
      value: 'DIRECTORY',
      offers: 'files',
      summary:
        'where containerd has its hosts.toml files; without it, /etc/containerd/certs.d if it is there',
    },
    podman: {
      value: 'FILE',
      offers: 'files',
      summary: 'the registries.conf that has to name the mirror; without it, /etc/containers/registries.conf',
    },
    json: { summary: 'print an array of {check, result, found, advice}' },
    ...API_OPTIONS,
  },
  details: [
    'Where --url or ENTREPOT_ADMIN_URL names a mirror, what is asked of this machine alone is left out.',
    'Upstreams are asked from this machine, and never for anything that counts as a pull.',
    'It exits with 4 where something failed; warnings do not count.',
  ],
  run: async (given, session) => {
    const findings: Finding[] = [];
    for await (const finding of examine(given, session)) {
      findings.push(finding);
      if (!given.has('json')) session.screen.write(formatFinding(finding, session));
    }
    const failed = findings.filter(({ result }) => result === 'failed').length;
    const warnings = findings.filter(({ result }) => result === 'warning').length;
    session.screen.write(
      given.has('json')
        ? `${formatJson(findings)}\n`
        : `${failed === 0 ? 'nothing is wrong' : `${failed} failed`}, ${formatCount(warnings, 'warning')}\n`,
    );
    return failed === 0 ? EXIT.success : EXIT.wrong;
  },
};

function formatFinding({ check, result, found, advice }: Finding, { screen }: Session): string {
  const mark = paint(screen, STYLES[result], result.padEnd(9));
  const lines = found.split('\n').map(printable);
  const told = advice === undefined ? [] : [`-> ${printable(advice)}`];
  return `${mark}${[`${check}: ${lines[0] ?? ''}`, ...lines.slice(1), ...told].join(`\n${' '.repeat(9)}`)}\n`;
}

async function* examine(given: Given, session: Session): AsyncIterable<Finding> {
  const isElsewhere = namedUrl(given, session.env) !== undefined;
  const config = isElsewhere ? undefined : await load(session);
  if (config instanceof Error) {
    yield {
      check: 'configuration',
      result: 'failed',
      found: config.message,
      advice: 'docs/configuration.md has every setting',
    };
    return;
  }
  const api = await session.api();
  const mirror = await askMirror(api);
  const state = mirror instanceof Error ? undefined : mirror;
  if (config) {
    yield { check: 'configuration', result: 'ok', found: 'it has no mistakes' };
    yield* examineDataDirectory(config, state?.cache.bytes ?? 0);
  }
  // What an upstream is asked here, it need not be said to have told the mirror.
  const asked = (config?.upstreams ?? []).filter(({ isDockerHub }) => isDockerHub).map(({ name }) => name);
  if (state) {
    yield* examineState(state, api.url, asked);
    if (!config) yield* examineBound(state);
  } else yield notRunning(mirror as Error, isElsewhere);
  for (const upstream of config?.upstreams ?? []) yield* examineUpstream(upstream, session.now);
  yield* examineDaemons(given, api, state);
}

/** ConfigError is what is looked for here. */
async function load({ loadConfig }: Session): Promise<Config | Error> {
  try {
    return await loadConfig();
  } catch (error) {
    if (error instanceof Error && error.name === 'ConfigError') return error;
    throw error;
  }
}

async function askMirror(api: AdminClient): Promise<StateView | Error> {
  try {
    return await api.state();
  } catch (error) {
    if (error instanceof RefusedError || error instanceof UnreachableError) return error;
    throw error;
  }
}

function notRunning(error: Error, isElsewhere: boolean): Finding {
  const advice =
    error instanceof RefusedError
      ? 'give it the token'
      : isElsewhere
        ? 'see whether it runs, and whether its admin.listen is an address that this machine reaches'
        : 'start it: entrepot serve';
  return { check: 'mirror', result: 'failed', found: error.message, advice };
}
