import { sliceLength } from '../load/job.ts'
import type { Sample } from '../report/proc.ts'
import type { RunRecord } from './record.ts'

const perSecond = 1000 / sliceLength

/** What a request costs the gateway, and whose the machine was meanwhile. */
export interface Cost {
  /** Microseconds of processor time. */
  readonly cpu_us_per_request: number | null
  /** Shares of the machine in percent. */
  readonly gateway_percent: number
  readonly load_percent: number
  readonly others_percent: number
}

export function costOf({ samples, slices }: RunRecord): Cost | null {
  const [first, last] = [samples.find(({ at }) => at >= 0), samples.at(-1)]
  if (first === undefined || last === undefined || last.total <= first.total) return null
  const spent = (of: (sample: Sample) => number): number => Math.max(0, of(last) - of(first))
  const percent = (seconds: number): number => (100 * seconds) / (last.total - first.total)
  const gateway = spent(({ gatewayCpu }) => gatewayCpu)
  const own = spent(({ ownCpu }) => ownCpu)
  const answered = slices
    .slice(Math.floor(first.at * perSecond), Math.floor(last.at * perSecond))
    .reduce((sum, slice) => sum + slice.answered, 0)
  return {
    cpu_us_per_request: answered === 0 || gateway === 0 ? null : (gateway * 1e6) / answered,
    gateway_percent: percent(gateway),
    load_percent: percent(own),
    others_percent: Math.max(0, percent(spent(({ busy }) => busy) - gateway - own)),
  }
}
