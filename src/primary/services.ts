import type { Config } from '../config/schema.ts'
import type { PrimaryLink } from '../core/messages.ts'
import type { Instruments } from '../core/services/instruments.ts'
import type { Log } from '../telemetry/logger.ts'
import { KeySetFetcher } from './key-sets.ts'

/** What there is once per node, for the services of all workers. */
export class NodeServices {
  readonly #keySets: KeySetFetcher

  constructor(link: PrimaryLink, log: Log, instruments: Instruments) {
    this.#keySets = new KeySetFetcher(link, log, instruments)
  }

  /** A configuration is in force, or about to be. */
  configure(_config: Config): void {}

  async close(): Promise<void> {
    this.#keySets.close()
  }

  /** For the admin port's status. */
  status(): object {
    return { key_sets: this.#keySets.status() }
  }
}
