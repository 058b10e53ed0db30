import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { gatewayClient, IdentityProvider } from '../../../test/support/identity-provider.ts'
import { compile, faults, lines, request } from '../../../test/support/plugin.ts'
import { type LiveServices, openServices } from '../../../test/support/services.ts'
import { stopUpstreams, type UpstreamHandler } from '../../../test/support/upstream.ts'
import type { RequestContext } from '../../core/context.ts'
import type { Steps, Verdict } from '../../core/plugin.ts'
import { tokenExchange } from './plugin.ts'
import { schema } from './schema.ts'

let live: LiveServices
let provider: IdentityProvider
beforeEach(async () => {
  live = openServices()
  provider = await IdentityProvider.start()
  provider.tokens.set('abc', { active: true })
  provider.tokens.set('xyz', { active: true })
})
afterEach(async () => {
  live.close()
  await stopUpstreams()
})

function stepsFor(config: object = {}): Steps {
  const whole = { url: provider.token, ...gatewayClient, audience: 'payments', scope: 'payment:read', ...config }
  return compile(tokenExchange, whole, {}, live.deps)
}

function caller(token: string | null = 'abc', more: Partial<RequestContext> = {}): RequestContext {
  return request({ token, headers: ['accept', '*/*'], ...more })
}

async function ask(steps: Steps, ctx: RequestContext = caller()): Promise<Verdict> {
  return steps.access?.(ctx)
}

test('asks as RFC 8693 says, and gives the upstream what is issued', async () => {
  const steps = stepsFor({ scope: ['payment:read', 'payment:write'], resource: 'https://pay.internal/' })
  const ctx = caller('abc', { headers: ['authorization', 'Bearer abc', 'accept', '*/*'] })
  expect(await ask(steps, ctx)).toBeUndefined()
  expect(lines(ctx.headers)).toEqual(['authorization: Bearer issued-1-for-abc', 'accept: */*'])
  expect(provider.calls).toHaveLength(1)
  const [call] = provider.calls
  expect(call?.headers).toMatchObject({
    authorization: `Basic ${Buffer.from('gateway:hush%2Bhush').toString('base64')}`,
    'content-type': 'application/x-www-form-urlencoded',
    accept: 'application/json',
  })
  expect(Object.fromEntries(call?.form ?? [])).toEqual({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: 'abc',
    subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    requested_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    audience: 'payments',
    resource: 'https://pay.internal/',
    scope: 'payment:read payment:write',
  })
})

test('proves who it is in the body when told to', async () => {
  const ctx = caller()
  expect(await ask(stepsFor({ client_auth: 'post' }), ctx)).toBeUndefined()
  expect(provider.calls[0]?.headers.authorization).toBeUndefined()
  expect(provider.calls[0]?.form.get('client_secret')).toBe('hush+hush')
})

test('sends tokens as they are, whatever is in them', async () => {
  const odd = 'a+b/c==&scope=admin%20\u00e9'
  provider.tokens.set(odd, {})
  provider.answer(null)
  await ask(stepsFor(), caller(odd))
  expect(provider.calls[0]?.form.get('subject_token')).toBe(odd)
  expect(provider.calls[0]?.form.getAll('scope')).toEqual(['payment:read'])
})

test('uses a token again for the same client token, audience and scope', async () => {
  const steps = stepsFor()
  await ask(steps)
  const again = caller()
  expect(steps.access?.(again)).toBeUndefined()
  expect(lines(again.headers)).toContain('authorization: Bearer issued-1-for-abc')
  const other = caller('xyz')
  await ask(steps, other)
  expect(lines(other.headers)).toContain('authorization: Bearer issued-2-for-xyz')
  for (const config of [{ audience: 'orders' }, { scope: 'payment:write' }, { requested_token_type: 'jwt' }]) {
    const ctx = caller()
    await ask(stepsFor(config), ctx)
    expect(lines(ctx.headers).join()).not.toContain('issued-1')
  }
  expect(provider.calls).toHaveLength(5)
  // Another route, or the same after a reload.
  const same = caller()
  expect(stepsFor().access?.(same)).toBeUndefined()
  expect(provider.calls).toHaveLength(5)
})

test('makes one call for many requests at once with one token', async () => {
  const steps = stepsFor()
  const all = Array.from({ length: 100 }, () => caller())
  await Promise.all(all.map((ctx) => ask(steps, ctx)))
  for (const ctx of all) expect(lines(ctx.headers)).toContain('authorization: Bearer issued-1-for-abc')
  expect(provider.calls).toHaveLength(1)
})

test.each([
  ['shorter than the skew', { expires_in: 20 }, {}, 2],
  ['long enough', { expires_in: 40 }, {}, 1],
  ['as text', { expires_in: '40' }, {}, 1],
  ['not told', {}, {}, 1],
  ['over', { expires_in: 0 }, {}, 2],
  ['long, but not to be used again', { expires_in: 3600 }, { cache: { ttl: '1ms' } }, 2],
])('a life that is %s', async (_, answer, config, calls) => {
  provider.answerText(200, JSON.stringify({ access_token: 'new', token_type: 'bearer', ...answer }))
  const steps = stepsFor(config)
  await ask(steps)
  await new Promise((resolve) => setTimeout(resolve, 5))
  const ctx = caller()
  await ask(steps, ctx)
  expect(lines(ctx.headers)).toContain('authorization: Bearer new')
  expect(provider.calls).toHaveLength(calls)
})

describe('never forwards the token of the client when', () => {
  const answering =
    (status: number, body: string): UpstreamHandler =>
    (_req, res) =>
      void res.writeHead(status, { 'content-type': 'application/json' }).end(body)
  const error = (name: string): string => JSON.stringify({ error: name, error_description: 'secret things' })
  const issued = (more: object): string => JSON.stringify({ access_token: 'new', token_type: 'Bearer', ...more })

  const cases: readonly [string, UpstreamHandler, object, object][] = [
    [
      'it is refused',
      answering(400, error('invalid_request')),
      {},
      { status: 401, detail: 'exchange_invalid_request' },
    ],
    ['it is no longer good', answering(400, error('invalid_grant')), {}, { status: 401, code: 'credentials_invalid' }],
    ['it may not go there', answering(400, error('invalid_target')), {}, { status: 403, code: 'access_denied' }],
    ['it has not the scope', answering(400, error('invalid_scope')), {}, { status: 403, code: 'access_denied' }],
    ['policy forbids it', answering(403, error('access_denied')), {}, { status: 403, code: 'access_denied' }],
    [
      'the gateway is not known',
      answering(401, error('invalid_client')),
      {},
      { status: 503, detail: 'service_status_401' },
    ],
    [
      'the gateway may not',
      answering(400, error('unauthorized_client')),
      {},
      { status: 503, code: 'auth_unavailable' },
    ],
    ['nobody says why', answering(400, 'Bad Request'), {}, { status: 503, detail: 'service_status_400' }],
    ['the reason is no text', answering(400, '{"error":{}}'), {}, { status: 503 }],
    ['the provider fails', answering(500, error('invalid_grant')), {}, { status: 503, detail: 'service_status_500' }],
    ['the provider redirects', answering(302, ''), {}, { status: 503, detail: 'service_status_302' }],
    ['a page comes', answering(200, '<html>'), {}, { status: 503, detail: 'service_answer_invalid' }],
    ['a list comes', answering(200, '[]'), {}, { status: 503, detail: 'service_answer_invalid' }],
    ['no token comes', answering(200, issued({ access_token: undefined })), {}, { status: 503 }],
    ['an empty token comes', answering(200, issued({ access_token: '' })), {}, { status: 503 }],
    ['a token comes that is no text', answering(200, issued({ access_token: 5 })), {}, { status: 503 }],
    [
      'a token comes that splits fields',
      answering(200, issued({ access_token: 'a\r\nx-user-id: root' })),
      {},
      { status: 503 },
    ],
    ['the token is of another kind', answering(200, issued({ token_type: 'DPoP' })), {}, { status: 503 }],
    ['the kind is not told', answering(200, issued({ token_type: undefined })), {}, { status: 503 }],
    [
      'too much comes',
      answering(200, issued({ more: 'x'.repeat(70_000) })),
      {},
      { detail: 'service_answer_too_large' },
    ],
    ['nothing comes', () => {}, { timeout: '150ms' }, { status: 503, detail: 'service_timeout' }],
    [
      'it stalls',
      (_req, res) => void res.writeHead(200).write('{'),
      { timeout: '150ms' },
      { detail: 'service_timeout' },
    ],
    ['it breaks off', (req) => void req.socket.destroy(), {}, { status: 503, detail: 'service_answer_broken' }],
  ]
  test.each(cases)('%s', async (_, handler, config, expected) => {
    provider.answer(handler)
    const ctx = caller('abc', { headers: ['authorization', 'Bearer abc'] })
    const verdict = await ask(stepsFor(config), ctx)
    expect(verdict).toMatchObject(expected)
    expect(JSON.stringify(verdict)).not.toContain('secret things')
    expect(lines(ctx.headers)).toEqual(['authorization: Bearer abc'])
  })

  test('the provider is down', async () => {
    await provider.close()
    expect(await ask(stepsFor())).toMatchObject({ status: 503, detail: 'service_unreachable' })
  })

  test('there is none', () => {
    expect(stepsFor().access?.(caller(null))).toMatchObject({ code: 'credentials_missing', status: 401 })
    expect(provider.calls).toHaveLength(0)
  })
})

test('remembers refusals for a moment, and nothing that went wrong', async () => {
  const steps = stepsFor()
  await ask(steps, caller('unknown'))
  expect(steps.access?.(caller('unknown'))).toMatchObject({ status: 401 })
  expect(provider.calls).toHaveLength(1)
  provider.answerText(500, '')
  expect(await ask(steps)).toMatchObject({ status: 503 })
  provider.answer(null)
  expect(await ask(steps)).toBeUndefined()
})

test('leaves the provider alone when it fails again and again', async () => {
  provider.answerText(500, '')
  const steps = stepsFor({ breaker: { max_failures: 2, cooldown: '1m' } })
  for (let i = 0; i < 2; i++) expect(await ask(steps)).toMatchObject({ detail: 'service_status_500' })
  expect(await ask(steps)).toMatchObject({ code: 'auth_unavailable', detail: 'service_breaker_open' })
  expect(provider.calls).toHaveLength(2)
})

test('does not touch the request of a client that is gone', async () => {
  const steps = stepsFor()
  const ctx = caller()
  const pending = ask(steps, ctx)
  ctx.aborted = true
  expect(await pending).toBeUndefined()
  expect(lines(ctx.headers)).toEqual(['accept: */*'])
})

test('needs somebody who checked the token', () => {
  expect(tokenExchange.requires?.(schema.parse({ url: 'http://a', ...gatewayClient }))).toEqual(['token'])
})

const whole = { url: 'https://a/token', ...gatewayClient }

test.each([
  [{ url: 'https://a/token' }, 'client_id: '],
  [{ url: 'https://a/token', client_id: 'a' }, 'client_secret: must be there, unless "client_auth" is none'],
  [{ ...whole, client_auth: 'none' }, 'client_secret: means nothing'],
  [{ ...whole, client_id: 'a\nb' }, 'client_id: must be visible ASCII'],
  [{ ...whole, scope: 'a "b"' }, 'scope.1: must be a scope'],
  [{ ...whole, resource: 'payments' }, 'resource.0: must be an absolute URL'],
  [{ ...whole, audience: [] }, 'audience: '],
  [{ ...whole, requested_token_type: 'a b' }, 'requested_token_type: must be a token type'],
  [{ ...whole, cache: { skew: '-1s' } }, 'cache.skew: must be a duration'],
])('refuses %j', (config, message) => expect(faults(tokenExchange, config)).toContain(message))
