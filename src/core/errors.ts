/**
 * The catalogue: every answer that the gateway gives by itself because something is wrong. One table, so that codes
 * are stable, documented (README) and never made up at the place of the fault. A rejection is a value: steps and
 * the proxy return it, nothing on the request path throws it.
 */

/** Whose fault it was: the client's, the gateway's (or its operator's), the upstream's. */
export type Source = 'downstream' | 'gateway' | 'upstream'

export interface Rejection {
  /** Stable, snake_case: stands in the answer's body, in the access log and in metrics. */
  readonly code: string
  readonly status: number
  readonly source: Source
  /** For people. Holds no address, token or configuration value. */
  readonly message: string
  /** Extra response fields, e.g. `['retry-after', '42']`. */
  readonly headers: readonly string[]
  /** Whether the connection is closed behind the answer: what follows on it can't be trusted, or must not come. */
  readonly close: boolean
  /** More detail for the access log only, or `null`; `code` is logged in any case. */
  readonly detail: string | null
  /** The JSON body up to the request id, serialised beforehand: a flood of refusals costs no `JSON.stringify`. */
  readonly body: string
}

interface Entry {
  status: number
  source: Source
  message: string
  close?: true
}

const catalogue = {
  // 400: what is malformed or ambiguous never reaches a route.
  bad_method: { status: 400, source: 'downstream', message: 'The method is not a valid token.', close: true },
  bad_path: {
    status: 400,
    source: 'downstream',
    message: 'The path holds characters or encodings that are not allowed.',
    close: true,
  },
  ambiguous_path: {
    status: 400,
    source: 'downstream',
    message: 'The path can be read in more than one way.',
    close: true,
  },
  bad_host: { status: 400, source: 'downstream', message: 'Exactly one valid Host field is required.', close: true },
  bad_header: { status: 400, source: 'downstream', message: 'A header field is malformed.', close: true },
  bad_content_length: {
    status: 400,
    source: 'downstream',
    message: 'The Content-Length is malformed or ambiguous.',
    close: true,
  },
  bad_transfer_encoding: {
    status: 400,
    source: 'downstream',
    message: 'The Transfer-Encoding is not supported or ambiguous.',
    close: true,
  },

  credentials_missing: { status: 401, source: 'downstream', message: 'Credentials are required.' },
  credentials_invalid: { status: 401, source: 'downstream', message: 'The credentials are not valid.' },

  ip_forbidden: { status: 403, source: 'gateway', message: 'Your address is not allowed here.' },
  access_denied: { status: 403, source: 'downstream', message: 'You are not allowed to do this.' },

  route_not_found: { status: 404, source: 'downstream', message: 'No route matches this request.' },
  method_not_allowed: { status: 405, source: 'downstream', message: 'The method is not allowed for this path.' },
  method_not_supported: {
    status: 405,
    source: 'downstream',
    message: 'The gateway does not serve this method.',
    close: true,
  },

  request_body_timeout: {
    status: 408,
    source: 'downstream',
    message: 'The request body took too long to arrive.',
    close: true,
  },
  length_required: { status: 411, source: 'downstream', message: 'A Content-Length is required.' },
  body_too_large: { status: 413, source: 'downstream', message: 'The request body is too large.' },
  uri_too_long: { status: 414, source: 'downstream', message: 'The request target is too long.', close: true },
  unsupported_media_type: { status: 415, source: 'downstream', message: 'The content type is not accepted here.' },
  expectation_failed: { status: 417, source: 'downstream', message: 'The expectation cannot be met.' },
  headers_too_large: { status: 431, source: 'downstream', message: 'The header fields are too large.', close: true },
  rate_limit_exceeded: { status: 429, source: 'downstream', message: 'Too many requests.' },

  internal_error: { status: 500, source: 'gateway', message: 'The gateway failed to handle the request.' },
  plugin_failed: { status: 500, source: 'gateway', message: 'The gateway failed to handle the request.' },

  upstream_connection_refused: { status: 502, source: 'upstream', message: 'The upstream could not be reached.' },
  upstream_connection_closed: {
    status: 502,
    source: 'upstream',
    message: 'The upstream closed the connection before it answered.',
  },
  upstream_bad_response: { status: 502, source: 'upstream', message: 'The upstream sent an invalid response.' },
  upstream_response_too_large: {
    status: 502,
    source: 'upstream',
    message: 'The upstream sent a response head that is too large.',
  },
  upstream_name_not_resolved: { status: 502, source: 'upstream', message: 'The upstream could not be found.' },
  upstream_tls_failed: { status: 502, source: 'upstream', message: 'The secure connection to the upstream failed.' },
  upstream_body_broken: {
    status: 502,
    source: 'upstream',
    message: 'The upstream broke off in the middle of its response.',
  },

  no_healthy_target: { status: 503, source: 'upstream', message: 'No target of the upstream is available.' },
  upstream_overloaded: { status: 503, source: 'gateway', message: 'Too many requests are waiting for the upstream.' },
  auth_unavailable: { status: 503, source: 'gateway', message: 'Credentials cannot be checked at the moment.' },
  auth_overloaded: { status: 503, source: 'gateway', message: 'Too many credentials are being checked.' },
  limits_unavailable: { status: 503, source: 'gateway', message: 'Limits cannot be checked at the moment.' },

  plugin_timeout: { status: 504, source: 'gateway', message: 'A plugin took too long.' },
  upstream_connect_timeout: { status: 504, source: 'upstream', message: 'Connecting to the upstream took too long.' },
  upstream_response_timeout: { status: 504, source: 'upstream', message: 'The upstream took too long to answer.' },
  upstream_body_timeout: { status: 504, source: 'upstream', message: 'The upstream stopped sending its response.' },
  request_timeout: { status: 504, source: 'gateway', message: 'The request took longer than its total time limit.' },
} satisfies Record<string, Entry>

/** A code of the catalogue. */
export type RejectionCode = keyof typeof catalogue

const none: readonly string[] = Object.freeze([])

/** Every rejection, ready to be returned. */
export const rejections = Object.freeze(
  Object.fromEntries(
    Object.entries(catalogue as Record<string, Entry>).map(([code, { status, source, message, close }]) => [
      code,
      Object.freeze({
        code,
        status,
        source,
        message,
        headers: none,
        close: close === true,
        detail: null,
        body: bodyOf(code, message),
      }),
    ]),
  ),
) as { readonly [code in RejectionCode]: Rejection }

/** A rejection of the catalogue with fields, words or detail of its own. Made at compile where that is possible. */
export function reject(
  code: RejectionCode,
  change: Partial<Pick<Rejection, 'message' | 'status' | 'headers' | 'detail' | 'close'>>,
): Rejection {
  const message = change.message ?? rejections[code].message
  return { ...rejections[code], ...change, body: bodyOf(code, message) }
}

function bodyOf(code: string, message: string): string {
  return `{"error":"${code}","message":${JSON.stringify(message)},"request_id":"`
}
