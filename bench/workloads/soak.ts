import { join } from 'node:path'
import { prepareFullChain, type Store } from '../fullchain.ts'
import { type Generator, measure } from '../load.ts'
import { isInstalled, largestResident } from '../processes.ts'
import { root, startGateway } from '../servers.ts'
import { median } from '../statistics.ts'
import { onStage } from './stage.ts'
import type { Workload } from './workload.ts'

/** Seconds of load without a pause; the generator rests for a moment in between. */
const stretch = 20

export const soak: Workload = {
  name: 'soak',
  title: 'Soak',
  about: 'The full chain under all the load that there is, for ten minutes (--minutes): resident memory of the worker.',
  minutes: 10,
  extra: true,
  run: ({ plan, choice, minutes, quick, step }) =>
    onStage(async ({ origin, hold, started }) => {
      const { credentials, stores, env } = await prepareFullChain(started)
      const [store] = stores as [Store]
      const config = join(root, 'bench/configs/fullchain.yaml')
      const { port, started: gateway } = hold(await startGateway(config, origin.port, env(store), credentials[0]))
      const pid = gateway.process.pid as number
      const generator: Generator =
        choice === 'auto' ? (isInstalled('wrk') ? 'wrk' : 'autocannon') : (choice[0] as Generator)
      const seconds = quick ? 4 : minutes * 60
      const begin = performance.now()
      const elapsed = (): number => (performance.now() - begin) / 1000
      const points: [number, number][] = []
      const sample = (): void => void points.push([elapsed(), largestResident(pid) / 1e6])
      const timer = setInterval(sample, 1000)
      const rates: number[] = []
      let failed = 0
      try {
        while (elapsed() < seconds) {
          const part = Math.max(1, Math.min(stretch, seconds - elapsed()))
          const { connections, paths } = plan
          const load = await measure(generator, { port, connections, seconds: part, paths, credentials })
          rates.push(load.perSecond)
          failed += load.failed
          step(
            Math.min(1, elapsed() / seconds),
            `${Math.round(load.perSecond)} req/s, ${points.at(-1)?.[1].toFixed(0)} MB`,
          )
        }
      } finally {
        clearInterval(timer)
      }
      const memory = points.map(([, value]) => value)
      const quarter = Math.ceil(memory.length / 4)
      // The first quarter is warm-up: the heap finds its size.
      const [early, late] = [median(memory.slice(quarter, 2 * quarter)), median(memory.slice(-quarter))]
      const most = Math.max(...memory)
      return {
        groups: [],
        series: { title: 'Resident memory of the worker', unit: 'MB', points },
        data: { most, early, late, perSecond: median(rates), failed, seconds: elapsed(), store, generator },
        notes: [
          `${Math.round(elapsed())} s at ${Math.round(median(rates))} req/s (${generator}, limits in ${store}), ${failed} failed: at most ${most.toFixed(0)} MB; ${early.toFixed(0)} MB in the second quarter, ${late.toFixed(0)} MB in the last.`,
        ],
      }
    }),
}
