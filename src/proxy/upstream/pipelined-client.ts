import type { Attempt, ClientSettings, ClientStats, OutgoingRequest, ResponseSink, UpstreamClient } from './client.ts'
import { Pipeline, type PipelinePool } from './pipeline.ts'
import type { Resolver } from './resolver.ts'
import { SocketAttempt } from './socket-attempt.ts'
import { idleTime, SocketClient } from './socket-client.ts'
import { type Swept, sweep } from './sweep.ts'

/**
 * HTTP/1.1 to one `http:` target that is trusted to keep answers in order: requests without a body that are safe to repeat are
 * pipelined, up to `settings.pipelining` on a connection. All others, and those that a pipeline has failed, go the usual way.
 */
export function createPipelinedClient(settings: ClientSettings, resolver: Resolver): UpstreamClient {
  return new PipelinedClient(settings, resolver)
}

class PipelinedClient implements UpstreamClient, PipelinePool, Swept {
  readonly settings: ClientSettings
  readonly resolver: Resolver
  readonly cache
  private readonly plain: SocketClient
  private readonly most: number
  private readonly open = new Set<Pipeline>()
  private idle: Pipeline[] = []
  /** Takes the requests of this turn. */
  private filling: Pipeline | null = null
  private touched: Pipeline[] = []
  /** Most requests in a line: halved when some had to leave one, growing again while none has. */
  private depth: number
  private strandedSince = false
  private openedCount = 0
  private closed = false

  constructor(settings: ClientSettings, resolver: Resolver) {
    this.settings = settings
    this.resolver = resolver
    this.depth = settings.pipelining
    // Half of the connections each, so that together they keep to the limit.
    this.most = settings.maxConnections >> 1
    this.plain = new SocketClient({ ...settings, maxConnections: settings.maxConnections - this.most }, resolver)
    this.cache = this.plain.cache
  }

  start(request: OutgoingRequest, sink: ResponseSink, fresh: boolean): Attempt {
    if (fresh || request.bodyLength !== 0 || !isRepeatable(request.method) || this.closed) {
      return this.plain.start(request, sink, fresh)
    }
    const pipeline = this.filling !== null && this.filling.length < this.depth ? this.filling : this.fill(request)
    if (pipeline === null) return this.plain.start(request, sink, fresh)
    const attempt = new SocketAttempt(request, sink, false, this.plain)
    pipeline.add(attempt)
    return attempt
  }

  stats(): ClientStats {
    const { open, idle, waiting, opened } = this.plain.stats()
    return {
      open: open + this.open.size,
      idle: idle + this.idle.length,
      waiting,
      opened: opened + this.openedCount,
    }
  }

  close(): void {
    this.closed = true
    this.plain.close()
    const { idle } = this
    this.idle = []
    for (const pipeline of idle) pipeline.destroy()
  }

  emptied(pipeline: Pipeline): void {
    if (this.closed || this.idle.length >= this.settings.maxIdle) return pipeline.destroy()
    pipeline.idle = true
    pipeline.expiresAt = sweep.now + idleTime(pipeline.idleHint, this.settings.idleTimeout)
    this.idle.push(pipeline)
  }

  gone(pipeline: Pipeline): void {
    this.open.delete(pipeline)
    if (pipeline === this.filling) this.filling = null
    if (!pipeline.idle) return
    const index = this.idle.indexOf(pipeline)
    if (index !== -1) this.idle.splice(index, 1)
  }

  strand(attempts: readonly SocketAttempt[], late: boolean): void {
    if (late && !this.strandedSince) {
      this.strandedSince = true
      this.depth = Math.max(1, this.depth >> 1)
    }
    for (const attempt of attempts) this.plain.carry(attempt)
  }

  sweep(now: number): boolean {
    if (!this.strandedSince && this.depth < this.settings.pipelining) this.depth++
    this.strandedSince = false
    for (const pipeline of this.open) {
      if (!pipeline.idle) pipeline.sweep(now)
      else if (pipeline.expiresAt <= now) pipeline.destroy()
    }
    return this.open.size !== 0
  }

  /** Another pipeline for the requests of this turn; `null` when there can be none. */
  private fill({ connectTimeout }: OutgoingRequest): Pipeline | null {
    let pipeline = this.idle.pop()
    if (pipeline === undefined) {
      if (this.open.size >= this.most) return null
      pipeline = new Pipeline(this)
      this.open.add(pipeline)
      this.openedCount++
      sweep.add(this)
      pipeline.open(connectTimeout)
    }
    this.filling = pipeline
    if (!pipeline.touched) {
      pipeline.touched = true
      if (this.touched.push(pipeline) === 1) setImmediate(flushAll, this)
    }
    return pipeline
  }

  /** The turn is over. */
  flush(): void {
    const { touched } = this
    this.touched = []
    this.filling = null
    for (const pipeline of touched) pipeline.flush()
  }
}

function flushAll(client: PipelinedClient): void {
  client.flush()
}

/** Methods that change nothing (RFC 9110 §9.2.1): sent twice, nobody is the worse for it. */
function isRepeatable(method: string): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS'
}
