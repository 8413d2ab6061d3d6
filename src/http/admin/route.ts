/** A route of the admin listener, and the forms that its answers have. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { sendJson } from '../responses.ts';
import type { Values } from './checks.ts';

export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** As OpenAPI has it: `/api/v1/jobs/{id}`. HEAD works wherever GET does. */
  readonly path: string;
  /** `anyone`: not even the Host header matters. */
  readonly access: 'anyone' | 'open' | 'read' | 'change';
  /** The parameters that may stand in its query; without it any, unread. */
  readonly query?: readonly string[];
  /** The members that its JSON object may have; without it no body is read. */
  readonly body?: readonly string[];
  readonly handle: (asked: Asked) => void | Promise<void>;
}

export interface Asked {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Of the path. */
  readonly id: string;
  readonly query: Values;
  readonly body: Values;
}

export function json(answer: (asked: Asked) => unknown): Route['handle'] {
  return async (asked) => sendJson(asked.request, asked.response, 200, await answer(asked));
}

/** For what goes on: where to look after it. */
export function accepted(begin: (asked: Asked) => { readonly at: string; readonly body: unknown }) {
  return (asked: Asked): void => {
    const { at, body } = begin(asked);
    asked.response.setHeader('Location', at);
    sendJson(asked.request, asked.response, 202, body);
  };
}

export function done(act: (asked: Asked) => void | Promise<void>): Route['handle'] {
  return async (asked) => {
    await act(asked);
    asked.response.statusCode = 204;
    asked.response.end();
  };
}
