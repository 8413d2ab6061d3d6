/** The admin listener's application: liveness, readiness and metrics, apart from what clients can reach. */
import express, { type Express, type NextFunction, type Request, type Response } from 'express';

export interface AdminAppOptions {
  /** Resolves to what is wrong; empty when requests can be served. */
  readonly findFaults: () => Promise<readonly string[]>;
  readonly metrics: { readonly contentType: string; readonly render: () => Promise<string> };
}

export function createAdminApp({ findFaults, metrics }: AdminAppOptions): Express {
  const app = express();
  app.disable('x-powered-by');
  app.get('/healthz', (_request: Request, response: Response) => {
    response.json({ status: 'ok' });
  });
  app.get('/readyz', async (_request: Request, response: Response) => {
    const faults = await findFaults();
    response
      .status(faults.length === 0 ? 200 : 503)
      .json({ status: faults.length === 0 ? 'ok' : 'not ready', faults });
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
