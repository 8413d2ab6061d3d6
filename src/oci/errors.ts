/**
 * The one error with a wire form: its OCI code, the HTTP status that goes with it, and the JSON body
 * (OCI distribution-spec v1.1.1, "Error Codes").
 */

const STATUS_OF_CODE = {
  BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_UNKNOWN: 404,
  DENIED: 403,
  DIGEST_INVALID: 400,
  MANIFEST_INVALID: 400,
  MANIFEST_UNKNOWN: 404,
  NAME_INVALID: 400,
  NAME_UNKNOWN: 404,
  // Not of the OCI list but of the Docker Registry v2 API, which names it for a bad `n`.
  PAGINATION_NUMBER_INVALID: 400,
  // Of the Docker Registry v2 API too.
  RANGE_INVALID: 416,
  TAG_INVALID: 400,
  TOOMANYREQUESTS: 429,
  UNAUTHORIZED: 401,
  // Not of the OCI list: Distribution's code for "not now, through no fault of yours".
  UNAVAILABLE: 503,
  UNKNOWN: 500,
  UNSUPPORTED: 405,
} as const;

export type ErrorCode = keyof typeof STATUS_OF_CODE;

/** Of RFC 9209, "The Proxy-Status HTTP Response Header Field", those that there is a use for. */
export type ProxyError = 'destination_unavailable' | 'http_protocol_error' | 'proxy_configuration_error';

export interface RegistryErrorOptions {
  readonly cause?: unknown;
  /** Anything that JSON can carry, for the `detail` member. */
  readonly detail?: unknown;
  /** Sent as `Retry-After`. */
  readonly retryAfterSeconds?: number | undefined;
  /** Only where the code's own status does not fit, as 404 for an endpoint that does not exist. */
  readonly status?: number;
  /** Where it is the upstream that failed: how, by the error types of RFC 9209, section 2.3. */
  readonly proxyError?: ProxyError;
}

export class RegistryError extends Error {
  readonly code: ErrorCode;
  readonly status: number;
  readonly detail: unknown;
  readonly retryAfterSeconds: number | undefined;
  readonly proxyError: ProxyError | undefined;

  constructor(code: ErrorCode, message: string, options: RegistryErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'RegistryError';
    this.code = code;
    this.status = options.status ?? STATUS_OF_CODE[code];
    this.detail = options.detail;
    this.retryAfterSeconds = options.retryAfterSeconds;
    this.proxyError = options.proxyError;
  }

  toWire(): { errors: readonly { code: string; message: string; detail?: unknown }[] } {
    const { code, message, detail } = this;
    return { errors: [detail === undefined ? { code, message } : { code, message, detail }] };
  }
}
