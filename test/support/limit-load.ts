import { setTimeout as sleep } from 'node:timers/promises'
import type { Limit } from '../../src/core/services/limits.ts'
import type { RunningGateway } from './gateway.ts'
import { LimitModel } from './limit-model.ts'
import { type LoadAnswer, startLoad } from './load.ts'

/** Of each node. */
const connections = 64

/** Asks all nodes over 64 connections each until so many were answered; gives answers by status. */
export async function flood(
  nodes: readonly RunningGateway[],
  path: string,
  answers: number,
  onAnswer: (answer: LoadAnswer) => void = () => {},
): Promise<Readonly<Record<number, number>>> {
  const loads = nodes.map(({ port }) => startLoad({ port, path, connections, onAnswer }))
  await Promise.all(loads.map((load) => load.more(answers / loads.length)))
  const results = await Promise.all(loads.map((load) => load.stop()))
  const statuses: Record<number, number> = {}
  for (const result of results)
    for (const [status, count] of Object.entries(result.statuses))
      statuses[Number(status)] = (statuses[Number(status)] ?? 0) + count
  return statuses
}

/** Milliseconds since the epoch. */
interface Span {
  readonly from: number
  readonly to: number
}

/** What came of asking all the time. */
export interface Siege {
  readonly admitted: number
  readonly refused: number
  /** Neither admitted nor refused by the limit. */
  readonly others: number
  /** All that were admitted were so within it. */
  readonly within: Span
  /** All the time between there was somebody who wanted to be let in, as far as the machine came to it. */
  readonly throughout: Span
  /** Milliseconds in which somebody was answered: in a gap between them nobody asked. */
  readonly asked: ReadonlySet<number>
  /** Decisions by the end of the window that they named, in seconds. */
  readonly windows: ReadonlyMap<string, { admitted: number; refused: number }>
}

/**
 * Asks all nodes over 64 connections each for so many milliseconds. It begins when a tenth of a window has passed, so that the
 * first one can be used up as well.
 */
export async function besiege(
  nodes: readonly RunningGateway[],
  path: string,
  time: number,
  window: number,
): Promise<Siege> {
  await sleep(window - ((Date.now() - window / 10) % window))
  const epoch = Date.now() - performance.now()
  let [admitted, refused, others] = [0, 0, 0]
  let [begin, first] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
  let [last, end] = [0, 0]
  const windows = new Map<string, { admitted: number; refused: number }>()
  const asked = new Set<number>()
  const onAnswer = ({ status, head, sentAt, endedAt }: LoadAnswer): void => {
    begin = Math.min(begin, sentAt)
    first = Math.min(first, endedAt)
    asked.add(Math.floor(epoch + endedAt))
    const name = /\r\nx-ratelimit-reset: *(\d+)/.exec(head)?.[1] ?? ''
    const counts = windows.get(name) ?? { admitted: 0, refused: 0 }
    windows.set(name, counts)
    if (status === 200) {
      admitted++
      counts.admitted++
      end = Math.max(end, endedAt)
    } else if (status === 429) {
      refused++
      counts.refused++
      last = Math.max(last, sentAt)
    } else {
      others++
    }
  }
  const loads = nodes.map(({ port }) => startLoad({ port, path, connections, onAnswer }))
  await sleep(time)
  await Promise.all(loads.map((load) => load.stop()))
  // Both clocks are read apart from each other, and Redis counts whole milliseconds.
  const within = { from: Math.floor(epoch + begin) - 1, to: Math.ceil(epoch + end) + 1 }
  const throughout = { from: Math.ceil(epoch + first) + 1, to: Math.floor(epoch + last) - 1 }
  return { admitted, refused, others, within, throughout, asked, windows }
}

/** Limits of the configuration that give back so much that it shows within seconds, with what the model is to know of them. */
export const rates: Readonly<Record<string, { readonly entry: object; readonly limit: Limit }>> = Object.fromEntries(
  (
    [
      ['fixed_window', {}],
      ['sliding_window', {}],
      ['sliding_log', {}],
      ['token_bucket', { burst: 100 }],
      ['leaky_bucket', { burst: 60 }],
    ] as const
  ).map(([algorithm, more]) => {
    const terms = { algorithm, limit: 400, ...more }
    const limit = { name: algorithm, burst: 0, nodelay: false, calendar: null, observe: false, window: 800, ...terms }
    return [algorithm.replace('_', '-'), { entry: { ...terms, window: '800ms' }, limit }]
  }),
)

/** How many a limit admits of those who ask again in every millisecond, or in those of `asked`. */
export function mostOf(limit: Limit, { from, to }: Span, asked?: ReadonlySet<number>): number {
  const model = new LimitModel()
  let admitted = 0
  for (let now = from; now <= to; now++) {
    if (asked?.has(now) === false) continue
    while (model.admit(now, [limit], ['']).admitted) admitted++
  }
  return admitted
}

/** How many a limit that is exact has admitted at least: on a busy machine nobody asks for a while now and then. */
export function leastOf(limit: Limit, { throughout, asked }: Siege): number {
  return 0.999 * Math.min(mostOf(limit, throughout), mostOf(limit, throughout, asked)) - 1
}
