/**
 * The admin listener's application: liveness, readiness and metrics, the admin API and the web page over it, apart from
 * what clients of the registry can reach.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import express, { type NextFunction, type Request, type Response } from 'express';
import { AdminError, type Administration } from '../admin/administration.ts';
import { Access, type AccessOptions } from './admin/access.ts';
import { API, apiRoutes } from './admin/api-routes.ts';
import { readBody, readQuery } from './admin/checks.ts';
import { EventStream, type Pace } from './admin/event-stream.ts';
import { PAGE_DIRECTORY, StaticPage } from './admin/page.ts';
import { AdminRefusal } from './admin/refusal.ts';
import { json, type Route } from './admin/route.ts';
import { sendBytes, sendJson } from './responses.ts';

export interface AdminAppOptions {
  /** Resolves to why requests can't be served here; empty when they can. */
  readonly findFaults: () => Promise<readonly string[]>;
  /** Resolves to what is wrong while they can: a disk that takes nothing, for pulls go straight through then. */
  readonly findWarnings: () => Promise<readonly string[]>;
  readonly metrics: { readonly contentType: string; readonly render: () => Promise<string> };
  /** What the API shows and does. */
  readonly administration: Administration;
  readonly access: AccessOptions;
  /** Hears of what failed in here, which whoever asked is not told. */
  readonly onError: (error: unknown) => void;
  readonly now?: () => number;
  /** Where the files of the page are, if not where they are built. */
  readonly pageDirectory?: string;
  readonly pace?: Partial<Pace>;
}

export function createAdminApp(options: AdminAppOptions): RequestListener {
  const access = new Access(options.access);
  const page = new StaticPage(options.pageDirectory ?? PAGE_DIRECTORY);
  const app = express();
  app.disable('x-powered-by');
  app.enable('case sensitive routing');
  app.enable('strict routing');
  app.use((_request: Request, response: Response, next: NextFunction) => {
    response.setHeader('Cache-Control', 'no-store');
    response.setHeader('X-Content-Type-Options', 'nosniff');
    next();
  });
  const routes = Map.groupBy(adminRoutes(options, access), ({ path }) => path);
  for (const [path, methods] of routes) {
    app.all(path.replace('{id}', ':id'), (request: Request, response: Response) =>
      answer(methods, access, request, response),
    );
  }
  app.use(async (request: Request, response: Response) => {
    if (await page.answer(request, response)) return;
    throw new AdminRefusal(404, `there is nothing here; try /, /healthz, /readyz, /metrics or ${API}/state`);
  });
  // Express knows an error handler by its four parameters.
  app.use((error: unknown, request: Request, response: Response, _next: NextFunction) =>
    sendError(error, request, response, options.onError),
  );
  return app;
}

/** All that there is but the page. */
export function adminRoutes(options: AdminAppOptions, access = new Access(options.access)): readonly Route[] {
  const { administration, metrics, onError, now = Date.now, pace } = options;
  const { overview, actions } = administration;
  const events = new EventStream({ overview, actions, onError, pace });
  return [
    {
      method: 'GET',
      path: '/healthz',
      access: 'anyone',
      handle: json(() => ({ status: 'ok' })),
    },
    {
      method: 'GET',
      path: '/readyz',
      access: 'anyone',
      handle: ({ request, response }) => sendReadiness(options, request, response),
    },
    {
      method: 'GET',
      path: '/metrics',
      access: 'anyone',
      handle: async ({ request, response }) => {
        const bytes = Buffer.from(await metrics.render());
        response.setHeader('Content-Type', metrics.contentType);
        sendBytes(request, response, bytes);
      },
    },
    {
      method: 'GET',
      path: `${API}/access`,
      access: 'open',
      handle: json(({ request }) => access.view(request)),
    },
    ...apiRoutes(administration, now),
    {
      method: 'GET',
      path: `${API}/events`,
      access: 'read',
      handle: ({ request, response }) => events.join(request, response),
    },
  ];
}

async function sendReadiness(
  { findFaults, findWarnings }: AdminAppOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const [faults, warnings] = await Promise.all([findFaults(), findWarnings()]);
  // Degraded is ready: out of rotation it would send every node to the upstream by itself.
  const status = faults.length > 0 ? 'not ready' : warnings.length > 0 ? 'degraded' : 'ok';
  sendJson(request, response, faults.length > 0 ? 503 : 200, { status, faults, warnings });
}

/** @param routes of the path that is asked for */
async function answer(
  routes: readonly Route[],
  access: Access,
  request: Request,
  response: Response,
): Promise<void> {
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  const route = routes.find((known) => known.method === method);
  if (!route) {
    const allowed = routes.flatMap((known) => (known.method === 'GET' ? ['GET', 'HEAD'] : [known.method]));
    throw new AdminRefusal(405, `${request.method} is not for this; try ${allowed.join(', ')}`, {
      headers: { Allow: allowed.join(', ') },
    });
  }
  if (route.access !== 'anyone') await access.check(request, route.access);
  const { id = '' } = request.params as { readonly id?: string };
  await route.handle({
    ...{ request, response, id },
    query: route.access === 'anyone' ? {} : readQuery(request, route.query ?? []),
    body: route.body ? await readBody(request, response, route.body) : {},
  });
}

const STATUS_OF: Readonly<Record<AdminError['kind'], number>> = { invalid: 400, unknown: 404, conflict: 409 };

function sendError(
  error: unknown,
  request: IncomingMessage,
  response: ServerResponse,
  onError: (error: unknown) => void,
): void {
  // An event stream says so by its end.
  if (response.headersSent) {
    onError(error);
    response.destroy();
    return;
  }
  if (error instanceof AdminRefusal || error instanceof AdminError) {
    const isRefusal = error instanceof AdminRefusal;
    if (isRefusal) response.setHeaders(new Map(Object.entries(error.headers)));
    sendJson(request, response, isRefusal ? error.status : STATUS_OF[error.kind], { error: error.message });
  } else if (error instanceof URIError) {
    sendJson(request, response, 404, { error: 'there is nothing here' });
  } else {
    onError(error);
    sendJson(request, response, 500, { error: 'the mirror failed; its log has the reason' });
  }
}
