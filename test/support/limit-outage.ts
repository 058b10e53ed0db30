import { setTimeout as sleep } from 'node:timers/promises'
import { request } from 'undici'
import type { RunningGateway } from './gateway.ts'
import { type LoadAnswer, startLoad } from './load.ts'
import type { RedisServer } from './redis.ts'

/** What may become of a Redis, and what ends it. */
export const outages: Readonly<
  Record<string, { readonly begin: (redis: RedisServer) => void | Promise<void>; readonly end: typeof mend }>
> = {
  stopped: { begin: (redis) => redis.stop(), end: mend },
  killed: { begin: (redis) => redis.kill(), end: mend },
  'restarted with an empty memory': { begin: (redis) => redis.restart(), end: () => {} },
  frozen: { begin: (redis) => redis.freeze(), end: (redis) => redis.thaw() },
}

function mend(redis: RedisServer): void | Promise<void> {
  return redis.start()
}

/** What became of the requests of a time. */
export interface Figures {
  readonly answers: number
  readonly statuses: Readonly<Record<number, number>>
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  readonly max: number
  /** The tenth slowest: what many have met and no chance of the machine explains. */
  readonly tenth: number
}

export interface Course {
  readonly before: Figures
  /** From the moment that Redis was broken until it was mended. */
  readonly during: Figures
  /** From then on. */
  readonly after: Figures
}

export interface OutageOptions {
  readonly path: string
  readonly connections: number
  /** Milliseconds of each of the three parts. */
  readonly time: number
}

/** Asks a gateway all the time while its Redis fails and comes back. Resolves when the store decides again. */
export async function weather(
  gateway: RunningGateway,
  redis: RedisServer,
  name: string,
  loads: readonly OutageOptions[],
): Promise<Course[]> {
  const outage = outages[name]
  if (outage === undefined) throw new Error(`nothing is known of ${name}`)
  const time = Math.max(...loads.map((load) => load.time))
  const running = loads.map(({ path, connections }) => {
    const answers: LoadAnswer[] = []
    const load = startLoad({ port: gateway.port, path, connections, onAnswer: (answer) => answers.push(answer) })
    return { answers, load }
  })
  await sleep(time)
  const brokenAt = performance.now()
  await outage.begin(redis)
  await sleep(brokenAt + time - performance.now())
  const mendedAt = performance.now()
  await outage.end(redis)
  await untilAsked(gateway, loads[0]?.path ?? '/')
  await sleep(mendedAt + time - performance.now())
  await Promise.all(running.map(({ load }) => load.stop()))
  return running.map(({ answers }) => ({
    before: figuresOf(answers.filter(({ endedAt }) => endedAt < brokenAt)),
    during: figuresOf(answers.filter(({ endedAt, sentAt }) => endedAt >= brokenAt && sentAt < mendedAt)),
    after: figuresOf(answers.filter(({ sentAt }) => sentAt >= mendedAt)),
  }))
}

/** Asks now and then; resolves when no worker leaves the store alone any more, and it has decided anew. */
export async function untilAsked(gateway: RunningGateway, path: string, timeout = 20_000): Promise<void> {
  const end = performance.now() + timeout
  const decided = (text: string): number => figure(text, 'sluice_limit_decisions_total\\{decided_by="store"\\}')
  const first = decided(await gateway.metrics())
  for (;;) {
    await (await request(gateway.url + path)).body.dump()
    const text = await gateway.metrics()
    if (figure(text, 'sluice_limit_store_breakers_open') === 0 && decided(text) > first) return
    if (performance.now() > end) throw new Error(`the store was not asked again within ${timeout} ms:\n${text}`)
    await sleep(20)
  }
}

function figure(text: string, pattern: string): number {
  return Number(new RegExp(`^${pattern} (\\d+)`, 'm').exec(text)?.[1] ?? 0)
}

function figuresOf(answers: readonly LoadAnswer[]): Figures {
  const statuses: Record<number, number> = {}
  for (const { status } of answers) statuses[status] = (statuses[status] ?? 0) + 1
  const took = answers.map(({ sentAt, endedAt }) => endedAt - sentAt).sort((a, b) => a - b)
  const at = (index: number): number => took[Math.max(0, Math.min(took.length - 1, index))] ?? 0
  return {
    answers: took.length,
    statuses,
    p50: at(Math.floor(took.length / 2)),
    p99: at(Math.floor(took.length * 0.99)),
    max: at(took.length - 1),
    tenth: at(took.length - 10),
  }
}
