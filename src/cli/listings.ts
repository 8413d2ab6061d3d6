/** What is there, as lists: `ls`, `du`, `pins` and `jobs`. */
import type { JobView, PinView, RepositoryView, TagView } from '../admin/views.ts';
import { formatSize } from '../lib/units.ts';
import { API_OPTIONS, JSON_OPTION, type Command, type Session } from './command.ts';
import { EXIT, UsageError } from './errors.ts';
import { formatAge, formatCount, formatJson, formatSpan, printable, shortDigest } from './format.ts';
import { totalsOf } from './pull-progress.ts';
import { formatTable, type Column } from './table.ts';

export const LS: Command = {
  name: 'ls',
  summary: 'list the repositories in the cache, or the tags of one',
  argument: { name: 'REPOSITORY', isOptional: true },
  options: {
    search: { value: 'TEXT', summary: 'only repositories with that in their name' },
    ...JSON_OPTION,
    ...API_OPTIONS,
  },
  details: ['Sizes are of what is in the cache; what several share counts for each.'],
  run: async (given, session) => {
    const api = await session.api();
    const [repository] = given.arguments;
    const isJson = given.has('json');
    if (repository === undefined) {
      return list(session, isJson, await api.repositories(given.text('search')), repositoryColumns(session));
    }
    if (given.has('search')) throw new UsageError('--search is for the list of all repositories', 'ls');
    return list(session, isJson, await api.tags(repository), tagColumns(session));
  },
};

export const DU: Command = {
  name: 'du',
  summary: 'what takes how much of the disk, by repository, the largest first',
  options: { ...JSON_OPTION, ...API_OPTIONS },
  details: ['What several repositories share counts for each of them, and once in the total.'],
  run: async (given, session) => {
    const api = await session.api();
    const repositories = await api.repositories();
    const sorted = repositories.toSorted((one, other) => other.bytes - one.bytes);
    if (given.has('json')) return list(session, true, sorted, []);
    const { cache } = await api.state();
    list(session, false, sorted, usageColumns());
    session.screen.write(
      `${formatSize(cache.bytes)} in all, of at most ${formatSize(cache.maxBytes)}; ` +
        `${formatSize(cache.partialBytes)} of it half-downloaded\n`,
    );
    return EXIT.success;
  },
};

export const PINS: Command = {
  name: 'pins',
  summary: 'list what is pinned',
  options: { ...JSON_OPTION, ...API_OPTIONS },
  run: async (given, session) => {
    const api = await session.api();
    return list(session, given.has('json'), await api.pins(), [
      { title: 'REFERENCE', of: ({ reference }: PinView) => reference, shrinks: true },
      { title: 'SIZE', of: ({ bytes }) => formatSize(bytes), isRight: true },
      { title: 'CACHED', of: ({ isHeld }) => (isHeld ? 'yes' : 'no') },
    ]);
  },
};

export const JOBS: Command = {
  name: 'jobs',
  summary: 'list the jobs that run and the last of those that ended, or cancel one',
  options: {
    cancel: { value: 'ID', summary: 'end that one; what it has done stays done' },
    ...JSON_OPTION,
    ...API_OPTIONS,
  },
  run: async (given, session) => {
    const api = await session.api();
    const id = given.text('cancel');
    if (id === undefined) {
      return list(session, given.has('json'), await api.jobs(), jobColumns(session));
    }
    const job = await api.cancel(id);
    const said = given.has('json') ? formatJson(job) : `job ${printable(job.id)}: ${printable(job.state)}`;
    session.screen.write(`${said}\n`);
    return EXIT.success;
  },
};

function list<T>(
  session: Session,
  isJson: boolean,
  items: readonly T[],
  columns: readonly Column<T>[],
): number {
  const { screen } = session;
  screen.write(isJson ? `${formatJson(items)}\n` : formatTable(screen, columns, items));
  return EXIT.success;
}

function repositoryColumns({ now }: Session): readonly Column<RepositoryView>[] {
  const time = now();
  return [
    { title: 'REPOSITORY', of: ({ repository }) => repository, shrinks: true },
    { title: 'TAGS', of: ({ tags }) => String(tags), isRight: true },
    { title: 'MANIFESTS', of: ({ manifests }) => String(manifests), isRight: true },
    { title: 'SIZE', of: ({ bytes }) => formatSize(bytes), isRight: true },
    { title: 'SHARED', of: ({ sharedBytes }) => formatSize(sharedBytes), isRight: true },
    { title: 'USED', of: ({ lastUsedAt }) => formatAge(lastUsedAt, time) },
  ];
}

function tagColumns({ now }: Session): readonly Column<TagView>[] {
  const time = now();
  return [
    { title: 'TAG', of: ({ tag }) => tag, shrinks: true },
    { title: 'DIGEST', of: ({ digest }) => shortDigest(digest) },
    { title: 'SIZE', of: ({ bytes }) => formatSize(bytes), isRight: true },
    { title: 'USED', of: ({ lastUsedAt }) => formatAge(lastUsedAt, time) },
    { title: 'CHECKED', of: ({ checkedAt }) => formatAge(checkedAt, time) },
    { title: '', of: ({ isPinned }) => (isPinned ? 'pinned' : ''), style: () => 'cyan' },
    {
      title: 'PLATFORMS',
      of: ({ platforms, isHeld }) => (isHeld ? platforms.join(', ') : 'not in the cache'),
      style: ({ isHeld }) => (isHeld ? undefined : 'dim'),
    },
  ];
}

function usageColumns(): readonly Column<RepositoryView>[] {
  return [
    { title: 'SIZE', of: ({ bytes }) => formatSize(bytes), isRight: true },
    { title: 'SHARED', of: ({ sharedBytes }) => formatSize(sharedBytes), isRight: true },
    { title: 'ALONE', of: ({ bytes, sharedBytes }) => formatSize(bytes - sharedBytes), isRight: true },
    { title: 'BLOBS', of: ({ blobs }) => String(blobs), isRight: true },
    { title: 'REPOSITORY', of: ({ repository }) => repository },
  ];
}

function jobColumns({ now }: Session): readonly Column<JobView>[] {
  const time = now();
  return [
    { title: 'ID', of: ({ id }) => id },
    { title: 'KIND', of: ({ kind }) => kind },
    {
      title: 'STATE',
      of: ({ state }) => state,
      style: ({ state }) => (state === 'failed' ? 'red' : state === 'running' ? 'cyan' : undefined),
    },
    { title: 'STARTED', of: ({ startedAt }) => formatAge(startedAt, time) },
    {
      title: 'TOOK',
      of: ({ startedAt, endedAt }) =>
        formatSpan((endedAt === undefined ? time : Date.parse(endedAt)) - Date.parse(startedAt)),
      isRight: true,
    },
    { title: 'DETAILS', of: detailsOf },
  ];
}

function detailsOf(job: JobView): string {
  if (job.error !== undefined) return job.error;
  if (job.prefetch) {
    const { fetchedBytes, wantedBytes } = totalsOf(job);
    const names = job.prefetch.map(({ reference }) => reference).join(', ');
    return `${formatSize(fetchedBytes)} of ${formatSize(wantedBytes)}: ${names}`;
  }
  if (job.evict) return `${formatSize(job.evict.freedBytes)} freed`;
  if (job.purge) return `${formatSize(job.purge.freedBytes)} freed`;
  if (!job.scrub) return '';
  const { scannedBlobs, corruptBlobs } = job.scrub;
  return `${formatCount(scannedBlobs, 'blob')} read, ${corruptBlobs} corrupt`;
}
