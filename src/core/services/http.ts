/** How a service outside (an identity provider, an authorization service) is called. */
export interface HttpSettings {
  /** Absolute, `http:` or `https:`; every call goes to exactly this URL. */
  readonly url: string
  /** Milliseconds for the whole call, from the wait for a connection to the last byte of the body. */
  readonly timeout: number
  readonly tls: {
    readonly verify: boolean
    /** Name to ask for and to verify; `null`: the host of the URL. */
    readonly server_name: string | null
    /** Absolute paths of PEM files. */
    readonly ca: string | null
    readonly cert: string | null
    readonly key: string | null
  }
  /** Per process. What is beyond waits, as many again, and then fails with `overloaded`. */
  readonly max_connections: number
  /**
   * After `max_failures` failures in a row nothing is sent for `cooldown` milliseconds; then one call tries. An answer of
   * 500 and above counts as a failure. 0: never.
   */
  readonly breaker: { readonly max_failures: number; readonly cooldown: number }
  /** Most bytes of an answer's body. */
  readonly max_body: number
}

export interface HttpCall {
  readonly method: string
  /** Flat, lower-case names, one character per byte. Without `host` and `content-length`. */
  readonly headers: readonly string[]
  readonly body?: string
}

export interface HttpAnswer {
  readonly status: number
  /** Flat, lower-case names, one character per byte. */
  readonly headers: readonly string[]
  /** Read as UTF-8. */
  readonly body: string
}

/**
 * A service outside. Calls never reject: what goes wrong is a value. Any final status counts as an answer; redirects are
 * answers and not followed.
 */
export interface HttpService {
  call(request: HttpCall): Promise<HttpAnswer | HttpFault>
}

/** Why there is no answer. `detail` is for logs and names no secret. */
export class HttpFault {
  /**
   * `connect`: no connection, for whatever reason (name, address, TLS). `broken`: it ended or made no sense before the answer
   * was complete. The last two: nothing was sent.
   */
  readonly kind: 'connect' | 'timeout' | 'broken' | 'too_large' | 'breaker_open' | 'overloaded'
  readonly detail: string

  constructor(kind: HttpFault['kind'], detail: string) {
    this.kind = kind
    this.detail = detail
  }
}

export interface HttpServices {
  /** The same settings give the same service: its connections and its breaker are shared. */
  open(settings: HttpSettings): HttpService
}
