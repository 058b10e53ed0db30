import type { AccessContext, Consumer, LogContext, ResponseContext } from './context.ts'
import type { Rejection } from './errors.ts'
import type { Services } from './services/services.ts'

/** An answer that a plugin gives by itself and that is no error: a health page, a CORS preflight. Built at compile. */
export interface LocalReply {
  readonly status: number
  /** Flat `[name, value, …]`, names lower-case, without content-length. */
  readonly headers: readonly string[]
  readonly body: string
}

/** What an access step decides: go on (`undefined`), refuse, or answer. */
export type Verdict = undefined | Rejection | LocalReply

export function isRejection(verdict: Rejection | LocalReply): verdict is Rejection {
  return 'code' in verdict
}

/** Runs before the upstream is called. Stays synchronous unless it really has to wait. */
export type AccessStep = (ctx: AccessContext) => Verdict | Promise<Verdict>
/** Runs when status and fields of the answer are known, before they go out; also for local replies. Synchronous. */
export type ResponseStep = (ctx: ResponseContext) => void
/** Runs when the request is over, however it ended. Synchronous, must not keep the context. */
export type LogStep = (ctx: LogContext) => void

export type Phase = 'access' | 'response' | 'log'

/** Changes the request before it goes upstream. */
export type Withhold = (ctx: AccessContext) => void

/** The steps of one plugin on one route; a phase without a step costs nothing. */
export interface Steps {
  readonly access?: AccessStep
  /**
   * Of an authenticating plugin: takes its credentials out of the request. Called where another plugin of an `any` group has let
   * the request in, so that the upstream gets none that nobody has found good.
   */
  readonly withhold?: Withhold
  readonly response?: ResponseStep
  readonly log?: LogStep
}

/**
 * Something that one plugin finds out and others rely on. `provides` and `requires` are checked when a route is
 * compiled: who needs what nobody provides is a configuration error, never a silent fall-back.
 */
export type Fact = 'consumer' | 'claims' | 'token' | 'request_id'

/**
 * Why a plugin is there. `security` always fails closed: when it throws or exceeds its time limit the request is
 * refused, whatever `on_timeout` says.
 */
export type PluginClass = 'security' | 'traffic' | 'transformation' | 'observability'

/** What the worker hands to `create`. Living things in it outlast the snapshot. */
export interface Deps {
  readonly route: RouteFacts
  /** Folder of the configuration file: relative paths in a plugin's configuration start here. */
  readonly configDir: string
  /** The entry is one of the top-level `plugins`: `beforeMatch` has done its part already. */
  readonly global: boolean
  /** Whose entry it is: the same text wherever that entry runs, `global`, `upstream/NAME` or `route/NAME`. */
  readonly scope: string
  readonly log: PluginLog
  readonly services: Services
  /** The consumers of the configuration, by id. */
  readonly consumers: ReadonlyMap<string, KnownConsumer>
  /**
   * What outlives a reload: the thing of that key, made if no snapshot in force has it. It is closed when the last
   * snapshot that asked for it is gone. Made also where a configuration is only checked: to make must start nothing.
   */
  keep<T extends Kept>(key: string, make: () => T): T
}

/** A living thing that plugins of several snapshots share. */
export interface Kept {
  close?(): void
}

/** A consumer as the configuration knows it. */
export type KnownConsumer = Pick<Consumer, 'id' | 'name' | 'tier' | 'tenant' | 'groups' | 'roles' | 'scopes'>

/** What is known of a route when its chain is compiled. */
export interface RouteFacts {
  readonly name: string
  /** Names of the parameters that any of its paths captures. */
  readonly paramNames: readonly string[]
  /** Methods it is limited to; empty: all. */
  readonly methods: readonly string[]
  /** `null`: a plugin answers. */
  readonly upstream: string | null
}

export interface PluginLog {
  info(message: string, fields?: Record<string, unknown>): void
  warn(message: string, fields?: Record<string, unknown>): void
  error(message: string, fields?: Record<string, unknown>): void
}

/** A parser of configuration. zod schemas have this shape; core knows no more of them. */
export interface ConfigSchema<C> {
  parse(input: unknown): C
}

/**
 * A plugin. `create` runs once per route per reload and decides everything that can be decided by then; the steps
 * that it returns have only the request left to look at.
 *
 * The callbacks use method syntax on purpose: it lets `readonly Plugin[]` hold plugins of every configuration type
 * without a cast.
 */
export interface Plugin<C = unknown> {
  /** Kong's name where Kong has the same thing. */
  readonly name: string
  /** One sentence, for `sluice plugins` and the generated reference. */
  readonly summary: string
  readonly class: PluginClass
  /** Kong's number, shown by `sluice plugins`; the order itself is that of `plugins/index.ts`. */
  readonly priority: number
  /** Phases in which it may have a step, for `sluice plugins`. */
  readonly phases?: readonly Phase[]
  readonly schema: ConfigSchema<C>
  /**
   * It finds out who calls. Several of them on a route form a group, of which one or all must accept the request. A
   * request without credentials for it must be refused with `credentials_missing`, unless its own configuration says
   * `optional`; then it provides nothing.
   */
  readonly authenticates?: boolean
  /** It may answer with what earlier requests left: whoever calls must be known before. */
  readonly caches?: boolean
  provides?(config: C): readonly Fact[]
  requires?(config: C): readonly Fact[]
  /** Request headers (lower-case) that this plugin injects: removed from what clients send, on every route. */
  injects?(config: C): readonly string[]
  /** What its entries have in common with others that name the same; all of them must say the same of it. */
  shares?(config: C): readonly Shared[]
  /** Files that its configuration names; relative ones start in its folder. They are watched. */
  files?(config: C): readonly string[]
  /** Methods that it answers by itself: its route takes them whatever methods the route states. */
  answers?(config: C): readonly string[]
  /**
   * For entries of the top-level `plugins`: a step that runs before the route is matched; made once per snapshot. What it
   * does, the access step of `create` leaves out when `deps.global` is set. The response and log steps of `create` see every
   * request then, also those that match no route, or one that has another entry of this name, or none.
   */
  beforeMatch?(config: C, deps: Deps): AccessStep | undefined
  /** Runs in primary and worker; may throw a `ConfigFault` for what a schema can't see. */
  create(config: C, deps: Deps): Steps
}

/** Something that several entries of a plugin use together. */
export interface Shared {
  readonly name: string
  /** What they must agree on, for people. */
  readonly terms: string
  /** Where that is said, relative to the plugin's `config`. */
  readonly path: readonly (string | number)[]
}

/** Declares a plugin and infers the type of its configuration from its schema. */
export function definePlugin<C>(plugin: Plugin<C>): Plugin<C> {
  return plugin
}

/** A fault that `create` finds in its configuration. `path` is relative to the plugin's `config`. */
export class ConfigFault extends Error {
  override readonly name = 'ConfigFault'
  readonly path: readonly (string | number)[]

  constructor(message: string, path: readonly (string | number)[] = []) {
    super(message)
    this.path = path
  }
}
