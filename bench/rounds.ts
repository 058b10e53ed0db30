import { type Generator, type LoadJob, type LoadResult, measure } from './load.ts'
import { isInstalled, processorTime } from './processes.ts'
import type { Step } from './progress.ts'
import type { Proxy } from './servers.ts'
import { median, type Ratio, ratioOf, spread } from './statistics.ts'

export interface Plan {
  readonly rounds: number
  readonly seconds: number
  readonly warmup: number
  readonly connections: number
  readonly paths: readonly string[]
  readonly credentials?: readonly string[]
  /** Without warm-up: nobody will read the figures. */
  readonly cold?: boolean
}

/** One who takes part in a comparison. */
export interface Subject extends Proxy {
  /** What its requests differ in from those of the others. */
  readonly load?: Partial<LoadJob>
}

export interface Row {
  readonly name: string
  /** Medians over the rounds. */
  readonly perSecond: number
  readonly spread: number
  readonly p50: number
  readonly p99: number
  /** Microseconds of processor time per request, kernel included: what remains when the generator is the bottleneck. */
  readonly processorTime: number
  /** Share of its core that it used: below nine tenths, something else was the limit. */
  readonly busy: number
  readonly failed: number
  readonly rounds: readonly Round[]
  /** What else there is to say, by column. */
  readonly figures: Readonly<Record<string, number>>
}

export interface Round extends LoadResult {
  readonly processorTime: number
  readonly busy: number
}

/** What was measured in turns, by one generator. */
export interface Group {
  readonly title: string
  readonly generator: Generator | 'node:tls'
  /** The first is what the others are compared with. */
  readonly rows: readonly Row[]
  /** What a row counts a second. */
  readonly unit: string
}

/** Below this share of a core it was not the proxy that was the limit. */
export const full = 0.9

/** What runs one measurement. */
export type Send = (job: LoadJob) => Promise<LoadResult>

/**
 * Measures in turns (A B C A B C …), so that whatever else the machine does hits all of them alike. Each is warmed up first.
 */
export async function measureInTurns(subjects: readonly Subject[], send: Send, plan: Plan, step: Step): Promise<Row[]> {
  const { rounds, warmup, cold = false } = plan
  const results = subjects.map((subject) => ({ subject, rounds: [] as Round[] }))
  const total = subjects.length * (rounds + (cold ? 0 : 1))
  let done = 0
  for (let round = cold ? 1 : 0; round <= rounds; round++) {
    for (const result of results) {
      const one = await once(result.subject, send, round === 0 ? { ...plan, seconds: warmup } : plan)
      if (round > 0) result.rounds.push(one)
      done++
      const phase = round === 0 ? 'warm-up' : `round ${round}/${rounds}`
      step(done / total, `${phase}: ${result.subject.name} ${Math.round(one.perSecond)}/s`)
    }
  }
  return results.map(({ subject, rounds: list }) => rowOf(subject.name, list))
}

async function once({ port, started, load }: Subject, send: Send, plan: Plan): Promise<Round> {
  const { connections, seconds, paths, credentials = [] } = plan
  const pid = started.process.pid as number
  const before = processorTime(pid)
  const result = await send({ port, connections, seconds, paths, credentials, ...load })
  const used = processorTime(pid) - before
  return { ...result, processorTime: used / result.requests, busy: (used * result.perSecond) / result.requests / 1e6 }
}

export function rowOf(name: string, rounds: readonly Round[]): Row {
  const of = (figure: keyof Round): number[] => rounds.map((round) => round[figure])
  return {
    name,
    perSecond: median(of('perSecond')),
    spread: spread(of('perSecond')),
    p50: median(of('p50')),
    p99: median(of('p99')),
    processorTime: median(of('processorTime')),
    busy: median(of('busy')),
    failed: of('failed').reduce((sum, failed) => sum + failed, 0),
    rounds,
    figures: {},
  }
}

/** How much more a row does a second than another. */
export function ratioBetween(above: Row, below: Row): Ratio {
  const speeds = ({ rounds }: Row): number[] => rounds.map(({ perSecond }) => perSecond)
  return ratioOf(speeds(above), speeds(below))
}

/** Which generators measure: those that were asked for, or autocannon, and wrk where autocannon is itself the limit. */
export type Choice = readonly Generator[] | 'auto'

/**
 * Compares subjects. Where nobody chose a generator, the warm-up shows whether autocannon can fill the core of the first one;
 * if it can't, wrk measures, too (`both`) or in its place.
 */
export async function compare(
  title: string,
  subjects: readonly Subject[],
  plan: Plan,
  step: Step,
  { choice, both = false, unit = 'req/s' }: { choice: Choice; both?: boolean; unit?: string },
): Promise<Group[]> {
  const groups: Group[] = []
  const generators = choice === 'auto' ? await choose(subjects, plan, both) : choice
  for (const [i, generator] of generators.entries()) {
    const part: Step = (share, text) => step((i + share) / generators.length, `${title}, ${generator}, ${text}`)
    const rows = await measureInTurns(subjects, (job) => measure(generator, job), plan, part)
    groups.push({ title, generator, rows, unit })
  }
  return groups
}

async function choose(subjects: readonly Subject[], plan: Plan, both: boolean): Promise<Generator[]> {
  if (!isInstalled('wrk')) return ['autocannon']
  const { busy } = await once(subjects[0] as Subject, (job) => measure('autocannon', job), {
    ...plan,
    seconds: plan.warmup,
  })
  if (busy >= full) return ['autocannon']
  return both ? ['autocannon', 'wrk'] : ['wrk']
}
