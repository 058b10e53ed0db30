import { setTimeout as delay } from 'node:timers/promises'
import { Bed } from './bed/bed.ts'
import type { Credentials } from './bed/credentials.ts'
import { OwnGateway } from './bed/own-gateway.ts'
import type { Disturbance, Happened } from './disturbance.ts'
import { foreignKinds, ownKinds } from './kinds.ts'
import { type Job, sliceLength } from './load/job.ts'
import { Load } from './load/load.ts'
import { type Options, UsageError } from './options.ts'
import { type Sample, takeSample } from './report/proc.ts'
import type { Progress } from './report/progress.ts'
import { type PlannedPhase, planOf, type Scenario } from './scenario.ts'
import type { RunRecord } from './verdict/record.ts'

/** What is the same for all scenarios of a call. */
export interface Call {
  readonly options: Options
  readonly store: 'node' | 'redis'
  readonly credentials: Credentials
  readonly progress: Progress
  /** Requests a second that the gateway was found to do; found once. */
  capacity: number | null
}

export interface Ran {
  readonly record: RunRecord
  readonly rate: number
  readonly seconds: number
  readonly configurationHash: string | null
  /** What the gateway had to say: warnings and worse. */
  readonly complaints: readonly string[]
}

/** A smoke shows that all works, not how fast. Requests a second. */
const smokeRate = 800
/** Requests of one gateway have numbers of their own: those of the calibration are the first. */
const numbersOfCalibration = 100_000_000
/** Milliseconds between "all is ready" and the first request. */
const runUp = 200

/** Runs a scenario. Whatever it starts has ended when this settles. */
export async function runScenario(scenario: Scenario, call: Call): Promise<Ran> {
  const { options } = call
  const seconds = options.seconds ?? (options.smoke ? scenario.smokeSeconds : scenario.seconds)
  const bed = await layBed(scenario, call)
  try {
    const rate = await settleRate(scenario, bed, call)
    const warmUp = options.smoke ? 0.6 : Math.min(5, seconds / 4)
    const plan = planOf(scenario, { seconds, rate, warmUp }, bed.own !== null)
    const status = await bed.own?.gateway.status()
    const record = await drive(scenario, { bed, plan, warmUp, seconds }, call)
    const exitCode = await bed.stop()
    return {
      record: { ...record, exitCode },
      rate,
      seconds,
      configurationHash: status?.configuration.hash ?? null,
      complaints: bed.own?.gateway.complaints() ?? [],
    }
  } catch (error) {
    await bed.stop()
    throw error
  }
}

async function layBed(scenario: Scenario, { options, store, credentials }: Call): Promise<Bed> {
  const mayRefuse = scenario.globalLimit !== null
  if (options.foreign !== null) {
    const { target, asked } = options.foreign
    const left = disturbancesFor(scenario, null)
    if (left.length < scenario.disturbances.length && left.length === 0) {
      throw new UsageError(`${scenario.name} disturbs the gateway's processes or files: not with --url`)
    }
    return new Bed(target, foreignKinds(scenario.kinds, asked, mayRefuse), null)
  }
  const own = await OwnGateway.start({
    workers: options.workers,
    origins: scenario.origins,
    store,
    // Where only errors decide, the machine may be so busy that Redis, and then the node, seems to be gone.
    storeTimeout: options.smoke ? '1s' : '20ms',
    credentials,
  })
  const target = { secure: false, host: '127.0.0.1', port: own.port }
  return new Bed(target, ownKinds(scenario.kinds, credentials, mayRefuse), own)
}

/** Those of its disturbances that are in our power. */
function disturbancesFor({ disturbances }: Scenario, own: OwnGateway | null): Disturbance[] {
  const hands = { nothing: true, gateway: own !== null, redis: own !== null && own.redis !== null }
  return disturbances.filter(({ needs }) => hands[needs])
}

/** Requests a second of the scenario; the gateway has its limits by then. */
async function settleRate(scenario: Scenario, bed: Bed, call: Call): Promise<number> {
  const { options, progress } = call
  let rate = options.rate
  if (rate === null) {
    call.capacity ??= await calibrate(bed, call)
    rate = nice(call.capacity * scenario.share)
    if (options.smoke) rate = Math.min(rate, smokeRate)
    const share = Math.round(scenario.share * 100)
    progress.say(
      `  capacity ${nice(call.capacity).toLocaleString('en')}/s on this machine, load included; rate ${rate.toLocaleString('en')}/s (${options.smoke ? 'smoke' : `${share} %`})`,
    )
  }
  await bed.own?.limit(rate, scenario.globalLimit)
  return rate
}

/** How many requests a second are answered when each connection sends the next as soon as the last is answered. */
async function calibrate(bed: Bed, { options }: Call): Promise<number> {
  const seconds = options.smoke ? 1.5 : 4
  const phase = { name: 'calibration', seconds, from: 0, to: 0, target: 'gateway' } as const
  const load = await Load.start({ ...jobOf(bed, [phase], options), mode: 'closed', firstNumber: 0 })
  load.begin(Date.now())
  const [tally] = await load.phases()
  if (tally === undefined || tally.answered === 0) {
    const words = Object.values(tally?.answers ?? {}).flatMap((each) => Object.keys(each))
    throw new Error(`the gateway answers nothing (${[...new Set(words)].join(', ')})`)
  }
  // The first half is for compiling code and filling pools.
  const half = load.slices.slice(load.slices.length >> 1)
  const answered = half.reduce((sum, slice) => sum + slice.answered, 0)
  return Math.max(10, (answered * 1000) / (half.length * sliceLength))
}

function jobOf(bed: Bed, phases: readonly Job['phases'][number][], options: Options): Omit<Job, 'index'> {
  const { processes, connections, mostConnections, timeout } = options
  const origin =
    bed.own === null ? null : { secure: false, host: '127.0.0.1', port: bed.own.origins.ports[0] as number }
  return {
    mode: 'open',
    targets: { gateway: bed.target, origin },
    phases: phases.map(({ name, seconds, from, to, target }) => ({ name, seconds, from, to, target })),
    kinds: bed.kinds,
    processes,
    firstNumber: numbersOfCalibration,
    connections: Math.ceil(connections / processes),
    mostConnections: Math.ceil(mostConnections / processes),
    timeout,
  }
}

interface Drive {
  readonly bed: Bed
  readonly plan: readonly PlannedPhase[]
  readonly warmUp: number
  readonly seconds: number
}

/** Sends the load, disturbs it, and looks on. */
async function drive(scenario: Scenario, { bed, plan, warmUp, seconds }: Drive, call: Call): Promise<RunRecord> {
  const { own } = bed
  const load = await Load.start(jobOf(bed, plan, call.options))
  bed.follow(load)
  if (own !== null) await load.allow({ oldest: own.version, newest: own.version })
  const begin = Date.now() + runUp
  const watch = new Watch(
    begin,
    { bed, plan, load, pid: own?.gateway.pid ?? call.options.foreign?.pid ?? null },
    call.progress,
  )
  const happened: Happened[] = []
  const clock = new Clock(begin)
  load.begin(begin)
  const disturbed = Promise.all(
    disturbancesFor(scenario, own).map(async (disturbance) => {
      const times = { begin: warmUp + disturbance.from * seconds, end: warmUp + disturbance.to * seconds }
      happened.push(await disturb(disturbance, bed, { clock, times, progress: call.progress }))
    }),
  )
  try {
    const [phases] = await Promise.all([load.phases(), disturbed])
    const end = Date.now()
    return {
      phases: plan.map((phase, i) => ({ ...phase, tally: phases[i] as RunRecord['phases'][number]['tally'] })),
      slices: load.slices,
      samples: watch.samples,
      happened: happened.toSorted((a, b) => a.begin - b.begin),
      reloads: own?.reloads ?? [],
      writes: own?.origins.writes() ?? null,
      exitCode: null,
      trialMost: own === null ? null : own.mostOfTrial * (Math.floor(end / 1000) - Math.floor(begin / 1000) + 1),
      capacity: call.capacity,
    }
  } finally {
    watch.stop()
    clock.stop()
    await load.stop()
  }
}

/** Seconds since the begin of the load. */
class Clock {
  readonly #begin: number
  readonly #stopped = new AbortController()

  constructor(begin: number) {
    this.#begin = begin
  }

  get now(): number {
    return (Date.now() - this.#begin) / 1000
  }

  async until(at: number): Promise<void> {
    await delay(Math.max(0, (at - this.now) * 1000), undefined, { signal: this.#stopped.signal })
  }

  stop(): void {
    this.#stopped.abort()
  }
}

interface Occasion {
  readonly clock: Clock
  readonly times: { readonly begin: number; readonly end: number }
  readonly progress: Progress
}

async function disturb(disturbance: Disturbance, bed: Bed, { clock, times, progress }: Occasion): Promise<Happened> {
  const { name } = disturbance
  await clock.until(times.begin)
  const begin = clock.now
  await disturbance.begin(bed)
  progress.say(`  ${begin.toFixed(1)} s: ${name}`)
  for (let second = times.begin + 1; disturbance.each !== undefined && second < times.end; second++) {
    await disturbance.each(bed)
    await clock.until(second)
  }
  if (times.end === times.begin) return { name, begin, end: begin }
  await clock.until(times.end)
  await disturbance.end?.(bed)
  const end = clock.now
  progress.say(`  ${end.toFixed(1)} s: ${name}: over`)
  return { name, begin, end }
}

/** Looks on, once a second. */
class Watch {
  readonly samples: Sample[] = []
  readonly #timer: NodeJS.Timeout
  readonly #begin: number

  constructor(
    begin: number,
    { bed, plan, load, pid }: { bed: Bed; plan: readonly PlannedPhase[]; load: Load; pid: number | null },
    progress: Progress,
  ) {
    this.#begin = begin
    const seconds = plan.at(-1)?.end ?? 0
    let shown = 0
    this.#timer = setInterval(() => {
      const at = (Date.now() - this.#begin) / 1000
      const sample = pid === null ? null : takeSample(at, pid, [...load.pids, ...(bed.own?.pids ?? [])])
      if (sample !== null) this.samples.push(sample)
      // The slices of the last second are on their way for a moment.
      const second = Math.floor(at - 0.2)
      if (second <= shown || second > seconds) return
      shown = second
      const phase = plan.find(({ end }) => second - 0.5 < end)?.name ?? ''
      progress.show({ second, seconds, phase, tally: load.second(second - 1), sample })
    }, 500)
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}

/** Two digits are enough for a rate. */
function nice(value: number): number {
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(value)) - 1)
  return Math.max(1, Math.round(value / unit) * unit)
}
