import type { Limit } from '../../src/core/services/limits.ts'
import { type Asker, Batch } from '../../src/services/limits/batch.ts'
import { Rule } from '../../src/services/limits/batch-rule.ts'
import { counterSuffix, slotOf } from '../../src/services/limits/redis-store-key.ts'

const limit: Limit = {
  name: 'api/minute',
  algorithm: 'sliding_window',
  limit: 1000,
  window: 60_000,
  burst: 0,
  nodelay: false,
  calendar: null,
  observe: false,
}

const rule = new Rule([limit], (name) => `sluice:${name}`)
const keys = Array.from({ length: 1000 }, (_, i) => `consumer-${i}`)
const costs = [1]
const asker: Asker = { decided() {}, failed() {}, late() {}, lost() {} }
const now = Date.now()

const checks = 16
const numbers = [now, ...Array.from({ length: checks }, () => [0, 999, now + 60_000]).flat()]
const reply = Buffer.from(Float64Array.from(numbers).buffer)

let next = 0
function key(): string {
  next = next === keys.length - 1 ? 0 : next + 1
  return keys[next] as string
}

/** What a worker does for a tick's checks, but for promises and the socket. */
function tick(): void {
  const batch = new Batch('bench.')
  for (let i = 0; i < checks; i++) batch.add(rule, [rule.counter(0, key())], costs, false, asker)
  batch.command(now)
  batch.deliver(reply)
}

const long = 'x'.repeat(200)

export const suite = {
  name: 'limits',
  cases: {
    'redis: 16 checks of a tick, asked and told': tick,
    'redis: a key of 200 characters, hashed': () => void counterSuffix(long),
    'redis cluster: slot of a key': () => void slotOf(rule.counter(0, key())),
  },
}
