import { type Generator, type LoadResult, measure } from './load.ts'
import { processorTime } from './processes.ts'
import type { Proxy } from './servers.ts'
import { median, spread } from './statistics.ts'

export interface Plan {
  readonly rounds: number
  readonly seconds: number
  readonly warmup: number
  readonly connections: number
  readonly paths: readonly string[]
  readonly credentials?: readonly string[]
}

export interface Row {
  readonly name: string
  readonly generator: Generator
  /** Medians over the rounds. */
  readonly perSecond: number
  readonly spread: number
  readonly p50: number
  readonly p99: number
  /** Microseconds of processor time per request, kernel included: what remains when the generator is the bottleneck. */
  readonly processorTime: number
  readonly failed: number
  readonly rounds: readonly LoadResult[]
}

/**
 * Measures the proxies in turns (A B C A B C …), so that whatever else the machine does hits all of them alike. Each is
 * warmed up first.
 */
export async function measureInTurns(
  proxies: readonly Proxy[],
  generator: Generator,
  plan: Plan,
  tell: (text: string) => void,
): Promise<Row[]> {
  const { rounds, seconds, warmup, connections, paths, credentials = [] } = plan
  const results = proxies.map((proxy) => ({ proxy, loads: [] as LoadResult[], times: [] as number[] }))
  for (const { port } of proxies) await measure(generator, { port, connections, seconds: warmup, paths, credentials })
  for (let round = 1; round <= rounds; round++) {
    for (const { proxy, loads, times } of results) {
      const pid = proxy.started.process.pid as number
      const before = processorTime(pid)
      const load = await measure(generator, { port: proxy.port, connections, seconds, paths, credentials })
      times.push((processorTime(pid) - before) / load.requests)
      loads.push(load)
      tell(`  ${generator} round ${round}/${rounds}: ${proxy.name} ${Math.round(load.perSecond)} req/s`)
    }
  }
  return results.map(({ proxy, loads, times }) => ({
    name: proxy.name,
    generator,
    perSecond: median(loads.map((load) => load.perSecond)),
    spread: spread(loads.map((load) => load.perSecond)),
    p50: median(loads.map((load) => load.p50)),
    p99: median(loads.map((load) => load.p99)),
    processorTime: median(times),
    failed: loads.reduce((sum, load) => sum + load.failed, 0),
    rounds: loads,
  }))
}
