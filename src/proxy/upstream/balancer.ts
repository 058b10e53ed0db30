/**
 * Sequences up to this length are laid out at compile: a pick is then one array read instead of a pass over all
 * targets (bench/micro/balancer.bench.ts).
 */
const longestSequence = 4096

/**
 * Smooth weighted round robin, nginx's algorithm: at each pick every target gains its weight, the one that leads is
 * picked and pays what all gained. Weights 5, 1, 1 give a a b a c a a, not a a a a a b c.
 *
 * Whatever window of as many picks as the weights add up to holds each target exactly as often as its weight says.
 * Targets of weight 0 are never picked. Weights are whole numbers.
 */
export class Balancer<T extends { readonly weight: number }> {
  private readonly targets: readonly T[]
  private readonly weights: readonly number[]
  private readonly total: number
  /** What each target gained and has not paid. */
  private readonly lead: number[]
  private readonly sequence: readonly T[] | null
  private next = 0

  constructor(targets: readonly T[]) {
    this.targets = targets.filter((target) => target.weight > 0)
    const divisor = this.targets.reduce((found, { weight }) => greatestCommonDivisor(found, weight), 0)
    this.weights = this.targets.map(({ weight }) => weight / divisor)
    this.total = this.weights.reduce((sum, weight) => sum + weight, 0)
    this.lead = this.weights.map(() => 0)
    // After `total` picks every lead is 0 again: the sequence repeats itself from there.
    this.sequence = this.total <= longestSequence ? Array.from({ length: this.total }, () => this.advance()) : null
  }

  /** Targets that can be picked. */
  get size(): number {
    return this.targets.length
  }

  /** The next target, or null when none may be picked. */
  pick(): T | null {
    const sequence = this.sequence
    if (sequence === null) return this.advance()
    if (sequence.length === 0) return null
    const target = sequence[this.next] as T
    this.next = this.next + 1 === sequence.length ? 0 : this.next + 1
    return target
  }

  /** The target that comes next among those that are not in `tried`, or null. Leaves the order of `pick` as it is. */
  pickOther(tried: readonly T[]): T | null {
    const sequence = this.sequence
    if (sequence === null) return this.leader(tried)
    for (let i = 0; i < sequence.length; i++) {
      const target = sequence[(this.next + i) % sequence.length] as T
      if (!tried.includes(target)) return target
    }
    return null
  }

  private advance(): T {
    let best = 0
    for (let i = 0; i < this.lead.length; i++) {
      this.lead[i] = (this.lead[i] as number) + (this.weights[i] as number)
      if ((this.lead[i] as number) > (this.lead[best] as number)) best = i
    }
    this.lead[best] = (this.lead[best] as number) - this.total
    return this.targets[best] as T
  }

  private leader(tried: readonly T[]): T | null {
    let best = -1
    let most = 0
    for (let i = 0; i < this.targets.length; i++) {
      const lead = (this.lead[i] as number) + (this.weights[i] as number)
      if ((best !== -1 && lead <= most) || tried.includes(this.targets[i] as T)) continue
      best = i
      most = lead
    }
    return best === -1 ? null : (this.targets[best] as T)
  }
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b)
}
