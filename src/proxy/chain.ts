import type { AccessContext, LogContext, ResponseContext } from '../core/context.ts'
import { type Rejection, reject } from '../core/errors.ts'
import type { AccessStep, LogStep, ResponseStep, Verdict } from '../core/plugin.ts'

/**
 * What a step did wrong: it threw or rejected, it did not settle in time, it was synchronous and held everybody up,
 * or it returned something that means nothing.
 */
export type FaultKind = 'error' | 'timeout' | 'slow' | 'bad_verdict'
export type PhaseName = 'access' | 'response' | 'log'

/** Hears of every fault of a step; it counts them and logs a few. `error` is what was thrown, else `null`. */
export type FaultReporter = (plugin: string, phase: PhaseName, kind: FaultKind, error: unknown) => void

/**
 * All response steps of a route. A rejection means that a step of class security failed: the answer at hand must not
 * go out, the rejection goes out in its place, and no response step runs on that.
 */
export type ResponseChain = (ctx: ResponseContext) => Rejection | undefined

/**
 * Joins access steps into one; `null` when there are none. Stays synchronous, and allocates nothing, until a step
 * returns a promise. Once the client is gone no further step runs.
 */
export function joinAccess(steps: readonly AccessStep[]): AccessStep | null {
  if (steps.length === 0) return null
  if (steps.length === 1) return steps[0] as AccessStep
  return (ctx) => runFrom(steps, 0, ctx)
}

function runFrom(steps: readonly AccessStep[], start: number, ctx: AccessContext): Verdict | Promise<Verdict> {
  for (let i = start; i < steps.length; i++) {
    const verdict = (steps[i] as AccessStep)(ctx)
    if (verdict === undefined) continue
    // Behind the last one nothing is to be resumed.
    return verdict instanceof Promise && i + 1 < steps.length ? resume(verdict, steps, i + 1, ctx) : verdict
  }
  return undefined
}

async function resume(
  pending: Promise<Verdict>,
  steps: readonly AccessStep[],
  next: number,
  ctx: AccessContext,
): Promise<Verdict> {
  const verdict = await pending
  return verdict !== undefined || ctx.aborted ? verdict : runFrom(steps, next, ctx)
}

/** Joins response steps into one; `null` when there are none. */
export function joinResponse(steps: readonly ResponseChain[]): ResponseChain | null {
  if (steps.length === 0) return null
  if (steps.length === 1) return steps[0] as ResponseChain
  return (ctx) => {
    for (let i = 0; i < steps.length; i++) {
      const rejection = (steps[i] as ResponseChain)(ctx)
      if (rejection !== undefined) return rejection
    }
    return undefined
  }
}

/** Joins log steps into one; `null` when there are none. */
export function joinLog(steps: readonly LogStep[]): LogStep | null {
  if (steps.length === 0) return null
  if (steps.length === 1) return steps[0] as LogStep
  return (ctx) => {
    for (let i = 0; i < steps.length; i++) (steps[i] as LogStep)(ctx)
  }
}

/** Makes an access step that can't throw: what goes wrong in it refuses the request with `plugin_failed`. */
export function guardAccess(step: AccessStep, plugin: string, report: FaultReporter): AccessStep {
  const failed = reject('plugin_failed', { detail: plugin })
  const fail = (error: unknown): Verdict => {
    report(plugin, 'access', 'error', error)
    return failed
  }
  const check = (verdict: Verdict): Verdict => {
    if (verdict === undefined || isVerdict(verdict)) return verdict
    report(plugin, 'access', 'bad_verdict', null)
    return failed
  }

  return (ctx) => {
    let verdict: ReturnType<AccessStep>
    try {
      verdict = step(ctx)
    } catch (error) {
      return fail(error)
    }
    if (verdict === undefined) return undefined
    return isThenable(verdict) ? Promise.resolve<Verdict>(verdict).then(check, fail) : check(verdict)
  }
}

/**
 * Makes a response step that can't throw. When it fails, the answer goes out as it is by then; unless the plugin is
 * of class security, then `plugin_failed` goes out.
 */
export function guardResponse(
  step: ResponseStep,
  plugin: string,
  isSecurity: boolean,
  report: FaultReporter,
): ResponseChain {
  const failed = isSecurity ? reject('plugin_failed', { detail: plugin }) : undefined
  const fail = (error: unknown): Rejection | undefined => {
    report(plugin, 'response', 'error', error)
    return failed
  }

  return (ctx) => {
    try {
      const result: unknown = step(ctx)
      return result !== undefined && isThenable(result) ? fail(notAwaited(result)) : undefined
    } catch (error) {
      return fail(error)
    }
  }
}

/** Makes a log step that can't throw. */
export function guardLog(step: LogStep, plugin: string, report: FaultReporter): LogStep {
  return (ctx: LogContext) => {
    try {
      const result: unknown = step(ctx)
      if (result !== undefined && isThenable(result)) report(plugin, 'log', 'error', notAwaited(result))
    } catch (error) {
      report(plugin, 'log', 'error', error)
    }
  }
}

function isThenable<T>(value: T): value is T & PromiseLike<unknown> {
  return value instanceof Promise || typeof (value as PromiseLike<unknown> | null)?.then === 'function'
}

/** An operator's module may have an async step where none can be waited for: its rejection must not end the process. */
function notAwaited(pending: PromiseLike<unknown>): Error {
  pending.then(undefined, () => {})
  return new TypeError('the step returned a promise, but response and log steps must be synchronous')
}

/** Looks only at what a step really returned, so it costs passing requests nothing. */
function isVerdict(verdict: unknown): boolean {
  if (typeof verdict !== 'object' || verdict === null) return false
  const { status, headers, body, message, code } = verdict as Record<string, unknown>
  if (typeof body !== 'string') return false
  if (!Number.isInteger(status) || (status as number) < 200 || (status as number) > 599) return false
  if (!Array.isArray(headers) || headers.length % 2 !== 0) return false
  return code === undefined || (typeof code === 'string' && typeof message === 'string')
}
