import type { AccessContext, LogContext } from '../../core/context.ts'
import { type AccessStep, type Deps, definePlugin, type Fact, type Verdict } from '../../core/plugin.ts'
import type { Admission, Limit, LimitStore } from '../../core/services/limits.ts'
import { limitHeaders } from './headers.ts'
import { canBeEarly, type LimitRule } from './limit.ts'
import { Rule } from './rule.ts'
import { type Config, schema } from './schema.ts'
import { sharedTerms } from './terms.ts'
import { WaitingRoom } from './waiting-room.ts'

/** What metrics call the route of limits that are checked before one is matched. */
const anyRoute = '_all'

/**
 * Any number of limits at once, each with a counter of its own; a request is admitted by all of them or by none.
 *
 * Limits by address, and those on everybody together, of the top-level entry are checked before the route is matched, all
 * others in the route's own chain, where it is known who calls.
 */
export const rateLimiting = definePlugin<Config>({
  name: 'rate-limiting',
  summary: 'Limits how many requests come in a time, or at the same time, by whatever is known of them.',
  class: 'traffic',
  priority: 910,
  phases: ['access', 'response', 'log'],
  schema,

  requires(config) {
    const facts = new Set<Fact>()
    if (hasTiers(config)) facts.add('consumer')
    for (const { by } of [config.limits, ...Object.values(config.tiers)].flat()) {
      for (const { kind } of by) {
        if (kind === 'consumer' || kind === 'credential' || kind === 'tenant') facts.add('consumer')
        else if (kind === 'claim') facts.add('claims')
      }
    }
    return [...facts]
  },

  shares: sharedTerms,

  beforeMatch(config, deps) {
    const early = earlyRule(config, deps)
    if (early === null) return undefined
    const check = new Check(storeOf(config, deps))
    return (ctx) => check.run(ctx, early)
  },

  create(config, deps) {
    const early = deps.global ? earlyRule(config, deps) : null
    const rules = routeRules(config, deps)
    const store = storeOf(config, deps)
    const response = limitHeaders(config.headers)
    const log = releaseStep([early, ...rules.values()], store)
    const access = accessStep(rules, config.default_tier, new Check(store))
    return {
      ...(access === null ? {} : { access }),
      ...(response === undefined ? {} : { response }),
      ...(log === null ? {} : { log }),
    }
  },
})

/** What a route checks, by tier; under `''` where there are no tiers. `null`: nothing. */
type RouteRules = ReadonlyMap<string, Rule | null>

function routeRules(config: Config, deps: Deps): RouteRules {
  // Requests that match no route meet what is checked before, and nothing else.
  if (deps.route.name === '') return new Map()
  const isEarly = earlyTest(config, deps)
  const lists = hasTiers(config) ? Object.entries(config.tiers) : [['', config.limits] as const]
  return new Map(
    lists.map(([tier, limits]) => {
      const late = limits.filter((limit) => !isEarly(limit))
      return [tier, late.length === 0 ? null : ruleOf(late, config, deps, deps.route.name)]
    }),
  )
}

function accessStep(rules: RouteRules, defaultTier: string, check: Check): AccessStep | null {
  const usual = rules.get(defaultTier) ?? null
  if ([...rules.values()].every((rule) => rule === null)) return null
  if (rules.size === 1 && usual !== null) return (ctx) => check.run(ctx, usual)
  return (ctx) => {
    const tier = ctx.consumer === null ? null : ctx.consumer.tier
    let rule = tier === null ? usual : rules.get(tier)
    if (rule === undefined) rule = usual
    return rule === null ? undefined : check.run(ctx, rule)
  }
}

/** Gives slots of `concurrency` limits back, however the request ended. */
function releaseStep(rules: readonly (Rule | null)[], store: LimitStore): ((ctx: LogContext) => void) | null {
  const own = new Set<readonly Limit[]>()
  for (const rule of rules) if (rule?.hasSlots === true) own.add(rule.limits)
  if (own.size === 0) return null
  return (ctx) => {
    for (let admission = ctx.admission; admission !== null; admission = admission.previous) {
      if (admission.admitted && own.has(admission.limits)) store.release(admission)
    }
  }
}

/** One timer for all routes. A reload takes it away from nobody who waits. */
const waitingRoom = new WaitingRoom()

/** Asks the store, and does with a request what it says. */
class Check {
  readonly #store: LimitStore

  constructor(store: LimitStore) {
    this.#store = store
  }

  run(ctx: AccessContext, rule: Rule): Verdict | Promise<Verdict> {
    const answer = this.#store.admit(rule.limits, rule.keysOf(ctx), rule.costs)
    return answer instanceof Promise ? this.#resume(ctx, rule, answer) : this.#settle(ctx, rule, answer)
  }

  async #resume(ctx: AccessContext, rule: Rule, pending: Promise<Admission>): Promise<Verdict> {
    const admission = await pending
    if (ctx.endedAt === 0) return this.#settle(ctx, rule, admission)
    // The client is gone or the time was up, and the log step has run: nobody else will give the slot back.
    if (rule.hasSlots && admission.admitted) this.#store.release(admission)
    return undefined
  }

  #settle(ctx: AccessContext, rule: Rule, admission: Admission): Verdict | Promise<Verdict> {
    admission.previous = ctx.admission
    ctx.admission = admission
    const refusal = rule.settle(admission)
    if (refusal !== undefined) return refusal
    return admission.delay > 0 ? waitingRoom.wait(admission.delay).then(goOn) : undefined
  }
}

function goOn(): undefined {
  return undefined
}

/** By configuration: steps of many routes, and the one before the match, must know it for the same. */
const earlyRules = new WeakMap<Config, Rule | null>()

/** What is checked before the route is matched; `null`: nothing. */
function earlyRule(config: Config, deps: Deps): Rule | null {
  const known = earlyRules.get(config)
  if (known !== undefined) return known
  const limits = config.limits.filter(earlyTest(config, deps))
  const rule = limits.length === 0 ? null : ruleOf(limits, config, deps, anyRoute)
  earlyRules.set(config, rule)
  return rule
}

/**
 * Whether a limit is checked before the route is matched. One on everybody together is not where another has to wait for the
 * route, unless told so: what that one refuses must use up nothing of it.
 */
function earlyTest(config: Config, { global }: Deps): (limit: LimitRule) => boolean {
  if (!global) return () => false
  const mustWait = hasTiers(config) || config.limits.some(({ by }) => !canBeEarly(by))
  return ({ by, early }) => canBeEarly(by) && (early ?? (!mustWait || by.some(({ kind }) => kind === 'ip')))
}

function ruleOf(limits: readonly LimitRule[], config: Config, deps: Deps, routeLabel: string): Rule {
  const { instruments } = deps.services
  const { name: route, upstream } = deps.route
  const scope = config.scope === null ? deps.scope : `scope/${config.scope}`
  return new Rule(limits, config, { scope, route, upstream: upstream ?? '', instruments, routeLabel })
}

function storeOf({ store, on_store_error, timeout, strict }: Config, { services }: Deps): LimitStore {
  return services.limits.open({ store, onError: on_store_error, timeout, strict })
}

function hasTiers({ tiers }: Config): boolean {
  return Object.keys(tiers).length > 0
}
