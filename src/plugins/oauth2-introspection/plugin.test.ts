import { hash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { gatewayClient, IdentityProvider } from '../../../test/support/identity-provider.ts'
import { compile, faults, lines, request } from '../../../test/support/plugin.ts'
import { type LiveServices, openServices } from '../../../test/support/services.ts'
import { stopUpstreams, type UpstreamHandler } from '../../../test/support/upstream.ts'
import type { RequestContext } from '../../core/context.ts'
import type { KnownConsumer, Steps, Verdict } from '../../core/plugin.ts'
import { oauth2Introspection } from './plugin.ts'
import { schema } from './schema.ts'

let live: LiveServices
let provider: IdentityProvider
beforeEach(async () => {
  live = openServices()
  provider = await IdentityProvider.start()
  provider.tokens.set('abc', { active: true, sub: 'ann', scope: 'read write', client_id: 'app' })
})
afterEach(async () => {
  vi.useRealTimers()
  live.close()
  await stopUpstreams()
})

const ann: KnownConsumer = { id: 'ann', name: 'Ann', tier: 'gold', tenant: 'acme', groups: [], roles: [], scopes: [] }

function stepsFor(config: object = {}, consumers = new Map<string, KnownConsumer>()): Steps {
  const whole = { url: provider.introspection, ...gatewayClient, ...config }
  return compile(oauth2Introspection, whole, {}, { ...live.deps, consumers })
}

function caller(token = 'abc', more: Partial<RequestContext> = {}): RequestContext {
  return request({ headers: ['accept', '*/*', 'authorization', `Bearer ${token}`], ...more })
}

async function ask(steps: Steps, ctx: RequestContext = caller()): Promise<Verdict> {
  return steps.access?.(ctx)
}

function counted(outcome: string): number {
  const service = new URL(provider.origin).host
  return live.instruments.read(`sluice_introspections_total{service="${service}",outcome="${outcome}"}`)
}

const secondsFromNow = (seconds: number): number => Math.floor(Date.now() / 1000) + seconds

const answering =
  (status: number, body: string): UpstreamHandler =>
  (_req, res) =>
    void res.writeHead(status, { 'content-type': 'application/json' }).end(body)

test('asks as RFC 7662 says, and tells the upstream who calls', async () => {
  const ctx = caller()
  expect(await ask(stepsFor({}, new Map([['ann', ann]])), ctx)).toBeUndefined()
  const [call] = provider.calls
  expect(call?.path).toBe('/introspect')
  expect(call?.headers).toMatchObject({
    authorization: `Basic ${Buffer.from('gateway:hush%2Bhush').toString('base64')}`,
    'content-type': 'application/x-www-form-urlencoded',
    accept: 'application/json',
  })
  expect(Object.fromEntries(call?.form ?? [])).toEqual({ token: 'abc', token_type_hint: 'access_token' })
  expect(ctx.consumer).toMatchObject({
    id: 'ann',
    name: 'Ann',
    tier: 'gold',
    tenant: 'acme',
    scopes: ['read', 'write'],
  })
  expect(ctx.claims).toMatchObject({ active: true, sub: 'ann', client_id: 'app' })
  expect(ctx.token).toBe('abc')
  expect(lines(ctx.headers)).toEqual([
    'accept: */*',
    'x-user-id: ann',
    'x-user-scopes: read write',
    'x-tenant-id: acme',
  ])
})

test('proves who it is in the body when told to', async () => {
  expect(await ask(stepsFor({ client_auth: 'post' }))).toBeUndefined()
  expect(provider.calls[0]?.headers.authorization).toBeUndefined()
})

test('finds the token where it may be, and forwards it only when told to', async () => {
  const steps = stepsFor({ from: [{ cookie: 'session' }, { query: 'token' }], forward_token: true })
  const ctx = request({ headers: ['cookie', 'a=1; session=abc'], query: 'token=other' })
  expect(await ask(steps, ctx)).toBeUndefined()
  expect(ctx.token).toBe('abc')
  expect(lines(ctx.headers)).toContain('cookie: a=1; session=abc')
  const other = request({ headers: ['cookie', 'a=1; session=abc'], query: 'token=other' })
  expect(await ask(stepsFor({ from: [{ cookie: 'session' }, { query: 'token' }] }), other)).toBeUndefined()
  expect(lines(other.headers)).toContain('cookie: a=1')
  expect(other.query).toBe('')
})

test('tells the upstream what it is told to', async () => {
  provider.tokens.set('abc', { active: true, sub: 'ann', email: 'ann@example.com', realm: { roles: ['a', 'b'] } })
  const claims_to_headers = { email: 'X-Email', 'realm.roles': 'X-Roles' }
  const ctx = caller()
  expect(await ask(stepsFor({ claims_to_headers, roles_claim: 'realm.roles' }), ctx)).toBeUndefined()
  expect(lines(ctx.headers)).toEqual(['accept: */*', 'x-email: ann@example.com', 'x-roles: a,b'])
  expect(ctx.consumer?.roles).toEqual(['a', 'b'])
})

test('names the application where there is no person', async () => {
  provider.tokens.set('abc', { active: true, client_id: 'app' })
  const ctx = caller()
  expect(await ask(stepsFor(), ctx)).toBeUndefined()
  expect(ctx.consumer?.id).toBe('app')
})

describe('refuses', () => {
  test('a request without a token', () => {
    const verdict = stepsFor({ realm: 'orders' }).access?.(request())
    expect(verdict).toMatchObject({
      code: 'credentials_missing',
      status: 401,
      headers: ['www-authenticate', 'Bearer realm="orders"'],
    })
    expect(stepsFor({ optional: true }).access?.(request())).toBeUndefined()
  })

  test.each([
    ['two tokens', ['authorization', 'Bearer abc', 'authorization', 'Bearer abc'], 'token_repeated'],
    ['a token without end', ['authorization', `Bearer ${'a'.repeat(8193)}`], 'token_too_long'],
  ])('%s, and asks nobody', (_, headers, detail) => {
    expect(stepsFor().access?.(request({ headers }))).toMatchObject({ code: 'credentials_invalid', detail })
    expect(provider.calls).toHaveLength(0)
  })

  const cases: readonly [string, Record<string, unknown>, object, object][] = [
    ['one that is not active', { active: false }, {}, { status: 401, detail: 'token_inactive' }],
    ['one that is over', { exp: secondsFromNow(-1) }, {}, { status: 401, detail: 'token_expired' }],
    ['one that is not good yet', { nbf: secondsFromNow(60) }, {}, { detail: 'token_not_yet_valid' }],
    ['one of another issuer', { iss: 'https://b' }, { issuer: 'https://a' }, { detail: 'issuer_not_trusted' }],
    ['one of nobody', {}, { issuer: 'https://a' }, { detail: 'issuer_not_trusted' }],
    ['one for others', { aud: ['x', 'y'] }, { audience: 'a' }, { detail: 'audience_mismatch' }],
    ['one for nobody', {}, { audience: 'a' }, { detail: 'audience_mismatch' }],
    [
      'one without a wanted claim',
      { tier: 'gold' },
      { claims: { tier: ['silver'] } },
      { detail: 'claims_not_fulfilled' },
    ],
    ['one that says nobody', { sub: '' }, { consumer_claim: 'sub' }, { detail: 'consumer_claim_missing' }],
    ['one whose subject splits fields', { sub: 'a\r\nx-user-role: admin' }, {}, { detail: 'claim_not_sendable' }],
    ['one without the scope', { scope: 'read' }, { scopes: ['read', 'admin'] }, { status: 403, code: 'access_denied' }],
  ]
  test.each(cases)('%s', async (_, more, config, expected) => {
    provider.tokens.set('abc', { active: true, sub: 'ann', ...more })
    const ctx = caller()
    const steps = stepsFor(config)
    expect(await ask(steps, ctx)).toMatchObject(expected)
    expect(ctx.consumer).toBeNull()
    expect(ctx.token).toBeNull()
    // It is remembered.
    expect(await ask(steps)).toMatchObject(expected)
    expect(provider.calls).toHaveLength(1)
  })

  test('with the challenge that RFC 6750 wants', async () => {
    expect(await ask(stepsFor(), caller('other'))).toMatchObject({
      code: 'credentials_invalid',
      headers: ['www-authenticate', 'Bearer realm="api", error="invalid_token"'],
    })
    expect(await ask(stepsFor({ scopes: ['admin'] }))).toMatchObject({
      headers: ['www-authenticate', 'Bearer realm="api", error="insufficient_scope", scope="admin"'],
    })
  })

  test('with other words when told to', async () => {
    const config = { status: 403, message: 'Members only.' }
    expect(await ask(stepsFor(config), caller('other'))).toMatchObject({ status: 403, message: 'Members only.' })
  })
})

test('lets in whoever fulfils what is asked', async () => {
  provider.tokens.set('abc', {
    active: true,
    sub: 'ann',
    iss: 'https://a',
    aud: ['x', 'b'],
    exp: secondsFromNow(60),
    nbf: secondsFromNow(-60),
    scope: 'read write',
    tier: 'gold',
  })
  const config = { issuer: 'https://a', audience: ['a', 'b'], scopes: ['read'], claims: { tier: ['gold', 'silver'] } }
  expect(await ask(stepsFor(config))).toBeUndefined()
})

describe('remembers', () => {
  test('for a while what the provider said, also for another route and after a reload', async () => {
    const steps = stepsFor()
    await ask(steps)
    const again = caller()
    expect(steps.access?.(again)).toBeUndefined()
    expect(again.consumer?.id).toBe('ann')
    expect(lines(again.headers)).toContain('x-user-id: ann')
    expect(stepsFor().access?.(caller())).toBeUndefined()
    expect(provider.calls).toHaveLength(1)
    expect([counted('active'), counted('remembered')]).toEqual([1, 2])
    await ask(stepsFor({ audience: 'other' }))
    expect(provider.calls).toHaveLength(2)
  })

  test('who a consumer is in the configuration of now', async () => {
    await ask(stepsFor())
    const ctx = caller()
    expect(stepsFor({}, new Map([['ann', ann]])).access?.(ctx)).toBeUndefined()
    expect(ctx.consumer?.tier).toBe('gold')
    expect(provider.calls).toHaveLength(1)
  })

  test.each([
    ['its time', {}, 30, true],
    ['the end of the token', { exp: 10 }, 10, true],
    ['the time of refusals', { active: false }, 5, false],
  ])('no longer than %s', async (_, { exp, ...more }: { exp?: number; active?: boolean }, seconds, passes) => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_800_000_000_000 })
    const end = exp === undefined ? {} : { exp: 1_800_000_000 + exp }
    provider.tokens.set('abc', { active: true, sub: 'ann', ...more, ...end })
    const steps = stepsFor()
    await ask(steps)
    vi.setSystemTime(1_800_000_000_000 + seconds * 1000 - 1)
    const verdict = steps.access?.(caller())
    expect(verdict).not.toBeInstanceOf(Promise)
    expect(verdict === undefined).toBe(passes)
    vi.setSystemTime(1_800_000_000_000 + seconds * 1000)
    await ask(steps)
    expect(provider.calls).toHaveLength(2)
  })

  test('one call for many requests at once with one token', async () => {
    const steps = stepsFor()
    const all = Array.from({ length: 100 }, () => caller())
    await Promise.all(all.map((ctx) => ask(steps, ctx)))
    expect(all.every((ctx) => ctx.consumer?.id === 'ann')).toBe(true)
    expect(provider.calls).toHaveLength(1)
  })

  test('good tokens through a flood of bad ones', async () => {
    const steps = stepsFor({ cache: { entries: 20 }, max_connections: 4 })
    await ask(steps)
    for (let i = 0; i < 100; i++) expect(await ask(steps, caller(`bad-${i}`))).toMatchObject({ status: 401 })
    expect(steps.access?.(caller())).toBeUndefined()
  })

  test('nothing, when told to', async () => {
    const steps = stepsFor({ cache: { ttl: 0, negative_ttl: 0 } })
    await ask(steps)
    await ask(steps)
    await ask(steps, caller('other'))
    await ask(steps, caller('other'))
    expect(provider.calls).toHaveLength(4)
  })
})

describe('a revocation counts for what is remembered, too:', () => {
  const digest = hash('sha256', 'abc', 'hex')
  test.each([
    ['token', digest],
    ['jti', 'id-7'],
    ['sub', 'ann'],
    ['consumer', 'ann'],
  ] as const)('by %s', async (kind, value) => {
    provider.tokens.set('abc', { active: true, sub: 'ann', jti: 'id-7' })
    const steps = stepsFor()
    expect(await ask(steps)).toBeUndefined()
    live.revoke(kind, 'another')
    expect(steps.access?.(caller())).toBeUndefined()
    live.revoke(kind, value)
    expect(steps.access?.(caller())).toMatchObject({ code: 'credentials_invalid', detail: 'token_revoked' })
    expect(await ask(stepsFor({ forward_token: true }))).toMatchObject({ detail: 'token_revoked' })
  })
})

describe('when the provider', () => {
  const broken: readonly [string, UpstreamHandler, object, string][] = [
    ['fails', answering(500, ''), {}, 'service_status_500'],
    ['does not know the gateway', answering(401, '{"error":"invalid_client"}'), {}, 'service_status_401'],
    ['redirects', answering(302, ''), {}, 'service_status_302'],
    ['answers with a page', answering(200, '<html>'), {}, 'service_answer_invalid'],
    ['answers with nothing', answering(200, ''), {}, 'service_answer_invalid'],
    ['answers with a list', answering(200, '[{"active":true}]'), {}, 'service_answer_invalid'],
    ['does not say', answering(200, '{"sub":"ann"}'), {}, 'service_answer_invalid'],
    ['says so with a word', answering(200, '{"active":"true","sub":"ann"}'), {}, 'service_answer_invalid'],
    ['says so with a number', answering(200, '{"active":1,"sub":"ann"}'), {}, 'service_answer_invalid'],
    [
      'has times of its own',
      answering(200, '{"active":true,"sub":"ann","exp":"tomorrow"}'),
      {},
      'service_answer_invalid',
    ],
    [
      'says too much',
      answering(200, `{"active":true,"sub":"ann","x":"${'x'.repeat(70_000)}"}`),
      {},
      'service_answer_too_large',
    ],
    ['does not answer', () => {}, { timeout: '150ms' }, 'service_timeout'],
    ['stalls', (_req, res) => void res.writeHead(200).write('{"active":'), { timeout: '150ms' }, 'service_timeout'],
    ['breaks off', (req) => void req.socket.destroy(), {}, 'service_answer_broken'],
  ]
  test.each(broken)('%s, nobody gets in, and nothing of it is remembered', async (_, handler, config, detail) => {
    provider.answer(handler)
    const steps = stepsFor(config)
    const ctx = caller()
    expect(await ask(steps, ctx)).toMatchObject({ code: 'auth_unavailable', status: 503, detail })
    expect(ctx.consumer).toBeNull()
    expect(live.logged).toEqual(['tokens can not be introspected'])
    provider.answer(null)
    expect(await ask(steps)).toBeUndefined()
    expect(live.logged).toEqual(['tokens can not be introspected', 'tokens can be introspected again'])
    expect(counted('unavailable')).toBe(1)
  })

  test('is down, what is remembered goes on', async () => {
    const steps = stepsFor()
    await ask(steps)
    await provider.close()
    expect(steps.access?.(caller())).toBeUndefined()
    expect(await ask(steps, caller('new'))).toMatchObject({ code: 'auth_unavailable', detail: 'service_unreachable' })
  })

  test('is down, what was active lives on when told so, but not past its end, and refusals do not', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1_800_000_000_000 })
    provider.tokens.set('short', { active: true, sub: 'bob', exp: 1_800_000_060 })
    const steps = stepsFor({ cache: { ttl: '30s', stale_ttl: '60s' } })
    for (const token of ['abc', 'short', 'bad']) await ask(steps, caller(token))
    provider.answerText(503, '')
    vi.setSystemTime(1_800_000_050_000)
    const ctx = caller()
    expect(await ask(steps, ctx)).toBeUndefined()
    expect(ctx.consumer?.id).toBe('ann')
    expect(await ask(steps, caller('short'))).toBeUndefined()
    expect(await ask(steps, caller('bad'))).toMatchObject({ status: 503 })
    vi.setSystemTime(1_800_000_061_000)
    expect(await ask(steps, caller('short'))).toMatchObject({ status: 503 })
    vi.setSystemTime(1_800_000_090_000)
    expect(await ask(steps)).toMatchObject({ status: 503 })
    expect(counted('stale')).toBe(2)
    // A revocation counts there, too.
    vi.setSystemTime(1_800_000_050_000)
    live.revoke('sub', 'ann')
    expect(await ask(steps)).toMatchObject({ detail: 'token_revoked' })
  })

  test('is down, everybody gets in as nobody when told so', async () => {
    provider.answerText(500, '')
    const steps = stepsFor({ on_error: 'allow' })
    const ctx = caller()
    expect(await ask(steps, ctx)).toBeUndefined()
    expect([ctx.consumer, ctx.claims, ctx.token]).toEqual([null, null, null])
    expect(lines(ctx.headers)).toEqual(['accept: */*'])
    provider.answer(null)
    expect(await ask(steps, caller('bad'))).toMatchObject({ status: 401 })
  })

  test('fails again and again, it is left alone', async () => {
    provider.answerText(500, '')
    const steps = stepsFor({ breaker: { max_failures: 2, cooldown: '1m' } })
    for (let i = 0; i < 2; i++) expect(await ask(steps)).toMatchObject({ detail: 'service_status_500' })
    for (let i = 0; i < 5; i++)
      expect(await ask(steps)).toMatchObject({ code: 'auth_unavailable', detail: 'service_breaker_open' })
    expect(provider.calls).toHaveLength(2)
  })

  test('is slow, requests beyond what may wait are refused at once', async () => {
    provider.answer(() => {})
    const steps = stepsFor({ max_connections: 2, timeout: '500ms' })
    const verdicts = await Promise.all(Array.from({ length: 6 }, (_, i) => ask(steps, caller(`t${i}`))))
    expect(verdicts.map((verdict) => (verdict as { code: string }).code)).toEqual([
      'auth_unavailable',
      'auth_unavailable',
      'auth_unavailable',
      'auth_unavailable',
      'auth_overloaded',
      'auth_overloaded',
    ])
  })
})

test('does not touch the request of a client that is gone, and remembers for the next', async () => {
  const steps = stepsFor()
  const ctx = caller()
  const before = [...ctx.headers]
  const pending = ask(steps, ctx)
  ctx.aborted = true
  expect(await pending).toBeUndefined()
  expect(ctx.headers).toEqual(before)
  expect(ctx.consumer).toBeNull()
  expect(steps.access?.(caller())).toBeUndefined()
  expect(provider.calls).toHaveLength(1)
})

test('adds to what another plugin found out, and takes nothing away', async () => {
  const ctx = caller()
  ctx.consumer = { ...ann, credential: 'key-1', anonymous: false, id: 'first' }
  ctx.claims = { sub: 'first', more: 1 }
  ctx.token = 'first'
  expect(await ask(stepsFor(), ctx)).toBeUndefined()
  expect(ctx.consumer.id).toBe('first')
  expect(ctx.claims).toMatchObject({ sub: 'first', more: 1, client_id: 'app' })
  expect(ctx.token).toBe('first')
})

test('provides what it always finds out', () => {
  const provided = (more: object) =>
    oauth2Introspection.provides?.(schema.parse({ url: 'https://a', ...gatewayClient, ...more }))
  expect(provided({})).toEqual(['consumer', 'claims', 'token'])
  expect(provided({ optional: true })).toEqual([])
  expect(provided({ on_error: 'allow' })).toEqual([])
})

const whole = { url: 'https://a', ...gatewayClient }

test.each([
  [{ url: 'https://a' }, 'client_id: '],
  [{ url: 'https://a', client_id: 'a' }, 'client_secret: must be there'],
  [{ ...whole, url: '/introspect' }, 'url: must be a URL that begins with'],
  [{ ...whole, from: [] }, 'from: '],
  [{ ...whole, from: [{ header: 'a', cookie: 'b' }] }, 'from.0: must have exactly one'],
  [{ ...whole, on_error: 'ignore' }, 'on_error: '],
  [{ ...whole, scopes: ['a b'] }, 'scopes.0: must be a scope'],
  [{ ...whole, claims_to_headers: { sub: 'Host' } }, 'claims_to_headers.sub: must not be "host"'],
  [{ ...whole, cache: { ttl: 'long' } }, 'cache.ttl: must be a duration'],
  [{ ...whole, realm: 'a"b' }, 'realm: '],
])('refuses %j', (config, message) => expect(faults(oauth2Introspection, config)).toContain(message))
