import type { Happened } from '../disturbance.ts'
import { sliceLength } from '../load/job.ts'
import type { Tally } from '../load/tally.ts'

export interface Recovery extends Happened {
  /** Seconds from its end until no request failed any more; `null`: that did not happen before the next one or the end. */
  readonly recovered: number | null
  /** The same until answers were as fast as before, too. */
  readonly calm: number | null
}

/** Slices in a row that must be good. */
const hold = 3
/** Below this nobody calls an answer slow. Milliseconds. */
const fast = 20

/** How soon all was well again after each of the things that happened. `begin`: where what is measured begins, in seconds. */
export function recoveries(happened: readonly Happened[], slices: readonly Tally[], begin: number): Recovery[] {
  return happened.map((one, i) => {
    const from = Math.ceil((one.end * 1000) / sliceLength)
    const next = happened[i + 1]
    const to = next === undefined ? slices.length : Math.floor((next.begin * 1000) / sliceLength)
    const usual = slowest(
      slices.slice(Math.floor((begin * 1000) / sliceLength), Math.floor((one.begin * 1000) / sliceLength)),
    )
    const isWell = ({ answered, failures }: Tally): boolean => answered > 0 && failures === 0
    const isCalm = (slice: Tally): boolean => isWell(slice) && (slice.servedTime(99) ?? 0) <= Math.max(fast, 2 * usual)
    const since = (isGood: (slice: Tally) => boolean): number | null => {
      const at = firstOfRow(slices.slice(from, to), isGood)
      return at === null ? null : Math.max(0, ((from + at) * sliceLength) / 1000 - one.end)
    }
    return { ...one, recovered: since(isWell), calm: since(isCalm) }
  })
}

/** The median of the 99th percentiles. */
function slowest(slices: readonly Tally[]): number {
  const times = slices.flatMap((slice) => slice.servedTime(99) ?? []).toSorted((a, b) => a - b)
  return times[times.length >> 1] ?? 0
}

function firstOfRow(slices: readonly Tally[], isGood: (slice: Tally) => boolean): number | null {
  let row = 0
  for (const [i, slice] of slices.entries()) {
    row = isGood(slice) ? row + 1 : 0
    if (row === hold) return i - hold + 1
  }
  return null
}
