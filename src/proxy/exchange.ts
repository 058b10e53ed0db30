import { RequestContext } from '../core/context.ts'
import type { HeaderList } from '../core/headers.ts'
import type { Downstream } from './downstream.ts'
import { attemptFailed, resumeUpload } from './forward.ts'
import type { HeadText } from './head.ts'
import { onInterim, onResponseData, onResponseEnd, onResponseHead } from './respond.ts'
import type { Match } from './router/trie.ts'
import type { Route, Snapshot } from './snapshot.ts'
import type { Attempt, AttemptFailure, OutgoingRequest, ResponseHead, ResponseSink } from './upstream/client.ts'
import type { Target } from './upstream/upstream.ts'

/** Where a request is; decides what running out of time means. */
export type Phase = 'access' | 'upload' | 'waiting' | 'streaming' | 'done'

/** Who accepted the request and hears when it is over. */
export interface Accepting {
  /** New answers close their connection: the worker goes away. */
  readonly draining: boolean
  release(exchange: Exchange): void
}

/**
 * One request and its answer on their way through the gateway: the context that plugins share, and what only the
 * proxy needs. One object a request, all fields always there, so that its hidden class never changes.
 *
 * It is the sink of its own upstream attempt: the client calls it without a closure in between.
 */
export class Exchange extends RequestContext implements ResponseSink {
  readonly downstream: Downstream
  readonly snapshot: Snapshot
  readonly acceptor: Accepting
  route: Route
  match: Match<Route> | null = null

  phase: Phase = 'access'
  /** `performance.now()` times at which the phase, and the whole request, have taken too long; Infinity: never. */
  deadline = Infinity
  totalDeadline = Infinity
  /** Place in the table of exchanges in flight. */
  slot = -1

  // ── Request body (body.ts)

  /** The last byte came from the client (also when there was none to come). */
  bodyReceived = true
  /** Body bytes that came before there was an attempt to give them to. */
  bodyHeld: Uint8Array[] | null = null
  /** Copies of the body bytes that the attempt has, as long as they are few: for another one. */
  bodyKept: Uint8Array[] | null = null
  /** Body bytes were handed to an attempt and not kept: they can't be sent again. */
  bodyTaken = false
  uploadPaused = false

  /** The `Via` of the request (fields.ts). */
  via = ''

  // ── Attempt (forward.ts)

  outgoing: OutgoingRequest | null = null
  attempt: Attempt | null = null
  /** The target of the current attempt, and all that were tried when there were several. */
  chosen: Target | null = null
  tried: Target[] | null = null

  // ── Answer (respond.ts)

  /** Head bytes went out: the status can't change any more. */
  begun = false
  interimSent = false
  /** A head that waits for the first piece of its body (respond.ts). */
  heldHead: HeadText | null = null
  /** Bytes of the body being streamed; -1 unknown. */
  totalLength = -1
  /** Body bytes that the client's socket did not take yet (known length only), and their offset in the body. */
  unsent: Uint8Array | null = null
  unsentAt = 0
  /** The client reads slower than the upstream sends: the upstream is paused. */
  stalled = false
  stallWatched = false

  constructor(downstream: Downstream, snapshot: Snapshot, acceptor: Accepting) {
    super()
    this.downstream = downstream
    this.snapshot = snapshot
    this.acceptor = acceptor
    this.route = snapshot.unrouted
  }

  onInterim(status: number, headers: Readonly<HeaderList>): void {
    onInterim(this, status, headers)
  }

  onHead(head: ResponseHead, body: Uint8Array | null, complete: boolean): void {
    onResponseHead(this, head, body, complete)
  }

  onData(chunk: Uint8Array): void {
    onResponseData(this, chunk)
  }

  onEnd(): void {
    onResponseEnd(this)
  }

  onFailure(failure: AttemptFailure): void {
    attemptFailed(this, failure)
  }

  onDrain(): void {
    resumeUpload(this)
  }
}
