/** What an upstream's failure means to our client: an upstream's fault is not the client's, and never a 401. */
import { ContentMismatchError, SpoolFailedError } from '../blobs/spool.ts';
import { RegistryError } from '../oci/errors.ts';
import { UpstreamError } from '../upstream/upstream.ts';

/**
 * Never 401: that would make clients send us their credentials for someone else (dockerd hands Docker Hub's to whoever challenges).
 * @param subject what was asked for, as `the manifest library/alpine:3`
 */
export function asRegistryError(error: UpstreamError, subject: string): RegistryError {
  const options = { cause: error, retryAfterSeconds: error.retryAfterSeconds };
  switch (error.failure) {
    case 'denied':
      // Docker Hub answers the same for what is private and for what does not exist.
      return new RegistryError(
        'DENIED',
        `upstream denies access to ${subject}, or does not know it`,
        options,
      );
    case 'rate-limited':
      return new RegistryError(
        'TOOMANYREQUESTS',
        `upstream's pull limit is reached: ${subject} is not cached`,
        { ...options, proxyError: 'destination_unavailable' },
      );
    case 'misconfigured':
      return new RegistryError(
        'UNAVAILABLE',
        `the mirror's own account at upstream fails; ${subject} is not cached`,
        { ...options, proxyError: 'proxy_configuration_error' },
      );
    case 'offline':
      return new RegistryError('UNAVAILABLE', `the mirror is offline and ${subject} is not cached`, {
        ...options,
        proxyError: 'destination_unavailable',
      });
    case 'unreachable':
      return new RegistryError('UNAVAILABLE', `upstream can't be reached and ${subject} is not cached`, {
        ...options,
        proxyError: 'destination_unavailable',
      });
    case 'protocol':
      return new RegistryError('UNAVAILABLE', `upstream sent no valid answer for ${subject}`, {
        ...options,
        status: 502,
        proxyError: 'http_protocol_error',
      });
  }
}

/** Does the work; an UpstreamError of it becomes what the client is told. @param subject see {@link asRegistryError} */
export async function translating<T>(subject: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof UpstreamError ? asRegistryError(error, subject) : error;
  }
}

/** What broke a transfer may be upstream's doing, told by the spool file. */
export function asUpstreamError(error: unknown): never {
  const reason = error instanceof SpoolFailedError ? error.cause : error;
  if (reason instanceof ContentMismatchError)
    throw new UpstreamError('protocol', reason.message, { cause: reason });
  throw reason instanceof UpstreamError ? reason : error;
}

/** Failures of the moment: what is cached may be served instead. `denied` is an answer, not a failure. */
export function allowsStale(error: UpstreamError): boolean {
  return error.failure !== 'denied';
}
