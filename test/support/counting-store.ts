import type { Consumer, RequestContext } from '../../src/core/context.ts'
import type { Rejection } from '../../src/core/errors.ts'
import type { Deps, Steps } from '../../src/core/plugin.ts'
import {
  type Admission,
  type Limit,
  type LimitStore,
  type LimitStoreSettings,
  titleOf,
} from '../../src/core/services/limits.ts'
import { servicesAtRest } from '../../src/core/services/services.ts'
import { rateLimiting } from '../../src/plugins/rate-limiting/plugin.ts'
import { recordInstruments } from './instruments.ts'
import { access, compile, request } from './plugin.ts'

/** Plain counters without time: what is used stays used, but for slots. */
export class CountingStore implements LimitStore {
  readonly used = new Map<string, number>()
  readonly opened: LimitStoreSettings[] = []
  readonly asked: { names: string[]; keys: readonly string[]; costs: readonly number[] }[] = []
  /** What the next admissions say differently. */
  says: Partial<Admission> = {}
  /** Answers come when it is called. */
  answer: (() => void) | null = null
  waits = false

  admit(limits: readonly Limit[], keys: readonly string[], costs: readonly number[]): Admission | Promise<Admission> {
    this.asked.push({ names: limits.map(titleOf), keys, costs })
    const admission = this.#decide(limits, keys, costs)
    if (!this.waits) return admission
    return new Promise((resolve) => {
      this.answer = () => resolve(admission)
    })
  }

  release({ limits, keys }: Admission): void {
    limits.forEach((limit, i) => {
      if (limit.algorithm === 'concurrency') this.#add(`${limit.name} ${keys[i]}`, -1)
    })
  }

  usedOf(name: string): number {
    return [...this.used].reduce((sum, [key, count]) => sum + (key.includes(`/${name} `) ? count : 0), 0)
  }

  #decide(limits: readonly Limit[], keys: readonly string[], costs: readonly number[]): Admission {
    const counters = limits.map(({ name }, i) => `${name} ${keys[i]}`)
    const fits = limits.map(
      ({ limit }, i) => (this.used.get(counters[i] as string) ?? 0) + (costs[i] as number) <= limit,
    )
    const refusedBy = limits.findIndex(({ observe }, i) => !observe && fits[i] === false)
    let wouldRefuse = 0
    limits.forEach(({ observe }, i) => {
      if (observe && fits[i] === false) wouldRefuse |= 1 << i
      if (refusedBy === -1 && fits[i] === true) this.#add(counters[i] as string, costs[i] as number)
    })
    return {
      admitted: refusedBy === -1,
      refusedBy,
      remaining: limits.map(({ limit }, i) => limit - (this.used.get(counters[i] as string) ?? 0)),
      resetAt: limits.map((_, i) => 1_620_000_000_000 + i * 1000 - 1),
      retryAfter: refusedBy === -1 ? 0 : 41_001,
      delay: 0,
      wouldRefuse,
      decidedBy: 'store',
      limits,
      keys,
      previous: null,
      ...this.says,
    }
  }

  #add(counter: string, count: number): void {
    this.used.set(counter, (this.used.get(counter) ?? 0) + count)
  }
}

/** The plugin with such a store. */
export function bed(store = new CountingStore()) {
  const instruments = recordInstruments()
  const limits = {
    open: (settings: LimitStoreSettings) => {
      store.opened.push(settings)
      return store
    },
  }
  const deps: Partial<Deps> = { services: { ...servicesAtRest, limits, instruments } }
  return { store, instruments, deps, compile: (config: unknown) => compile(rateLimiting, config, {}, deps) }
}

/** Somebody who was identified. */
export const who = (fields: Partial<Consumer>): Consumer => ({
  id: 'ann',
  name: null,
  tier: null,
  tenant: null,
  groups: [],
  roles: [],
  scopes: [],
  credential: null,
  anonymous: false,
  ...fields,
})

/** The codes of so many requests one after the other; `''` for those that go on. */
export function codes(steps: Steps, count: number, fields: () => Partial<RequestContext> = () => ({})): string[] {
  return Array.from({ length: count }, () => (access(steps, request(fields())) as Rejection | undefined)?.code ?? '')
}
