import type { Kind, Target } from '../load/job.ts'
import type { Load } from '../load/load.ts'
import type { OwnGateway } from './own-gateway.ts'
import { type Started, startModule } from './process.ts'

const slowClientCount = 96

/** What a scenario runs against: a gateway of our own with all that is around it, or somebody else's. */
export class Bed {
  readonly target: Target
  readonly kinds: readonly Kind[]
  /** `null`: somebody else's. */
  readonly own: OwnGateway | null
  #slow: Started | null = null

  constructor(target: Target, kinds: readonly Kind[], own: OwnGateway | null) {
    this.target = target
    this.kinds = kinds
    this.own = own
  }

  /** The load is about to begin: reloads are told to it. */
  follow(load: Load): void {
    this.own?.follow(load)
  }

  letSlowClientsIn(): void {
    const path = this.own === null ? (this.kinds[0]?.path ?? '/') : '/open/large'
    const { host, port } = this.target
    this.#slow = startModule('bed/slow-client.js', [host, String(port), String(slowClientCount), path])
  }

  async sendSlowClientsAway(): Promise<void> {
    await this.#slow?.stop()
    this.#slow = null
  }

  /** Ends everything; the gateway's exit code, or the signal that it took. */
  async stop(): Promise<number | string | null> {
    await this.sendSlowClientsAway()
    return (await this.own?.stop()) ?? null
  }
}
