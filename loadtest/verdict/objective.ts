import { parse } from 'yaml'
import { z } from 'zod'
import { didYouMean } from '../../src/config/nearest.ts'
import { costOf } from './cost.ts'
import { type Figure, measured, measureOf, ownLagOf, phaseMeasures, runMeasures } from './measure.ts'
import type { RunRecord } from './record.ts'

/** What must hold of a run. */
export interface Objective {
  /** As it stands in the file: `p99_ms`, `spike/p99_ms`. */
  readonly name: string
  readonly phase: string | null
  readonly measure: string
  readonly atLeast: number | null
  readonly atMost: number | null
}

/**
 * `told`: with --smoke, pace decides nothing. `unfair`: it was missed, but the load itself was late by as much, or others had the machine.
 * `unseen`: of somebody else's gateway that can't be seen.
 */
export type Result = 'pass' | 'fail' | 'told' | 'unfair' | 'unseen'

export interface Verdict {
  readonly objective: Objective
  readonly seen: number | null
  readonly unit: string
  readonly result: Result
  /** How late the load itself was, in milliseconds. */
  readonly ownLag: number
}

const bound = z.union([
  z.number().transform((value) => ({ at_least: value, at_most: value })),
  z
    .strictObject({ at_least: z.number().optional(), at_most: z.number().optional() })
    .refine((given) => Object.keys(given).length > 0, 'needs "at_least" or "at_most"'),
])
const file = z.record(z.string(), z.record(z.string(), bound))

/** Objectives that hold in every scenario stand under this name. */
const everywhere = 'every'

/** Milliseconds: a load that is later than that proves nothing about speed. */
const mostLag = 100
/** Percent of the machine: where other programs have more of it, neither. */
export const mostOfOthers = 20

/** Reads an objectives file. Throws a `TypeError` with every fault in it. */
export function readObjectives(
  text: string,
  phases: Readonly<Record<string, readonly string[]>>,
): Map<string, readonly Objective[]> {
  const read = file.safeParse(parse(text))
  if (!read.success) {
    throw new TypeError(read.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('\n'))
  }
  const faults: string[] = []
  const sections = new Map<string, Objective[]>()
  for (const [section, bounds] of Object.entries(read.data)) {
    if (section !== everywhere && !Object.hasOwn(phases, section))
      faults.push(`${section}: there is no such scenario${didYouMean(section, Object.keys(phases))}`)
    const own = Object.entries(bounds).map(([name, given]): Objective => {
      const [measure, phase = null] = name.split('/').toReversed() as [string, string?]
      const fault = faultOf(measure, phase, section === everywhere ? [] : (phases[section] ?? []))
      if (fault !== null) faults.push(`${section}.${name}: ${fault}`)
      return { name, phase, measure, atLeast: given.at_least ?? null, atMost: given.at_most ?? null }
    })
    sections.set(section, own)
  }
  if (faults.length > 0) throw new TypeError(faults.join('\n'))
  const shared = sections.get(everywhere) ?? []
  return new Map(
    Object.keys(phases).map((scenario) => {
      const own = sections.get(scenario) ?? []
      return [scenario, [...shared.filter(({ name }) => own.every((one) => one.name !== name)), ...own]]
    }),
  )
}

function faultOf(measure: string, phase: string | null, phases: readonly string[]): string | null {
  if (measureOf(measure) === undefined) {
    const known = [...Object.keys(phaseMeasures), ...Object.keys(runMeasures)]
    return `there is no such measure${didYouMean(measure, known)}`
  }
  if (phase === null) return null
  if (!phases.includes(phase)) return `the scenario has no phase "${phase}"${didYouMean(phase, phases)}`
  const isOfPhases = Object.hasOwn(phaseMeasures, measure) || measure.startsWith('status_')
  return isOfPhases ? null : "is of a whole run: it can't be of one phase"
}

export interface JudgedRun {
  readonly isSmoke: boolean
  /** Whether the gateway is one of our own: then there is nothing that can't be seen. */
  readonly isOwn: boolean
}

/** What became of each objective. */
export function judge(objectives: readonly Objective[], record: RunRecord, run: JudgedRun): Verdict[] {
  const lag = ownLagOf(record)
  const isDisturbed = lag > mostLag || (costOf(record)?.others_percent ?? 0) > mostOfOthers
  return objectives.map((objective) => {
    const { measure: name, phase } = objective
    const measure = measureOf(name)
    if (measure === undefined) throw new TypeError(`there is no measure "${name}"`)
    const phases = phase === null ? measured(record.phases) : record.phases.filter((one) => one.name === phase)
    const figure = measure.of(record, phases)
    const isPace = measure.about === 'pace'
    return {
      objective,
      seen: figure.value,
      unit: measure.unit,
      ownLag: figure.ownLag ?? lag,
      result: resultOf(objective, figure, {
        isTold: isPace && run.isSmoke,
        isDisturbed: isPace && isDisturbed,
        isOwn: run.isOwn,
      }),
    }
  })
}

function resultOf(
  objective: Objective,
  { value, ownLag }: Figure,
  { isTold, isDisturbed, isOwn }: { readonly isTold: boolean; readonly isDisturbed: boolean; readonly isOwn: boolean },
): Result {
  if (isTold) return 'told'
  if (value === null) return isOwn ? 'fail' : 'unseen'
  if (holds(objective, value)) return 'pass'
  return isDisturbed || holds(objective, value - (ownLag ?? 0)) ? 'unfair' : 'fail'
}

function holds({ atLeast, atMost }: Objective, value: number): boolean {
  return (atLeast === null || value >= atLeast) && (atMost === null || value <= atMost)
}
