/** What every refusal has to be: the JSON of the OCI's distribution-spec ("Error Codes"), and never a challenge. */
import { expect } from 'vitest';
import { jsonOf, type Response } from './http.ts';

export function expectError(response: Response, status: number, code: string): void {
  expect({ status: response.status, body: jsonOf(response) }).toEqual({
    status,
    body: { errors: [expect.objectContaining({ code, message: expect.stringMatching(/\w/) as string })] },
  });
  expectErrorHeaders(response);
  expect(response.headers['content-length']).toBe(String(response.body.length));
}

/** To a HEAD: the same without the body. */
export function expectHeadError(response: Response, status: number): void {
  expect(response.status).toBe(status);
  expect(response.body).toHaveLength(0);
  expectErrorHeaders(response);
  expect(Number(response.headers['content-length'])).toBeGreaterThan(0);
}

function expectErrorHeaders({ headers }: Response): void {
  // The classic docker client reads the JSON of this very type only.
  expect(headers['content-type']).toBe('application/json');
  expect(headers['www-authenticate']).toBeUndefined();
  expect(headers['content-encoding']).toBeUndefined();
  expect(headers['docker-content-digest']).toBeUndefined();
  expect(headers.etag).toBeUndefined();
}
