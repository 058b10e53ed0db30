import type { RejectionCode } from '../../core/errors.ts'
import type { HeaderList } from '../../core/headers.ts'

/** Fields that are made once for many requests. */
export interface SharedFields {
  readonly headers: Readonly<HeaderList>
  /** The same as lines, each with its line end before it: `\r\nname: value\r\nname: value`. */
  readonly block: string
}

/** What one attempt sends. The same object serves a retry. */
export interface OutgoingRequest {
  readonly method: string
  /** Origin-form request target: path and query (RFC 9112 §3.2.1). */
  readonly target: string
  /** Value of the Host field. */
  readonly host: string
  /** All further end-to-end fields; no `host`, `content-length`, `transfer-encoding`, `connection`, `expect`. */
  readonly headers: Readonly<HeaderList>
  /** Fields behind these that many requests have in common; `null`: none. */
  readonly shared: SharedFields | null
  /** Body bytes that follow by `Attempt.write`: 0 none, -1 unknown (the client frames them as chunked). */
  readonly bodyLength: number
  /** Milliseconds that opening a connection may take, waiting for a free one included. */
  readonly connectTimeout: number
}

/**
 * Head of a response, without hop-by-hop fields, those that `Connection` names, framing, `date` and `x-request-id`
 * (the gateway sends its own).
 *
 * Instances are shared by all responses that carry the same head bytes: copy `headers` before changing them. They
 * are not frozen: a `slice()` of a frozen array costs 70 times as much (native-notes/socket-client.md).
 */
export interface ResponseHead {
  readonly status: number
  /** Names lower-case, values one character per byte (latin1). */
  readonly headers: Readonly<HeaderList>
  /** Value of Content-Length, also where no body follows (HEAD, 304); -1 when the length is not known beforehand. */
  readonly contentLength: number
  /** `200 OK\r\nname: value\r\n…`, without a CRLF at the end: what the listener writes when no step changes the head. */
  readonly block: string
  /** No byte ≥ 0x80 in `block`. */
  readonly ascii: boolean
}

/** Why an attempt failed. `onFailure` ends it: nothing follows. */
export interface AttemptFailure {
  readonly code: RejectionCode
  /** For the log: an errno or a parser's word. Holds no address. */
  readonly detail: string
  /** Not a byte of the request has left: any request may be tried again, on any target. */
  readonly unsent: boolean
  /** A reused connection ended before a byte of the response came: it was probably stale (RFC 9112 §9.3.1). */
  readonly stale: boolean
}

/**
 * Receives what an attempt brings. No callback runs inside `UpstreamClient.start`. After `onFailure`, after `onEnd`,
 * after `complete`, and after `Attempt.abort` none comes any more.
 *
 * A chunk is only valid during the callback: its memory is the read buffer of the connection. Copy what must stay.
 */
export interface ResponseSink {
  /** An interim response other than 100: `103 Early Hints` (RFC 8297). May come several times before the head. */
  onInterim(status: number, headers: Readonly<HeaderList>): void
  /**
   * The head of the final response, with the body bytes that are already there (or `null`). `complete` says that the
   * response ends with them; then `onEnd` does not come.
   */
  onHead(head: ResponseHead, body: Uint8Array | null, complete: boolean): void
  onData(chunk: Uint8Array): void
  onEnd(): void
  onFailure(failure: AttemptFailure): void
  /** The request body may go on after `write` returned false. */
  onDrain(): void
}

/** One request on its way. */
export interface Attempt {
  /** Sends body bytes; copies what can't go out at once. False: wait for `onDrain` before the next one. */
  write(chunk: Uint8Array): boolean
  /** The request body is complete. Not called when `bodyLength` is 0. */
  end(): void
  /** Stops and restarts reading the response, so that a slow client never fills memory. */
  pause(): void
  resume(): void
  /** Gives up: the connection is destroyed unless the exchange was over. The upstream sees an incomplete request. */
  abort(): void
}

export interface ClientStats {
  /** Connections that are open, of these idle, and requests that wait for one. */
  readonly open: number
  readonly idle: number
  readonly waiting: number
  /** Connections opened since the start. */
  readonly opened: number
}

/** The connections to one target. */
export interface UpstreamClient {
  /** Begins an attempt. `fresh` demands a connection of its own, opened now: the retry of a stale one. */
  start(request: OutgoingRequest, sink: ResponseSink, fresh: boolean): Attempt
  stats(): ClientStats
  /** Closes idle connections now and the others when they have finished. */
  close(): void
}

export interface ClientSettings {
  /** Host name or IP address, and port. */
  readonly host: string
  readonly port: number
  /** Most connections at once. */
  readonly maxConnections: number
  /** Most requests waiting for a connection; one more fails with `upstream_overloaded`. */
  readonly maxWaiting: number
  /** Idle connections are closed after this many milliseconds (well below the upstream's own limit). */
  readonly idleTimeout: number
  /** Idle connections kept at most. */
  readonly maxIdle: number
  /** A connection is closed after this many requests; 0: never. */
  readonly maxRequests: number
  /** Most bytes that a response head may have. */
  readonly maxHeadSize: number
  /** Most requests without an answer on one connection; 1: no pipelining. */
  readonly pipelining: number
  /** Null for `http:` targets. */
  readonly tls: ClientTls | null
  /** Speak HTTP/2 where the target offers it (undici only). */
  readonly http2: boolean
}

/** Paths are absolute; contents are read when the client is made. */
export interface ClientTls {
  /** Name for SNI and verification. */
  readonly serverName: string
  readonly verify: boolean
  readonly ca: string | null
  readonly cert: string | null
  readonly key: string | null
}
