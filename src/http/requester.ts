/** Who asks over HTTP, for what may have to wait on their behalf. */
import type { Response } from 'express';
import { SinkClosedError } from '../lib/outlet.ts';
import type { Requester } from '../repository/repository.ts';
import { recordOf } from './request-record.ts';

export class HttpRequester implements Requester {
  readonly client: string;
  readonly #response: Response;
  #left: AbortSignal | undefined;

  constructor(response: Response) {
    this.client = recordOf(response).client ?? '';
    this.#response = response;
  }

  /** Made when it is wanted: what is in the cache waits for nothing. */
  get left(): AbortSignal {
    this.#left ??= leavingOf(this.#response);
    return this.#left;
  }
}

function leavingOf(response: Response): AbortSignal {
  const leaving = new AbortController();
  const leave = () => leaving.abort(new SinkClosedError());
  if (response.destroyed) leave();
  else response.once('close', leave);
  return leaving.signal;
}
