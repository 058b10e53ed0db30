import type { Limit } from '../../core/services/limits.ts'
import { counterPrefix, counterSuffix } from './redis-store-key.ts'
import { skills } from './scripts.ts'

/** Limits that are checked together, with what of them can be prepared. */
export class Rule {
  readonly limits: readonly Limit[]
  readonly hasSlots: boolean
  /** What the script must be able to do. */
  readonly skills: number
  readonly #prefixes: readonly string[]
  readonly #texts = new Map<string, Text>()
  #lastCosts: readonly number[] | null = null
  #lastText: Text | null = null
  readonly #parts = new Map<number, Rule>()

  /** `keyOf`: the full name of a key in Redis. */
  constructor(limits: readonly Limit[], keyOf: (name: string) => string) {
    this.limits = limits
    this.hasSlots = limits.some(({ algorithm }) => algorithm === 'concurrency')
    this.skills = limits.reduce((bits, { algorithm }) => bits | skills[algorithm], 0)
    this.#prefixes = limits.map((limit) => keyOf(counterPrefix(limit)))
  }

  /** Name of the counter of a limit. */
  counter(index: number, key: string): string {
    return (this.#prefixes[index] as string) + counterSuffix(key)
  }

  /** The limits as the script reads them. `now`: by Redis's clock, more or less; windows of a calendar need it. */
  text(costs: readonly number[], now: number): string {
    let text = this.#lastCosts === costs ? this.#lastText : null
    if (text === null || now < text.from || now >= text.until) {
      text = this.#find(costs, now)
      this.#lastCosts = costs
      this.#lastText = text
    }
    return text.json
  }

  /** One limit as the script reads it. */
  textOf(index: number, cost: number, now: number): string {
    return JSON.stringify(describe(this.limits[index] as Limit, cost, now).terms)
  }

  /** The limits whose bits are set. */
  part(bits: number): Rule {
    let part = this.#parts.get(bits)
    if (part === undefined) {
      const chosen = (_: unknown, i: number): boolean => (bits & (1 << i)) !== 0
      const prefixes = this.#prefixes.filter(chosen)
      let next = 0
      part = new Rule(this.limits.filter(chosen), () => prefixes[next++] as string)
      this.#parts.set(bits, part)
    }
    return part
  }

  #find(costs: readonly number[], now: number): Text {
    const name = costs.join()
    const known = this.#texts.get(name)
    if (known !== undefined && now >= known.from && now < known.until) return known
    const described = this.limits.map((limit, i) => describe(limit, costs[i] as number, now))
    const text = {
      json: JSON.stringify(described.map(({ terms }) => terms)),
      from: Math.max(...described.map(({ from }) => from)),
      until: Math.min(...described.map(({ until }) => until)),
    }
    // Costs may come from requests.
    if (this.#texts.size >= 64) this.#texts.clear()
    this.#texts.set(name, text)
    return text
  }
}

interface Text {
  readonly json: string
  /** Milliseconds since the epoch between which it holds. */
  readonly from: number
  readonly until: number
}

/** Most units that can count at once. */
function capacityOf({ algorithm, limit, burst }: Limit): number {
  if (algorithm === 'leaky_bucket') return burst + 1
  return algorithm === 'token_bucket' && burst > 0 ? burst : limit
}

function describe(limit: Limit, cost: number, now: number): { terms: object; from: number; until: number } {
  const { algorithm, window, observe, nodelay, calendar } = limit
  const terms = {
    algorithm,
    limit: limit.limit,
    window,
    capacity: capacityOf(limit),
    cost,
    ...(observe ? { observe } : {}),
    ...(algorithm === 'leaky_bucket' && !nodelay && !observe ? { queues: true } : {}),
  }
  if (calendar === null) return { terms, from: 0, until: Number.POSITIVE_INFINITY }
  const { start, end } = calendar(now)
  const edges = [calendar(start - 1).start, start, end, calendar(end).end]
  return { terms: { ...terms, edges }, from: start, until: end }
}
