import type { RevocationKind, Revocations } from '../core/services/revocations.ts'
import type { ServiceHost } from './host.ts'
import type { RevocationChange, RevocationReceipt } from './revocation-message.ts'

/** A worker's copy of the list that the primary keeps. */
export class RevokedCredentials implements Revocations {
  generation = 0
  /** When each is forgotten, in milliseconds since the epoch; Infinity: never. */
  readonly #expiries: Readonly<Record<RevocationKind, Map<string, number>>> = {
    jti: new Map(),
    sub: new Map(),
    token: new Map(),
    key: new Map(),
    consumer: new Map(),
  }
  /** Of those that are meant for what was issued before a moment: that moment. */
  readonly #cutoffs = new Map<string, number>()

  constructor({ link }: Pick<ServiceHost, 'link'>) {
    link.on('revocations', (body) => {
      const change = body as RevocationChange
      this.#take(change)
      const receipt: RevocationReceipt = { id: change.id, pid: process.pid }
      link.send('revocations', receipt)
    })
  }

  has(kind: RevocationKind, value: string, issuedAt = 0): boolean {
    const expiry = this.#expiries[kind].get(value)
    if (expiry === undefined || expiry <= Date.now()) return false
    if (this.#cutoffs.size === 0) return true
    const cutoff = this.#cutoffs.get(cutoffKey(kind, value))
    return cutoff === undefined || issuedAt < cutoff
  }

  #take({ added, removed }: RevocationChange): void {
    for (const [kind, value, expires, before] of added) {
      this.#expiries[kind].set(value, expires === 0 ? Infinity : expires)
      if (before === 0) this.#cutoffs.delete(cutoffKey(kind, value))
      else this.#cutoffs.set(cutoffKey(kind, value), before)
    }
    for (const [kind, value] of removed) {
      this.#expiries[kind].delete(value)
      this.#cutoffs.delete(cutoffKey(kind, value))
    }
    this.generation++
  }
}

function cutoffKey(kind: RevocationKind, value: string): string {
  return `${kind}:${value}`
}
