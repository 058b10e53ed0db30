import { sliceLength } from '../load/job.ts'
import { merged, type Tally } from '../load/tally.ts'
import { drift, growth, slopePerMinute } from './memory.ts'
import type { RecordedPhase, RunRecord } from './record.ts'
import { recoveries } from './recovery.ts'

/** A figure of a run, or of one phase of it. */
export interface Figure {
  /** `null`: there was nothing to see. */
  readonly value: number | null
  /** How much of it the load may have added by being late itself, in the same unit. */
  readonly ownLag?: number | null
}

export interface Measure {
  readonly unit: '' | 'ms' | 's' | 'MB' | 'MB/min' | '%'
  /** Errors decide always. With --smoke what depends on the pace of the machine is only told. */
  readonly about: 'errors' | 'pace'
  of(record: RunRecord, phases: readonly RecordedPhase[]): Figure
}

type Of = Measure['of']

const errors = (unit: Measure['unit'], of: Of): Measure => ({ unit, about: 'errors', of })
const pace = (unit: Measure['unit'], of: Of): Measure => ({ unit, about: 'pace', of })
const share = (about: Measure['about'], count: (tally: Tally) => number): Measure => ({
  unit: '%',
  about,
  of(_record, phases) {
    const tally = tallyOf(phases)
    return { value: tally.due === 0 ? null : (100 * count(tally)) / tally.due }
  },
})
const time = (percent: number): Measure =>
  pace('ms', (_record, phases) => {
    const tally = tallyOf(phases)
    return { value: tally.servedTime(percent), ownLag: tally.lagTime(percent) }
  })

/** What objectives can be about, of the whole run or of one phase: `phase/measure`. */
export const phaseMeasures: Readonly<Record<string, Measure>> = {
  wrong_answers: errors('', (_record, phases) => ({ value: tallyOf(phases).counts.wrong })),
  lost_answers: errors('', (_record, phases) => ({ value: tallyOf(phases).counts.lost })),
  failed_percent: share('errors', ({ failures }) => failures),
  broken_percent: share('errors', ({ counts }) => counts.broken),
  refused_percent: share('pace', ({ counts }) => counts.refused),
  answered_percent: pace('%', answeredPercent),
  p50_ms: time(50),
  p99_ms: time(99),
  p999_ms: time(99.9),
  refusal_p99_ms: pace('ms', (_record, phases) => {
    const tally = tallyOf(phases)
    return { value: tally.refusedTime(99), ownLag: tally.lagTime(99) }
  }),
  slowdown: pace('', slowdown),
}

/** What can be said of a whole run only. */
export const runMeasures: Readonly<Record<string, Measure>> = {
  p99_overhead_ms: pace('ms', overhead),
  p99_drift: pace('', ({ slices, phases }) => ({ value: drift(slices, beginOf(phases)) })),
  sustained_percent: pace('%', sustained),
  recovery_s: pace('s', (record) => ({ value: slowestRecovery(record, 'recovered') })),
  calm_s: pace('s', (record) => ({ value: slowestRecovery(record, 'calm') })),
  memory_growth_mb: pace('MB', ({ samples, phases }) => ({
    value: growth(samples, beginOf(phases), ({ resident }) => resident / 2 ** 20),
  })),
  memory_slope_mb_per_minute: pace('MB/min', ({ samples }) => ({ value: slopePerMinute(samples) })),
  open_files_growth: pace('', ({ samples, phases }) => ({
    value: growth(samples, beginOf(phases), ({ openFiles }) => openFiles),
  })),
  repeated_writes: errors('', ({ writes }) => ({ value: writes?.repeated ?? null })),
  trial_admitted_percent: pace('%', trialAdmitted),
  reloads: pace('', ({ reloads }) => ({ value: reloads.length })),
  reloads_gone_wrong: errors('', ({ reloads }) => ({
    value: reloads.filter(({ asExpected }) => !asExpected).length,
  })),
  reload_most_s: pace('s', ({ reloads }) => ({
    value: reloads.length === 0 ? null : Math.max(...reloads.map(({ took }) => took)) / 1000,
  })),
  exit_code: errors('', ({ exitCode }) => ({ value: exitCode === null ? null : Number(exitCode) })),
}

/** The measure of a name such as `p99_ms`, `status_502_percent`, or `undefined`. */
export function measureOf(name: string): Measure | undefined {
  const status = /^status_(\d{3})_percent$/.exec(name)?.[1]
  if (status !== undefined) return share('errors', (tally) => tally.withStatus(status))
  if (Object.hasOwn(phaseMeasures, name)) return phaseMeasures[name]
  return Object.hasOwn(runMeasures, name) ? runMeasures[name] : undefined
}

/** How late the load itself was: 99th percentile over what is measured, in milliseconds. */
export function ownLagOf({ phases }: RunRecord): number {
  return tallyOf(measured(phases)).lagTime(99) ?? 0
}

/** The phases that count when none is named. */
export function measured(phases: readonly RecordedPhase[]): RecordedPhase[] {
  return phases.filter((phase) => phase.measured && !phase.direct)
}

export function recoveriesOf({ happened, slices, phases }: RunRecord): ReturnType<typeof recoveries> {
  return recoveries(happened, slices, beginOf(phases))
}

function tallyOf(phases: readonly RecordedPhase[]): Tally {
  return phases.length === 1 ? (phases[0] as RecordedPhase).tally : merged(phases.map(({ tally }) => tally.data()))
}

/** Seconds until what is measured begins. */
function beginOf(phases: readonly RecordedPhase[]): number {
  return measured(phases)[0]?.begin ?? 0
}

/** Answers that came while the phases lasted, as a share of what was asked for. */
function answeredPercent({ slices }: RunRecord, phases: readonly RecordedPhase[]): Figure {
  let asked = 0
  let answered = 0
  for (const { begin, end, from, to } of phases) {
    asked += ((from + to) / 2) * (end - begin)
    const bounds = [begin, end].map((at) => Math.round((at * 1000) / sliceLength))
    answered += slices.slice(...bounds).reduce((sum, slice) => sum + slice.answered, 0)
  }
  return { value: asked === 0 ? null : (100 * answered) / asked }
}

/** The 99th percentile as a multiple of that of the first phase that counts. */
function slowdown({ phases }: RunRecord, of: readonly RecordedPhase[]): Figure {
  const before = measured(phases)[0]?.tally.servedTime(99) ?? null
  const now = tallyOf(of).servedTime(99)
  return { value: before === null || now === null ? null : now / before }
}

function overhead({ phases }: RunRecord): Figure {
  const direct = tallyOf(phases.filter((phase) => phase.direct))
  const through = tallyOf(measured(phases))
  const [without, with_] = [direct.servedTime(99), through.servedTime(99)]
  if (without === null || with_ === null) return { value: null }
  return { value: with_ - without, ownLag: Math.max(0, (through.lagTime(99) ?? 0) - (direct.lagTime(99) ?? 0)) }
}

/** The highest rate at which next to all was answered, without a failure and soon, as a share of the capacity. */
function sustained(record: RunRecord): Figure {
  const good = measured(record.phases).filter((phase) => {
    const { tally } = phase
    const percent = answeredPercent(record, [phase]).value ?? 0
    return tally.failures === 0 && percent >= 95 && (tally.servedTime(99) ?? Infinity) <= sustainedTime
  })
  const rate = Math.max(0, ...good.map(({ from, to }) => (from + to) / 2))
  const most = record.capacity ?? Math.max(...measured(record.phases).map(({ to }) => to))
  return { value: (100 * rate) / most }
}

/** Milliseconds within which 99 % must be answered for a rate to count as sustained. */
const sustainedTime = 100

function slowestRecovery(record: RunRecord, what: 'recovered' | 'calm'): number | null {
  const all = recoveriesOf(record)
  return all.length === 0 ? null : Math.max(...all.map((one) => one[what] ?? Infinity))
}

function trialAdmitted({ phases, trialMost }: RunRecord): Figure {
  if (trialMost === null) return { value: null }
  // What goes past the gateway is not admitted by it.
  const all = phases.filter(({ direct }) => !direct)
  const admitted = all.reduce((sum, { tally }) => sum + (tally.answers['trial']?.['200'] ?? 0), 0)
  return { value: (100 * admitted) / trialMost }
}
