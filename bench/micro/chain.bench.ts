import { RequestContext } from '../../src/core/context.ts'
import type { AccessStep } from '../../src/core/plugin.ts'
import { cors } from '../../src/plugins/cors/plugin.ts'
import { ipRestriction } from '../../src/plugins/ip-restriction/plugin.ts'
import { requestTransformer } from '../../src/plugins/request-transformer/plugin.ts'
import { securityHeaders } from '../../src/plugins/security-headers/plugin.ts'
import { guardAccess, joinAccess } from '../../src/proxy/chain.ts'
import { limitTime, TimeLimits } from '../../src/proxy/time-limit.ts'
import { depsOf } from '../../test/support/plugin.ts'

const report = (): void => {}
const limits = new TimeLimits()
const deps = depsOf({ name: 'bench', paramNames: ['id'] })

function emptySteps(count: number): AccessStep[] {
  return Array.from({ length: count }, () => guardAccess(() => undefined, 'empty', report))
}

const usual = ['host', 'api.example.com', 'user-agent', 'bench', 'accept', '*/*', 'origin', 'https://app.example.com']

function request(): RequestContext {
  const ctx = new RequestContext()
  ctx.method = 'GET'
  ctx.path = '/api/users/7'
  ctx.params = ['7']
  ctx.paramNames = ['id']
  ctx.clientIp = '192.0.2.1'
  ctx.headers = usual.slice()
  return ctx
}

function running(access: AccessStep | null): () => void {
  const ctx = request()
  return () => {
    if (access?.(ctx) !== undefined) throw new Error('refused')
  }
}

/** Joined steps on a new request each time; the case without steps is what making that costs. */
function runningFresh(steps: readonly AccessStep[]): () => void {
  const access = joinAccess(steps)
  return () => {
    if (access?.(request()) !== undefined) throw new Error('refused')
  }
}

const timed = limitTime(
  guardAccess(() => undefined, 'empty', report),
  {
    plugin: 'empty',
    limit: 1000,
    onTimeout: undefined,
    limits,
    report,
  },
)

function step(create: () => { access?: AccessStep }): AccessStep {
  return guardAccess(create().access as AccessStep, 'bench', report)
}

const corsStep = step(() => cors.create(cors.schema.parse({ origins: ['https://app.example.com'] }), deps))
const ipStep = step(() => ipRestriction.create(ipRestriction.schema.parse({ allow: ['192.0.2.0/24'] }), deps))
const transform = step(() =>
  requestTransformer.create(
    requestTransformer.schema.parse({
      remove: { headers: ['X-Internal'] },
      set: { headers: ['X-Real-IP:{client_ip}', 'X-User:{param.id}'] },
      add: { headers: ['X-API-Version:2026-04'] },
    }),
    deps,
  ),
)
const secure = securityHeaders.create(securityHeaders.schema.parse({}), deps).response

export const suite = {
  name: 'chain',
  cases: {
    '1 empty step': running(joinAccess(emptySteps(1))),
    '4 empty steps': running(joinAccess(emptySteps(4))),
    '8 empty steps': running(joinAccess(emptySteps(8))),
    '1 empty step with a time limit': running(timed),
    'a request without steps': runningFresh([]),
    'a request, cors': runningFresh([corsStep]),
    'a request, ip-restriction': runningFresh([ipStep]),
    'a request, request-transformer with 4 headers': runningFresh([transform]),
    'a request, all three': runningFresh([corsStep, ipStep, transform]),
    'an answer, security-headers': () => {
      const ctx = request()
      ctx.responseHeaders = ['content-type', 'application/json', 'server', 'x', 'etag', '"1"']
      secure?.(ctx)
    },
  },
}
