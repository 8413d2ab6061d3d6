/** The admin listener's application: liveness, readiness and metrics, apart from what clients can reach. */
import express, { type Express, type NextFunction, type Request, type Response } from 'express';

export interface AdminAppOptions {
  /** Resolves to why requests can't be served here; empty when they can. */
  readonly findFaults: () => Promise<readonly string[]>;
  /** Resolves to what is wrong while they can: a disk that takes nothing, for pulls go straight through then. */
  readonly findWarnings: () => Promise<readonly string[]>;
  readonly metrics: { readonly contentType: string; readonly render: () => Promise<string> };
}

export function createAdminApp({ findFaults, findWarnings, metrics }: AdminAppOptions): Express {
  const app = express();
  app.disable('x-powered-by');
  app.get('/healthz', (_request: Request, response: Response) => {
    response.json({ status: 'ok' });
  });
  app.get('/readyz', async (_request: Request, response: Response) => {
    const [faults, warnings] = await Promise.all([findFaults(), findWarnings()]);
    // Degraded is ready: out of rotation it would send every node to the upstream by itself.
    const status = faults.length > 0 ? 'not ready' : warnings.length > 0 ? 'degraded' : 'ok';
    response.status(faults.length > 0 ? 503 : 200).json({ status, faults, warnings });
  });
  app.get('/metrics', async (_request: Request, response: Response) => {
    const body = await metrics.render();
    response.setHeader('Content-Type', metrics.contentType);
    response.end(body);
  });
  app.use((_request: Request, response: Response) => {
    response.status(404).json({ error: 'there is nothing here; try /healthz, /readyz or /metrics' });
  });
  // Whoever is let in here may read what is wrong. Express knows an error handler by its four parameters.
  app.use((error: Error, _request: Request, response: Response, _next: NextFunction) => {
    response.status(500).json({ error: error.message });
  });
  return app;
}
