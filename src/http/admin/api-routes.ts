/** What can be asked of the admin API: each route with what it takes. docs/admin-api.yaml says the same to its users. */
import {
  PREFETCH_LIMITS,
  type Actions,
  type Administration,
  type Catalog,
  type Overview,
  type PurgeRequest,
} from '../../admin/administration.ts';
import type { JobView } from '../../admin/views.ts';
import {
  countIn,
  flagOf,
  invalid,
  optionalCountOf,
  optionalTextOf,
  textOf,
  textsOf,
  type Values,
} from './checks.ts';
import { accepted, done, json, type Route } from './route.ts';

export const API = '/api/v1';

const PAGE = { names: ['after', 'limit'], limits: { min: 1, max: 1000 }, limit: 100 } as const;
const MAX_STEP_SECONDS = 366 * 24 * 3600;
const DAY_SECONDS = 24 * 3600;
const EARLIEST = Date.UTC(2000);

export function apiRoutes({ overview, catalog, actions }: Administration, now: () => number): Route[] {
  return [...overviewRoutes(overview, now), ...catalogRoutes(catalog), ...actionRoutes(actions)];
}

function overviewRoutes(overview: Overview, now: () => number): Route[] {
  const read = { method: 'GET', access: 'read' } as const;
  return [
    { ...read, path: `${API}/state`, handle: json(() => overview.state()) },
    {
      ...read,
      path: `${API}/history`,
      query: ['from', 'step'],
      handle: json(({ query }) =>
        overview.history(
          momentOf(query, now()),
          countIn(query, 'step', { min: 1, max: MAX_STEP_SECONDS }, 60),
        ),
      ),
    },
    { ...read, path: `${API}/errors`, handle: json(() => overview.troubles()) },
    { ...read, path: `${API}/clients`, handle: json(() => overview.clients()) },
    { ...read, path: `${API}/downloads`, handle: json(() => overview.downloads()) },
  ];
}

function catalogRoutes(catalog: Catalog): Route[] {
  const read = { method: 'GET', access: 'read' } as const;
  return [
    {
      ...read,
      path: `${API}/repositories`,
      query: [...PAGE.names, 'search'],
      handle: json(({ query }) =>
        catalog.listRepositories({ ...pageOf(query), search: optionalTextOf(query, 'search') }),
      ),
    },
    {
      ...read,
      path: `${API}/tags`,
      query: [...PAGE.names, 'repository'],
      handle: json(({ query }) => catalog.listTags(textOf(query, 'repository'), pageOf(query))),
    },
    {
      ...read,
      path: `${API}/manifests`,
      query: [...PAGE.names, 'repository'],
      handle: json(({ query }) => catalog.listManifests(textOf(query, 'repository'), pageOf(query))),
    },
    {
      ...read,
      path: `${API}/manifest`,
      query: ['reference'],
      handle: json(({ query }) => catalog.manifest(textOf(query, 'reference'))),
    },
  ];
}

function actionRoutes(actions: Actions): Route[] {
  const read = { method: 'GET', access: 'read' } as const;
  const post = { method: 'POST', access: 'change' } as const;
  const remove = { method: 'DELETE', access: 'change' } as const;
  return [
    {
      ...post,
      path: `${API}/purge`,
      body: ['reference', 'repository', 'everything'],
      handle: json(({ body }) => actions.purge(purgeRequestOf(body))),
    },
    {
      ...read,
      path: `${API}/pins`,
      query: PAGE.names,
      handle: json(({ query }) => actions.listPins(pageOf(query))),
    },
    {
      ...post,
      path: `${API}/pins`,
      body: ['reference'],
      handle: json(({ body }) => actions.pin(textOf(body, 'reference'))),
    },
    {
      ...remove,
      path: `${API}/pins`,
      query: ['reference'],
      handle: done(({ query }) => actions.unpin(textOf(query, 'reference'))),
    },
    { ...read, path: `${API}/jobs`, handle: json(() => actions.jobs()) },
    { ...read, path: `${API}/jobs/{id}`, handle: json(({ id }) => actions.job(id)) },
    { ...remove, path: `${API}/jobs/{id}`, handle: json(({ id }) => actions.cancel(id)) },
    ...jobRoutes(actions),
    {
      method: 'PUT',
      access: 'change',
      path: `${API}/offline`,
      body: ['offline'],
      handle: done(({ body }) => actions.setOffline(flagOf(body, 'offline'))),
    },
  ];
}

function jobRoutes(actions: Actions): Route[] {
  const start = (name: string, names: readonly string[], begin: (body: Values) => JobView): Route => ({
    method: 'POST',
    access: 'change',
    path: `${API}/${name}`,
    body: names,
    handle: accepted(({ body }) => {
      const job = begin(body);
      return { at: `${API}/jobs/${encodeURIComponent(job.id)}`, body: job };
    }),
  });
  return [
    start('prefetch', ['references', 'platforms'], (body) => {
      const references = textsOf(body, 'references', PREFETCH_LIMITS.references);
      if (references.length === 0) throw invalid('"references" has to be a list of at least one');
      return actions.prefetch({
        references,
        platforms: textsOf(body, 'platforms', PREFETCH_LIMITS.platforms),
      });
    }),
    start('evict', ['bytes'], (body) =>
      actions.evict(optionalCountOf(body, 'bytes', { min: 1, max: Number.MAX_SAFE_INTEGER })),
    ),
    start('scrub', [], () => actions.scrub()),
    start('check', [], () => actions.check()),
  ];
}

function pageOf(query: Values) {
  return {
    after: optionalTextOf(query, 'after'),
    limit: countIn(query, 'limit', PAGE.limits, PAGE.limit),
  };
}

function purgeRequestOf(body: Values): PurgeRequest {
  if (Object.keys(body).length !== 1) {
    throw invalid('one of "reference", "repository" and "everything" is wanted');
  }
  if ('reference' in body) return { reference: textOf(body, 'reference') };
  if ('repository' in body) return { repository: textOf(body, 'repository') };
  if (body['everything'] !== true) throw invalid('"everything" has to be true');
  return { everything: true };
}

/** Of `from`: a time, or seconds before now; a day without it. */
function momentOf(query: Values, now: number): number {
  const text = optionalTextOf(query, 'from') ?? String(DAY_SECONDS);
  const isTime = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?:Z|[+-]\d\d:\d\d))?$/.test(text);
  const moment = isTime ? Date.parse(text) : /^\d{1,10}$/.test(text) ? now - Number(text) * 1000 : NaN;
  if (!(moment <= now)) {
    throw invalid('"from" has to be a time such as 2026-01-31T12:00:00Z, or seconds before now');
  }
  return Math.max(moment, EARLIEST);
}
