/** What changes what is there: `purge`, `pin`, `unpin`, `evict`, `scrub`, `check` and `offline`. */
import type { PurgeView } from '../admin/views.ts';
import { formatSize, parseBytes } from '../lib/units.ts';
import type { PurgeBody } from './admin-client.ts';
import {
  API_OPTIONS,
  DETACH_OPTION,
  JSON_OPTION,
  type Command,
  type Given,
  type Session,
} from './command.ts';
import { EXIT, RefusedError, UsageError } from './errors.ts';
import { runJob } from './follow-job.ts';
import { formatCount, formatJson, printable } from './format.ts';

export const PURGE: Command = {
  name: 'purge',
  summary: 'remove references, a repository or everything from the cache',
  argument: { name: 'REFERENCE', isOptional: true, isMultiple: true },
  options: {
    repository: { value: 'NAME', summary: 'all of that repository' },
    all: { summary: 'everything' },
    yes: { short: 'y', summary: 'do not ask' },
    ...JSON_OPTION,
    ...API_OPTIONS,
  },
  details: ['With --json, an array with an entry for each of what was purged.'],
  run: async (given, session) => {
    const requests = purgesOf(given);
    if (!given.has('yes')) await confirm(requests, session);
    const api = await session.api();
    return forEach(given, session, requests, nameOf, (request) => api.purge(request), describePurge);
  },
};

export const PIN: Command = {
  name: 'pin',
  summary: 'never evict what these references need; a tag keeps its pin when it moves',
  argument: { name: 'REFERENCE', isMultiple: true },
  options: { ...JSON_OPTION, ...API_OPTIONS },
  run: async (given, session) => {
    const api = await session.api();
    return forEach(
      given,
      session,
      given.arguments,
      String,
      (reference) => api.pin(reference),
      (pin) => {
        const held = pin.isHeld ? `${formatSize(pin.bytes)} in the cache` : 'not in the cache yet';
        return `${printable(pin.reference)}: pinned, ${held}`;
      },
    );
  },
};

export const UNPIN: Command = {
  name: 'unpin',
  summary: 'let what was pinned be evicted again',
  argument: { name: 'REFERENCE', isMultiple: true },
  options: { ...API_OPTIONS },
  run: async (given, session) => {
    const api = await session.api();
    const unpin = async (reference: string) => {
      await api.unpin(reference);
      return reference;
    };
    return forEach(
      given,
      session,
      given.arguments,
      String,
      unpin,
      (reference) => `${printable(reference)}: unpinned`,
    );
  },
};

export const EVICT: Command = {
  name: 'evict',
  summary: 'make room: the least recently used goes, and nothing that is pinned',
  argument: { name: 'BYTES', isOptional: true },
  options: { ...DETACH_OPTION, ...JSON_OPTION, ...API_OPTIONS },
  details: [
    'BYTES is how much has to go at least, as in 10GiB; without it, down to the low-water mark of the bound.',
  ],
  run: async (given, session) => {
    const bytes = bytesOf(given.arguments[0]);
    return runJob(
      given,
      session,
      (api) => api.evict(bytes),
      ({ evict }) => {
        if (!evict) return 'done';
        const gone = `${formatCount(evict.blobs, 'blob')}, ${formatCount(evict.manifests, 'manifest')}`;
        return `${formatSize(evict.freedBytes)} freed: ${gone}`;
      },
    );
  },
};

export const SCRUB: Command = {
  name: 'scrub',
  summary: 'read every blob again and hold it against its digest',
  options: { ...DETACH_OPTION, ...JSON_OPTION, ...API_OPTIONS },
  details: ['At the rate that is configured, which may take hours. Ctrl-C ends it; --detach lets it run.'],
  run: async (given, session) =>
    runJob(
      given,
      session,
      (api) => api.scrub(),
      ({ scrub }) => {
        if (!scrub) return 'done';
        const read = `${formatCount(scrub.scannedBlobs, 'blob')}, ${formatSize(scrub.scannedBytes)} read`;
        return scrub.corruptBlobs === 0
          ? `${read}: all of it is as it should be`
          : `${read}: ${scrub.corruptBlobs} corrupt, forgotten and fetched again when somebody wants them`;
      },
    ),
};

export const CHECK: Command = {
  name: 'check',
  summary: 'look through the whole index for corruption',
  options: { ...DETACH_OPTION, ...JSON_OPTION, ...API_OPTIONS },
  run: async (given, session) =>
    runJob(
      given,
      session,
      (api) => api.check(),
      () => 'the index is sound',
    ),
};

export const OFFLINE: Command = {
  name: 'offline',
  summary: 'serve from the cache alone, or ask upstreams again; without an argument, say which it is',
  argument: { name: 'STATE', isOptional: true, offers: ['on', 'off'] },
  options: { ...API_OPTIONS },
  details: ['Until it is switched back or the mirror is started anew.'],
  run: async (given, session) => {
    const api = await session.api();
    const [state] = given.arguments;
    if (state !== undefined) await api.setOffline(state === 'on');
    const { isOffline } = await api.state();
    session.screen.write(`${isOffline ? 'on' : 'off'}\n`);
    return EXIT.success;
  },
};

function purgesOf(given: Given): readonly PurgeBody[] {
  const repository = given.text('repository');
  const requests: PurgeBody[] = [
    ...given.arguments.map((reference) => ({ reference })),
    ...(repository === undefined ? [] : [{ repository }]),
    ...(given.has('all') ? [{ everything: true } as const] : []),
  ];
  const kinds = [given.arguments.length > 0, repository !== undefined, given.has('all')];
  if (kinds.filter(Boolean).length !== 1) {
    throw new UsageError(
      'say what to purge: references, --repository NAME or --all, and only one of these',
      'purge',
    );
  }
  return requests;
}

async function confirm(requests: readonly PurgeBody[], session: Session): Promise<void> {
  if (!session.ask) throw new UsageError('nobody can be asked here: say --yes', 'purge');
  const isAll = requests.some((request) => 'everything' in request);
  const answer = await session.ask(
    isAll
      ? 'This empties the whole cache. Type "all" to go on: '
      : `This removes ${requests.map(nameOf).join(', ')} from the cache. Go on? [y/N] `,
  );
  const isMeant = isAll ? answer.trim() === 'all' : /^y(es)?$/i.test(answer.trim());
  if (!isMeant) throw new Error('nothing was purged');
}

function nameOf(request: PurgeBody): string {
  if ('reference' in request) return printable(request.reference);
  return 'repository' in request ? `all of ${printable(request.repository)}` : 'everything';
}

function describePurge(purge: PurgeView, request: PurgeBody): string {
  const { freedBytes, tags, manifests, blobs, inUse } = purge;
  const gone = [formatCount(tags, 'tag'), formatCount(manifests, 'manifest'), formatCount(blobs, 'blob')];
  const kept = inUse.blobs > 0 ? `; ${formatSize(inUse.bytes)} are being read, and go later` : '';
  return `${nameOf(request)}: ${formatSize(freedBytes)} freed: ${gone.join(', ')}${kept}`;
}

/** All of them are tried, and it is said which the mirror refused. */
async function forEach<T, R>(
  given: Given,
  { screen, complain }: Session,
  items: readonly T[],
  name: (item: T) => string,
  act: (item: T) => Promise<R>,
  tell: (result: R, item: T) => string,
): Promise<number> {
  const results: R[] = [];
  let isWell = true;
  for (const item of items) {
    try {
      const result = await act(item);
      results.push(result);
      if (!given.has('json')) screen.write(`${tell(result, item)}\n`);
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      const [what, why] = [printable(name(item)), printable(error.message)];
      complain(why.includes(what) ? why : `${what}: ${why}`);
      isWell = false;
    }
  }
  if (given.has('json')) screen.write(`${formatJson(results)}\n`);
  return isWell ? EXIT.success : EXIT.failure;
}

function bytesOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  try {
    return parseBytes(text);
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new UsageError(`BYTES is a size such as 10GiB: ${cause.message}`, 'evict', { cause });
  }
}
