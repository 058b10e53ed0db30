import type { Stretch } from './schedule.ts'
import type { TallyData } from './tally.ts'

/** Where requests are sent. */
export interface Target {
  readonly secure: boolean
  readonly host: string
  readonly port: number
}

/** Who sends a request. */
export interface Caller {
  /** What the origin must be told; empty: nobody. */
  readonly name: string
  /** Header lines, each with its end; `{n}` in them stands for the number of the request in 12 characters. */
  readonly headers: string
}

/** A kind of request that is part of the load. */
export interface Kind {
  readonly name: string
  readonly method: 'GET' | 'POST'
  /** `{n}` in it stands for the number of the request. */
  readonly path: string
  /** In turns. */
  readonly callers: readonly Caller[]
  /** Of requests in all, in whole numbers. */
  readonly share: number
  /** The only phase that it belongs to; `null`: all. */
  readonly phase: string | null
  /** Statuses of good answers; empty: all below 400. */
  readonly expects: readonly number[]
  /** Whether 429 and 503 are no failures. */
  readonly refusable: boolean
  /** Whether the answer must be that of the origin in origin.ts, made for this request and this caller. */
  readonly echoed: boolean
  /** Whether its times are left out of the percentiles. */
  readonly background: boolean
  /** Whether it is there (200) only in even versions of the configuration, and else not found. */
  readonly evenOnly: boolean
}

export interface JobPhase extends Stretch {
  readonly name: string
  readonly target: 'gateway' | 'origin'
}

/** What a load process does. */
export interface Job {
  /** `open`: requests when they are due. `closed`: the next when the last one is answered, as fast as that goes. */
  readonly mode: 'open' | 'closed'
  readonly targets: { readonly gateway: Target; readonly origin: Target | null }
  readonly phases: readonly JobPhase[]
  readonly kinds: readonly Kind[]
  /** Of `processes` this is number `index`, and sends every request that falls to it. */
  readonly index: number
  readonly processes: number
  /** Number of the first request, of all processes: no two jobs for one gateway use the same. */
  readonly firstNumber: number
  /** Connections that are kept open, and the most that there may be. */
  readonly connections: number
  readonly mostConnections: number
  /** Milliseconds after which a request is lost. */
  readonly timeout: number
}

/** Versions of the configuration that an answer may come from. */
export interface Versions {
  /** In force everywhere: what is sent from now on must meet it or a newer one. */
  readonly oldest: number
  /** The newest that may be in force somewhere. */
  readonly newest: number
}

export type ToLoad =
  | { readonly type: 'job'; readonly job: Job }
  /** Begins at this `Date.now()`. */
  | { readonly type: 'begin'; readonly at: number }
  | { readonly type: 'versions'; readonly id: number; readonly versions: Versions }

export type FromLoad =
  | { readonly type: 'ready' }
  /** The versions with this id hold from now on. */
  | { readonly type: 'versions'; readonly id: number }
  /** What has happened within a slice of time. */
  | { readonly type: 'slice'; readonly index: number; readonly tally: TallyData }
  /** The end: a tally of the requests that were due in each phase. */
  | { readonly type: 'done'; readonly phases: readonly TallyData[] }

/** Milliseconds of a slice. */
export const sliceLength = 200
