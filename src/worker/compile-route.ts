import type { EffectivePlugin } from '../config/effective-plugins.ts'
import { followFacts, isAuthenticating } from '../config/facts.ts'
import { reject } from '../core/errors.ts'
import { isToken } from '../core/headers.ts'
import { type AccessStep, ConfigFault, type Deps, type LogStep, type RouteFacts, type Steps } from '../core/plugin.ts'
import { type AuthenticationRule, type Authenticator, joinAuthentication } from '../proxy/authentication.ts'
import {
  type FaultReporter,
  guardAccess,
  guardLog,
  guardResponse,
  joinAccess,
  joinLog,
  joinResponse,
  type ResponseChain,
} from '../proxy/chain.ts'
import { limitTime, type TimeLimits, watchTime } from '../proxy/time-limit.ts'

/** The plugins of one route, ready to run. A phase without steps is `null`. */
export interface Chain {
  readonly access: AccessStep | null
  readonly response: ResponseChain | null
  readonly log: LogStep | null
  /** Request headers (lower-case) that these plugins inject: clients must not send them on any route. */
  readonly injects: readonly string[]
}

/** What a chain needs of its worker. */
export interface ChainServices {
  depsFor(effective: EffectivePlugin): Deps
  readonly limits: TimeLimits
  readonly report: FaultReporter
}

/** A plugin that can't be compiled into its route. `cause` is what it threw, a `ConfigFault` mostly. */
export class ChainFault extends Error {
  override readonly name = 'ChainFault'
  readonly plugin: EffectivePlugin

  constructor(route: string, plugin: EffectivePlugin, cause: unknown) {
    const path = cause instanceof ConfigFault && cause.path.length > 0 ? ` (config.${cause.path.join('.')})` : ''
    const reason = cause instanceof Error ? cause.message : String(cause)
    super(`route "${route}": plugin "${plugin.plugin.name}"${path}: ${reason}`, { cause })
    this.plugin = plugin
  }
}

/**
 * Makes the chain of one route: runs `create` of each plugin, in the order given, and joins the steps. Throws a
 * `ChainFault` for a plugin that refuses its configuration or needs a fact that no plugin before it provides. Without `auth`
 * its access steps never run, so that nothing is needed.
 */
export function compileChain(
  plugins: readonly EffectivePlugin[],
  route: RouteFacts,
  auth: AuthenticationRule | null,
  services: ChainServices,
): Chain {
  const injects = new Set<string>()
  const access: AccessStep[] = []
  const response: ResponseChain[] = []
  const log: LogStep[] = []
  /** Where the group of authenticating plugins runs that is more than one after the other. */
  const group: Authenticator[] = []
  const isGroup =
    auth !== null && (auth.anonymous !== null || (auth.match === 'any' && plugins.filter(isAuthenticating).length > 1))

  if (auth !== null) {
    followFacts(plugins, { match: auth.match, anonymous: auth.anonymous?.id ?? null }, (effective, fact) => {
      const fault = new ConfigFault(`needs "${fact}", but no plugin before it provides that`)
      throw new ChainFault(route.name, effective, fault)
    })
  }
  for (const effective of plugins) {
    try {
      const { plugin, entry } = effective
      for (const name of plugin.injects?.(entry.config) ?? []) injects.add(headerName(name))
      const steps = plugin.create(entry.config, services.depsFor(effective))
      checkSteps(steps)
      if (steps.access !== undefined) {
        const step = accessStep(steps.access, effective, services)
        if (!isGroup || !isAuthenticating(effective)) access.push(step)
        else if (group.push({ access: step, withhold: steps.withhold ?? null }) === 1)
          access.push(joinAuthentication(group, auth))
      }
      if (steps.response !== undefined) response.push(responseStep(steps.response, effective, services))
      if (steps.log !== undefined) log.push(logStep(steps.log, effective, services))
    } catch (error) {
      throw new ChainFault(route.name, effective, error)
    }
  }
  return { access: joinAccess(access), response: joinResponse(response), log: joinLog(log), injects: [...injects] }
}

/**
 * The steps of top-level plugins that run before the route is matched, joined; `null` when there are none. Throws a
 * `ChainFault` like `compileChain`.
 */
export function compileBeforeMatch(plugins: readonly EffectivePlugin[], services: ChainServices): AccessStep | null {
  const steps = plugins.flatMap((effective) => {
    try {
      const step = effective.plugin.beforeMatch?.(effective.entry.config, services.depsFor(effective))
      return step === undefined ? [] : [accessStep(step, effective, services)]
    } catch (error) {
      throw new ChainFault('', effective, error)
    }
  })
  return joinAccess(steps)
}

function accessStep(step: AccessStep, { plugin, entry }: EffectivePlugin, services: ChainServices): AccessStep {
  const guarded = guardAccess(step, plugin.name, services.report)
  if (entry.timeout === null) return guarded
  const skip = entry.on_timeout === 'skip' && plugin.class !== 'security'
  return limitTime(guarded, {
    plugin: plugin.name,
    limit: entry.timeout,
    onTimeout: skip ? undefined : reject('plugin_timeout', { detail: plugin.name }),
    limits: services.limits,
    report: services.report,
  })
}

function responseStep(
  step: NonNullable<Steps['response']>,
  { plugin, entry }: EffectivePlugin,
  { report }: ChainServices,
): ResponseChain {
  const guarded = guardResponse(step, plugin.name, plugin.class === 'security', report)
  return entry.timeout === null ? guarded : watchTime(guarded, plugin.name, 'response', entry.timeout, report)
}

function logStep(step: LogStep, { plugin, entry }: EffectivePlugin, { report }: ChainServices): LogStep {
  const guarded = guardLog(step, plugin.name, report)
  return entry.timeout === null ? guarded : watchTime(guarded, plugin.name, 'log', entry.timeout, report)
}

const stepNames = new Set(['access', 'withhold', 'response', 'log'] satisfies (keyof Steps)[] as string[])

/** An operator's module is not type-checked. */
function checkSteps(steps: unknown): asserts steps is Steps {
  if (typeof steps !== 'object' || steps === null || 'then' in steps) {
    throw new TypeError('create() must return an object of steps, and not a promise')
  }
  for (const [phase, step] of Object.entries(steps)) {
    if (!stepNames.has(phase)) {
      throw new TypeError(`create() returned a step for the unknown phase "${phase}"`)
    }
    if (step !== undefined && typeof step !== 'function') throw new TypeError(`the ${phase} step must be a function`)
  }
}

function headerName(name: unknown): string {
  if (typeof name !== 'string' || !isToken(name))
    throw new TypeError(`injects() named "${String(name)}", which is no header`)
  return name.toLowerCase()
}
