import { RequestContext } from '../../src/core/context.ts'
import type { HeaderList } from '../../src/core/headers.ts'
import type { Deps, Kept, Plugin, RouteFacts, Steps, Verdict } from '../../src/core/plugin.ts'
import { servicesAtRest } from '../../src/core/services/services.ts'

const quiet = { info: () => {}, warn: () => {}, error: () => {} }

/** A plugin compiled for a route, with a configuration as it stands in the file. */
export function compile<C>(
  plugin: Plugin<C>,
  config: unknown,
  route: Partial<RouteFacts> = {},
  deps: Partial<Deps> = {},
): Steps {
  return plugin.create(plugin.schema.parse(config), { ...depsOf(route), ...deps })
}

/** What `create` gets, with services that do nothing. Things that it keeps live as long as this. */
export function depsOf(route: Partial<RouteFacts> = {}): Deps {
  const kept = new Map<string, Kept>()
  return {
    route: { name: 'test', paramNames: [], methods: [], upstream: 'service', ...route },
    configDir: '/',
    global: false,
    scope: 'route/test',
    log: quiet,
    services: servicesAtRest,
    consumers: new Map(),
    keep<T extends Kept>(key: string, make: () => T): T {
      const thing = kept.get(key) ?? make()
      kept.set(key, thing)
      return thing as T
    },
  }
}

/** A request as the listener leaves it. Header names lower-case. */
export function request(fields: Partial<RequestContext> = {}): RequestContext {
  return Object.assign(
    new RequestContext(),
    { method: 'GET', path: '/', clientIp: '192.0.2.1', remoteIp: '192.0.2.1', requestId: 'id-1', port: 8080 },
    fields,
  )
}

/** Runs the access step as it is on a request; it must not wait. */
export function access(steps: Steps, ctx: RequestContext): Verdict {
  const verdict = steps.access?.(ctx)
  if (verdict instanceof Promise) throw new Error('the step waits')
  return verdict
}

/** Runs the response step on an answer of the upstream; the fields that go to the client. */
export function respond(steps: Steps, ctx: RequestContext, status: number, headers: HeaderList): HeaderList {
  ctx.status = status
  ctx.upstreamStatus = status
  ctx.responseHeaders = headers.slice()
  for (const part of ctx.addedResponseHeaders ?? []) ctx.responseHeaders.push(part)
  steps.response?.(ctx)
  return ctx.responseHeaders
}

/** `[name, value, …]` as `['name: value', …]`, for assertions that read well. */
export function lines(headers: Readonly<HeaderList>): string[] {
  const result: string[] = []
  for (let i = 0; i < headers.length; i += 2) result.push(`${headers[i]}: ${headers[i + 1]}`)
  return result
}

/** What the schema finds wrong in a configuration: `set.headers.0: must …`, one a line. */
export function faults(plugin: Pick<Plugin, 'schema'>, config: unknown): string {
  try {
    plugin.schema.parse(config)
    return ''
  } catch (error) {
    return (error as { issues: Issue[] }).issues.map(text).join('\n')
  }
}

interface Issue {
  readonly path: readonly (string | number)[]
  readonly message: string
  /** What is wrong with a key of a record. */
  readonly issues?: readonly Issue[]
}

function text({ path, message, issues }: Issue): string {
  return `${path.join('.')}: ${issues === undefined ? message : issues.map((issue) => issue.message).join(', ')}`
}
