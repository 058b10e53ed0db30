import type { PrimaryLink, WorkerLink } from '../../src/core/messages.ts'
import { noInstruments } from '../../src/core/services/instruments.ts'
import type { Limit } from '../../src/core/services/limits.ts'
import { LimitLedger } from '../../src/primary/limits/ledger.ts'
import { termsOf } from '../../src/services/limits/counters/counter.ts'
import type { Petition } from '../../src/services/limits/lease.ts'
import { exchangeOf } from '../../src/services/limits/lease-exchange.ts'
import { NodeLimitStore } from '../../src/services/limits/node-store.ts'
import { createLogger } from '../../src/telemetry/logger.ts'

const quiet = { info: () => {}, warn: () => {}, error: () => {} }
const deaf: WorkerLink = { send: () => {}, on: () => {} }
const settings = { store: 'node', onError: 'deny', timeout: 20, strict: false } as const
const ones = [1, 1, 1]

function limit(name: string, algorithm: Limit['algorithm'] = 'sliding_window'): Limit {
  const [window, burst, nodelay] = [60_000, 0, true]
  return { name, algorithm, limit: 1e12, window, burst, nodelay, calendar: null, observe: false }
}

/** A worker with `keys` consumers, for each of which it has so much in hand. */
function asking(limits: readonly Limit[], permits: number, closedUntil: number): () => void {
  const link = { ...deaf }
  const store = new NodeLimitStore({ link, instruments: noInstruments, log: quiet }, settings)
  const { holding } = exchangeOf(link)
  const keys = Array.from({ length: 1000 }, (_, i) => limits.map(() => `route-a consumer:customer-${i}`))
  for (const names of keys) {
    for (const [i, one] of limits.entries()) {
      const account = holding.account(holding.book(one, 'node', 20), names[i] as string)
      Object.assign(account, { permits, until: Infinity, closedUntil })
    }
  }
  let next = 0
  return () => {
    const admission = store.admit(limits, keys[next++ % 1000] as string[], ones)
    if (admission instanceof Promise || admission.admitted !== permits > 0) throw new Error('not as it should be')
  }
}

/** A primary that reads a petition about 64 requests of as many consumers. */
function ruling(): () => void {
  let hear: (body: unknown, worker: number) => void = () => {}
  const link: PrimaryLink = {
    workers: [1],
    send: () => {},
    broadcast: () => {},
    on: (_topic, listener) => {
      hear = listener
    },
    onJoin: () => {},
    onLeave: () => {},
  }
  const log = createLogger({ role: 'primary', terminal: false })
  void new LimitLedger(link, log, noInstruments)
  const books = [{ id: 0, pool: 'node', timeout: 20, terms: termsOf(limit('a')) }] as const
  let number = 0
  return () => {
    const accounts = Array.from({ length: 64 }, (_, i) => [
      0,
      `route-a consumer:customer-${i}`,
      0,
      0,
      0,
      0,
      0,
      0,
    ]).flat()
    const asks = Array.from({ length: 64 }, (_, i) => [i, 1, i, 1]).flat()
    number++
    hear({ number, books: number === 1 ? books : [], accounts, uses: [], asks } satisfies Petition, 1)
  }
}

/** What a check costs where it is decided: in the worker as a rule, in the primary when nothing is in hand. */
export const suite = {
  name: 'limits, node store',
  cases: {
    'worker admits by 1 limit': asking([limit('a')], 1e15, 0),
    'worker admits by 3 limits': asking([limit('a'), limit('b'), limit('c', 'token_bucket')], 1e15, 0),
    'worker refuses': asking([limit('a')], 0, Infinity),
    'primary decides on 64 requests of 64 consumers': ruling(),
  },
}
