/** Starts the page: finds out what it may do, makes its parts, and keeps them up to date from the event stream. */
/** @import { StateView } from '../admin/views.ts' */
import { Actions } from './actions.js';
import { createDownloads } from './activity.js';
import { Api } from './api.js';
import { createCatalog } from './catalog.js';
import { askToken, notify } from './dialogs.js';
import { part, replace } from './dom.js';
import { follow, retry } from './events.js';
import { createFigures } from './figures.js';
import { refreshTimes, setClock } from './format.js';
import { setupGuide } from './guide.js';
import { createHead, createTheme, showConnection } from './head.js';
import { createHistory } from './history.js';
import { createJobs } from './jobs.js';
import { createClients, createPins, createTroubles } from './lists.js';
import { askPrefetch } from './prefetch-form.js';
import { createUpkeep } from './upkeep.js';
import { createUpstreams } from './upstreams.js';

const REFRESH_MS = 15_000;

/** @param {Api} api */
function createPage(api) {
  /** @type {StateView | undefined} */
  let state;
  const actions = new Actions(api, () => quietly(refreshCached));
  const catalog = createCatalog(api, actions, () => state);
  const [pins, clients, traffic] = [createPins(api, actions), createClients(api), createHistory(api)];
  const refreshCached = () => Promise.all([catalog(), pins()]);
  const refreshAll = () => Promise.all([traffic(), clients(), catalog(true), pins()]);
  const showState = [createHead(actions), createFigures(), createUpkeep(actions)];
  const showUpstreams = createUpstreams();
  actions.bind(part('prefetch'), () => askPrefetch(actions));
  setInterval(() => {
    refreshTimes();
    if (!document.hidden && !document.body.classList.contains('stale')) quietly(refreshAll);
  }, REFRESH_MS);

  let cached = '';
  /** @param {StateView} next */
  const onState = (next) => {
    setClock(next.now);
    if (state?.registryUrl !== next.registryUrl) replace(part('guide'), setupGuide(next.registryUrl));
    state = next;
    for (const show of showState) show(next);
    showUpstreams(next.upstreams);
    const { blobs, manifests } = next.cache;
    const now = `${next.instance} ${blobs} ${manifests} ${next.traffic.sinceStart.requests}`;
    if (now !== cached) quietly(refreshAll);
    cached = now;
  };
  const handlers = {
    state: onState,
    downloads: createDownloads(),
    jobs: createJobs(actions),
    troubles: createTroubles(),
  };
  return follow(api, handlers, showConnection);
}

/** What fails by itself will be read again; the stream tells whether the mirror is there. @param {() => Promise<unknown>} work */
function quietly(work) {
  void work().catch(() => undefined);
}

/** Before anything else it must be known what is allowed here. */
async function start() {
  createTheme();
  const api = new Api(askToken);
  await retry(() => api.readAccess(), showConnection);
  await createPage(api);
}

window.addEventListener('unhandledrejection', ({ reason }) => {
  notify(reason instanceof Error ? reason.message : String(reason), 'bad');
});
await start();
