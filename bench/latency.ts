import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { prepareFullChain, type Store } from './fullchain.ts'
import type { LatencyJob, LatencyResult, Percentiles } from './latency-client.ts'
import { type Generator, measure, requestsOf } from './load.ts'
import { rivals } from './peers/index.ts'
import { startSluice } from './peers/sluice.ts'
import { createFolder, isInstalled, loadCore, outputOf, type Started, startProcess } from './processes.ts'
import { table } from './report.ts'
import type { Plan } from './rounds.ts'
import { type Origin, type Proxy, root, startGateway, startOrigin } from './servers.ts'
import { median } from './statistics.ts'

/** Shares of a target's maximum at which it is measured. */
const shares = [0.5, 0.8]

/** Less of the maximum than that is not tried where the client can't keep time: the core that it shares is too busy. */
const leastShare = 0.25

/**
 * Milliseconds that the client may be late by itself, for 99 of 100 requests: beyond, its figures say nothing of the target. It
 * is as late when it asks the origin directly, so the difference of the two is mostly the target's.
 */
const mostLag = 5

/** Milliseconds: what is promised of the full chain at half of its maximum. */
const goal = 1

export interface LatencyRow {
  readonly target: string
  /** Requests a second that the target answered at most (closed loop). */
  readonly maximum: number
  readonly share: number
  /** Requests a second that were sent, and which part of the maximum that is: less than `share` where the client can do no more. */
  readonly rate: number
  readonly reached: number
  /** Milliseconds; medians over the rounds. `null`: not even so many could be sent in time. */
  readonly latency: Percentiles | null
  /** What the origin takes without anybody between, at the same rate. */
  readonly direct: Percentiles | null
  /** The difference of the two: medians of the rounds. */
  readonly overhead: Percentiles | null
  /** 99 of 100 requests were late by at most so many milliseconds before they were sent, by the client's own doing. */
  readonly lag: number
  readonly failed: number
}

export interface LatencyReport {
  readonly generator: Generator
  readonly rows: readonly LatencyRow[]
  readonly notes: readonly string[]
}

interface Target {
  readonly name: string
  readonly port: number
  readonly credentials: readonly string[]
}

/**
 * Latency at half and at four fifths of what each target can do, in an open loop. Each round asks the origin directly, too, at
 * the same rate: the difference is what a target adds.
 */
export async function runLatency(plan: Plan, tell: (text: string) => void): Promise<LatencyReport> {
  const generator: Generator = isInstalled('wrk') ? 'wrk' : 'autocannon'
  const origin = await startOrigin()
  const started: Started[] = []
  const notes: string[] = []
  const rows: LatencyRow[] = []
  try {
    const targets = await targetsOf(origin, started, notes)
    for (const target of targets) {
      const { seconds, connections, paths } = { ...plan, seconds: Math.max(plan.warmup, plan.seconds / 2) }
      const job = { port: target.port, connections, seconds, paths, credentials: target.credentials }
      await measure(generator, job)
      const { perSecond: maximum } = await measure(generator, job)
      tell(`  latency: ${target.name} answers ${Math.round(maximum)} req/s at most (${generator})`)
      for (const share of shares) rows.push(await rowOf(target, origin, maximum, share, plan, tell))
    }
    return { generator, rows, notes }
  } finally {
    await Promise.all([...started.map((one) => one.stop()), origin.stop()])
  }
}

async function targetsOf(origin: Origin, started: Started[], notes: string[]): Promise<Target[]> {
  const targets: Target[] = []
  const take = (name: string, proxy: Proxy, credentials: readonly string[] = []): void => {
    started.push(proxy.started)
    targets.push({ name, port: proxy.port, credentials })
  }
  take('sluice, pass-through', await startSluice({ origin: origin.port }))
  const { credentials, stores, env } = await prepareFullChain(started)
  const [store] = stores as [Store]
  if (store === 'node')
    notes.push('without redis-server (apt-get install redis-server): the full chain counts in the node')
  const config = join(root, 'bench/configs/fullchain.yaml')
  const chain = await startGateway(config, origin.port, env(store), credentials[0] ?? null)
  take(`sluice, full chain, ${store}`, chain, credentials)
  for (const { name, start } of rivals) take(name, await start({ origin: origin.port }))
  return targets
}

async function rowOf(
  target: Target,
  origin: Origin,
  maximum: number,
  share: number,
  plan: Plan,
  tell: (text: string) => void,
): Promise<LatencyRow> {
  const jobOf = ({ port, credentials }: Omit<Target, 'name'>, rate: number, seconds: number): LatencyJob => ({
    port,
    connections: plan.connections,
    rate,
    warmup: plan.warmup / 3,
    seconds,
    requests: requestsOf({ ...plan, port, credentials }),
  })
  const row = { target: target.name, maximum, share, direct: null, overhead: null, latency: null }
  // As fast as the client can: it shares its core with the origin.
  let rate = share * maximum
  let probe = await send(jobOf(target, rate, Math.min(1, plan.seconds)))
  while (!isOnTime(probe) && rate > leastShare * maximum) {
    rate *= 0.75
    probe = await send(jobOf(target, rate, Math.min(1, plan.seconds)))
  }
  const both: (readonly [through: LatencyResult, direct: LatencyResult])[] = []
  for (let round = 1; round <= plan.rounds && isOnTime(probe); round++) {
    const direct = await send(jobOf({ port: origin.port, credentials: [] }, rate, plan.seconds))
    const through = await send(jobOf(target, rate, plan.seconds))
    if (isOnTime(direct) && isOnTime(through)) both.push([through, direct])
    const [ours, bare] = [through, direct].map(({ latency }) => latency.p99.toFixed(2))
    const place = `${target.name}, ${Math.round(rate)} req/s, round ${round}/${plan.rounds}`
    tell(`  latency: ${place}: p99 ${ours} ms, without ${bare} ms${isOnTime(through) ? '' : ', client late'}`)
  }
  const lag = median(both.length === 0 ? [probe.lag.p99] : both.map(([{ lag: own }]) => own.p99))
  const failed = both.reduce((sum, [through]) => sum + through.failed, 0)
  if (both.length === 0) return { ...row, rate, reached: rate / maximum, lag, failed }
  return {
    ...row,
    rate,
    reached: rate / maximum,
    latency: overRounds(both.map(([through]) => through.latency)),
    direct: overRounds(both.map(([, direct]) => direct.latency)),
    overhead: overRounds(both.map(([through, direct]) => difference(through.latency, direct.latency))),
    lag,
    failed,
  }
}

/** Whether the client sent everything, and when it was due. */
function isOnTime({ sent, due, lag }: LatencyResult): boolean {
  return sent === due && lag.p99 <= mostLag
}

function overRounds(rounds: readonly Percentiles[]): Percentiles {
  return {
    p50: median(rounds.map(({ p50 }) => p50)),
    p99: median(rounds.map(({ p99 }) => p99)),
    p999: median(rounds.map(({ p999 }) => p999)),
  }
}

function difference(a: Percentiles, b: Percentiles): Percentiles {
  return { p50: a.p50 - b.p50, p99: a.p99 - b.p99, p999: a.p999 - b.p999 }
}

/**
 * Runs the client on the load core. It never rests, so it must give way: what it shares the core with runs whenever it can.
 */
async function send(job: LatencyJob): Promise<LatencyResult> {
  const file = join(createFolder(), 'job.json')
  writeFileSync(file, JSON.stringify(job))
  const client = [process.execPath, join(import.meta.dirname, 'latency-client.js'), file]
  const started = isInstalled('chrt')
    ? startProcess(loadCore, 'chrt', ['--idle', '0', ...client])
    : startProcess(loadCore, 'nice', ['-n', '19', ...client])
  return JSON.parse(await outputOf(started, 'the latency client')) as LatencyResult
}

export function latencyText({ generator, rows, notes }: LatencyReport): string {
  const ms = (value: number | undefined): string => value?.toFixed(3) ?? '—'
  const cells = rows.map(({ target, maximum, share, rate, reached, latency, overhead, lag, failed }) => [
    target,
    maximum.toFixed(0),
    reached < share * 0.99 ? `${percent(share)} → ${percent(reached)}` : percent(share),
    rate.toFixed(0),
    ...[latency?.p50, latency?.p99, latency?.p999].map(ms),
    ...[overhead?.p50, overhead?.p99, overhead?.p999].map(ms),
    ms(lag),
    String(failed),
  ])
  const head = ['target', 'max req/s', 'share', 'req/s', 'p50 ms', 'p99 ms', 'p99.9 ms']
  const lines = table([...head, '+p50', '+p99', '+p99.9', 'client lag p99', 'failed'], cells)
  const explained = [
    `max: closed loop, ${generator}. Then open loop, times count from when a request was due; + is what is added to a direct call.`,
    ...(rows.some(({ reached, share }) => reached < share * 0.99)
      ? ['→: the client, which shares its core with the origin, can send no more in time.']
      : []),
    ...(rows.some(({ latency }) => latency === null) ? ['—: the client was late: nothing to report.'] : []),
    ...goalText(rows),
    ...notes,
  ]
  return `${lines}\n${explained.join('\n')}`
}

function goalText(rows: readonly LatencyRow[]): string[] {
  const row = rows.find(({ target, share }) => target.includes('full chain') && share === shares[0])
  const added = row?.overhead?.p99
  if (row === undefined || added === undefined) return []
  const verdict = added < goal ? 'met' : 'missed'
  return [
    `goal (${row.target} adds less than ${goal} ms to p99 at ${percent(row.reached)}): ${verdict}, ${added.toFixed(3)} ms`,
  ]
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}
