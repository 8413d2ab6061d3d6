/** What can be wrong with an answer of upstream, and what may be wrong with which answer. */
import type { Reply } from '../../support/scripted-upstream-reply.ts';
import type { RecordedRequest } from '../../support/scripted-upstream-request.ts';

/** `at` is a share of the body, from 0 to 1. */
export type Fault =
  | { readonly kind: 'cut'; readonly by: 'fin' | 'rst'; readonly at: number }
  | { readonly kind: 'stall'; readonly at: number; readonly ms: number }
  | { readonly kind: 'drip'; readonly ms: number }
  | { readonly kind: 'delay'; readonly ms: number }
  | { readonly kind: 'no-range' }
  | { readonly kind: 'no-length' }
  /** Ends the connection instead of answering. */
  | { readonly kind: 'hang-up'; readonly by: 'fin' | 'rst' }
  | { readonly kind: 'silence'; readonly ms: number }
  | { readonly kind: 'flip'; readonly at: number }
  | { readonly kind: 'truncate'; readonly at: number }
  | { readonly kind: 'overlong'; readonly bytes: number }
  | { readonly kind: 'false-length'; readonly by: number }
  | { readonly kind: 'false-range' }
  | { readonly kind: 'false-type' }
  | { readonly kind: 'false-digest' }
  | { readonly kind: 'encoded' }
  | { readonly kind: 'page' }
  | { readonly kind: 'oversized' }
  | { readonly kind: 'status'; readonly status: number };

export type FaultKind = Fault['kind'];

/** An answer that upstream is about to give. */
export interface Upcoming {
  readonly request: RecordedRequest;
  readonly reply: Reply;
}

export function isBlobBody({ request, reply }: Upcoming): boolean {
  return request.method === 'GET' && reply.isRangeable === true && reply.status === 200;
}

/** A manifest of which the mirror knows the digest that it has to have. */
function isVerifiable({ request, reply }: Upcoming): boolean {
  const isByDigest = request.reference?.includes(':') === true;
  return request.kind === 'manifest' && request.method === 'GET' && isByDigest && reply.status === 200;
}

/** What can go wrong with that answer and still leave a mirror a chance to notice. */
export function faultsFor(upcoming: Upcoming): readonly FaultKind[] {
  const { request, reply } = upcoming;
  const any: readonly FaultKind[] = ['hang-up', 'silence', 'delay', 'status'];
  // A refusal stays one: upstream may fail, but it does not give out what it has just withdrawn.
  if (reply.status >= 400) return ['hang-up', 'delay'];
  if (isBlobBody(upcoming)) {
    const bodies: readonly FaultKind[] = [
      'cut',
      'stall',
      'drip',
      'no-range',
      'no-length',
      'flip',
      'truncate',
    ];
    return [...any, ...bodies, 'overlong', 'false-length', 'false-range', 'encoded', 'page'];
  }
  if (isVerifiable(upcoming)) {
    return [...any, 'cut', 'flip', 'truncate', 'false-type', 'false-digest', 'oversized', 'page', 'encoded'];
  }
  if (request.method === 'HEAD') return request.kind === 'manifest' ? [...any, 'page'] : any;
  return reply.body === undefined ? any : [...any, 'cut', 'truncate', 'page'];
}
