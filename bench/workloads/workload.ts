import type { Peer } from '../peers/peer.ts'
import type { Step } from '../progress.ts'
import type { Choice, Group, Plan } from '../rounds.ts'

/** What a workload is given. */
export interface Bench {
  readonly plan: Plan
  readonly choice: Choice
  /** Those that are here and asked for. */
  readonly peers: readonly Peer[]
  /** Shows that everything runs, in seconds. */
  readonly quick: boolean
  /** Minutes that the soak takes. */
  readonly minutes: number
  readonly step: Step
}

/** What it found. */
export interface Findings {
  readonly groups: readonly Group[]
  /** What has to be known to read them. */
  readonly notes?: readonly string[]
  /** A figure over time. */
  readonly series?: Series
  /** Tables of its own, as Markdown, and the figures in them. */
  readonly text?: string
  readonly data?: unknown
}

export interface Series {
  readonly title: string
  readonly unit: string
  /** Seconds from the beginning, and the figure then. */
  readonly points: readonly (readonly [seconds: number, value: number])[]
}

export interface Workload {
  /** What `--only` calls it. */
  readonly name: string
  readonly title: string
  /** What is measured and how, in a few sentences. */
  readonly about: string
  /** How long it takes with the usual rounds, about. */
  readonly minutes: number
  /** Only when it is asked for. */
  readonly extra?: boolean
  run(bench: Bench): Promise<Findings>
}
