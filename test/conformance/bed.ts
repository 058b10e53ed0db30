import { type RunningGateway, startGateway } from '../support/gateway.ts'
import { type ArrivedRequest, RawUpstream } from '../support/raw-upstream.ts'
import { call, Wire } from '../support/wire.ts'

/** What became of some bytes. */
export interface Outcome {
  /** Status of the first answer; 0: none came. */
  readonly status: number
  /** Catalogue code in its body; null: the front end answered by itself, or nobody did. */
  readonly code: string | null
  /** Whether the gateway closed the connection. */
  readonly closed: boolean
  /** What the upstream saw of it, and of anything that was smuggled along. */
  readonly arrived: readonly ArrivedRequest[]
}

/** A gateway before an upstream that answers at once, whatever it is asked. */
export class ConformanceBed {
  readonly upstream: RawUpstream
  readonly gateway: RunningGateway

  private constructor(upstream: RawUpstream, gateway: RunningGateway) {
    this.upstream = upstream
    this.gateway = gateway
  }

  static async start(): Promise<ConformanceBed> {
    const upstream = await RawUpstream.start()
    const gateway = await startGateway(
      {
        access_log: 'off',
        listeners: [{ address: '127.0.0.1:0' }, { address: '127.0.0.1:0', path_policy: 'reject' }],
        limits: { body_size: '1mb' },
        routes: [{ name: 'any', paths: ['/*'], upstream: 'raw' }],
        upstreams: [{ name: 'raw', targets: [{ target: upstream.target }] }],
      },
      { workers: 1 },
    )
    return new ConformanceBed(upstream, gateway)
  }

  /** Ports by path policy. */
  port(policy: 'normalize' | 'reject' = 'normalize'): number {
    return Number(this.gateway.addresses[policy === 'normalize' ? 0 : 1]?.split(':').at(-1))
  }

  async stop(): Promise<void> {
    await this.gateway.dispose()
    await this.upstream.stop()
  }

  /**
   * Sends bytes (one per character) over a connection of their own. After an answer a further, proper request is sent:
   * that it is answered tells that the connection is open, and that what came before it is over. Waits for either as
   * long as it takes.
   */
  async send(bytes: string | readonly string[], policy: 'normalize' | 'reject' = 'normalize'): Promise<Outcome> {
    const before = this.upstream.requests.length
    const wire = await Wire.open(this.port(policy))
    for (const part of typeof bytes === 'string' ? [bytes] : bytes) {
      wire.send(part)
      await new Promise((resolve) => setImmediate(resolve))
    }
    const answer = await wire.response(String(bytes).startsWith('HEAD') ? 'HEAD' : 'GET')
    let closed = true
    if (answer !== null) {
      wire.request('GET /sentinel')
      closed = (await wire.response()) === null
    }
    wire.close()
    // Whatever the gateway made of the bytes has left it by the time that this one is answered.
    await call(this.port(), 'GET /sentinel')
    const arrived = this.upstream.requests.slice(before).filter(({ target }) => target !== '/sentinel')
    return { status: answer?.status ?? 0, code: codeOf(answer?.body), closed, arrived }
  }
}

function codeOf(body: string | undefined): string | null {
  try {
    const { error } = JSON.parse(body ?? '') as { error?: unknown }
    return typeof error === 'string' ? error : null
  } catch {
    return null
  }
}
