import { afterAll, describe, expect, test } from 'vitest'
import {
  bearing,
  closeVerifiers,
  invalid,
  key,
  missing,
  outcome,
  repeated,
  steps,
  trust,
  verdictOf,
} from '../../../test/support/jwt-steps.ts'
import { depsOf, lines, request } from '../../../test/support/plugin.ts'
import { audience, issuer, signingKey, token } from '../../../test/support/token.ts'
import { TokenFault } from '../../core/services/tokens.ts'
import { jwt } from './plugin.ts'

afterAll(closeVerifiers)

describe('a good token', () => {
  test('names the caller and is not passed on', async () => {
    const text = await token(key, {
      role: 'admin',
      roles: ['a', 'b'],
      scope: 'read write',
      tenant_id: 'acme',
      groups: ['g'],
    })
    const ctx = bearing(text)
    expect(await outcome(steps(), ctx)).toBe('in')
    expect(lines(ctx.headers)).toEqual([
      'accept: */*',
      'x-last: 1',
      'x-user-id: user-1',
      'x-user-role: admin',
      'x-user-roles: a,b',
      'x-user-scopes: read write',
      'x-tenant-id: acme',
    ])
    expect(ctx.consumer).toEqual({
      id: 'user-1',
      name: null,
      tier: null,
      tenant: 'acme',
      groups: ['g'],
      roles: ['a', 'b'],
      scopes: ['read', 'write'],
      credential: null,
      anonymous: false,
    })
    expect(ctx.claims).toMatchObject({ iss: issuer, sub: 'user-1', role: 'admin' })
    expect(ctx.token).toBe(text)
  })

  test('is decided on at once when it comes again, with the very same consumer', async () => {
    const made = steps()
    const text = await token(key, { sub: 'again' })
    const [first, second] = [bearing(text), bearing(text)]
    await made.access?.(first)
    expect(made.access?.(second)).toBeUndefined()
    expect(second.consumer).toBe(first.consumer)
  })

  test('goes to the upstream where that is wanted', async () => {
    const text = await token(key)
    const ctx = bearing(text)
    await verdictOf(steps({ forward_token: true }), ctx)
    expect(lines(ctx.headers)).toContain(`authorization: Bearer ${text}`)
  })

  test('tells the upstream the claims that are mapped, and only those', async () => {
    const ctx = bearing(
      await token(key, {
        role: 'admin',
        realm_access: { roles: ['x', 'y'] },
        'https://example.com/plan': 'gold',
        address: { city: 'Rom' },
        level: 3,
        none: null,
      }),
    )
    const claims_to_headers = {
      sub: 'X-User-Id',
      'realm_access.roles': 'X-User-Roles',
      'https://example.com/plan': 'X-Plan',
      address: 'X-Address',
      level: 'X-Level',
      none: 'X-None',
      'a.b.c': 'X-Absent',
      constructor: 'X-Inherited',
    }
    expect(await outcome(steps({ claims_to_headers }), ctx)).toBe('in')
    expect(lines(ctx.headers).slice(2)).toEqual([
      'x-user-id: user-1',
      'x-user-roles: x,y',
      'x-plan: gold',
      'x-address: {"city":"Rom"}',
      'x-level: 3',
    ])
  })

  test('names the caller by the claims that are configured', async () => {
    const made = steps({
      consumer_claim: ['client_id', 'sub'],
      tenant_claim: 'org.id',
      roles_claim: 'realm_access.roles',
      groups_claim: 'teams',
      scope_claim: 'permissions',
      claims_to_headers: {},
    })
    const claims = { org: { id: 7 }, realm_access: { roles: ['ops'] }, teams: 'red blue', permissions: ['p'] }
    const ctx = bearing(await token(key, { ...claims, client_id: 'app' }))
    await verdictOf(made, ctx)
    expect(ctx.consumer).toMatchObject({
      id: 'app',
      tenant: '7',
      roles: ['ops'],
      groups: ['red', 'blue'],
      scopes: ['p'],
    })
    expect(lines(ctx.headers)).toEqual(['accept: */*', 'x-last: 1'])
    const other = bearing(await token(key, claims))
    await verdictOf(made, other)
    expect(other.consumer?.id).toBe('user-1')
  })

  test('does not rename who is known already, but adds to it', async () => {
    const ctx = bearing(await token(key, { roles: ['a'], sub: 'second' }))
    const first = {
      id: 'first',
      name: null,
      tier: null,
      tenant: null,
      groups: [],
      roles: [],
      scopes: [],
      credential: null,
      anonymous: false,
    }
    ctx.consumer = first
    ctx.claims = { sub: 'first' }
    ctx.headers.push('x-user-id', 'first')
    expect(await outcome(steps(), ctx)).toBe('in')
    expect(ctx.consumer).toBe(first)
    expect(ctx.claims).toMatchObject({ sub: 'first', iss: issuer })
    expect(lines(ctx.headers).slice(2)).toEqual(['x-user-id: first', 'x-user-roles: a'])
  })
})

describe('without a good token', () => {
  test('nobody gets in, and nothing is said but that a token is needed', async () => {
    expect(await outcome(steps(), request())).toBe(missing)
    expect(await outcome(steps(), request({ headers: ['authorization', 'Basic dTpw'] }))).toBe(missing)
    expect(await outcome(steps(), request({ headers: ['authorization', 'Bearer'] }))).toBe(missing)
  })

  test.each([
    ['undefined', 'malformed'],
    ['a.b.c', 'malformed'],
    ['a b', 'malformed'],
    ['"quoted"', 'malformed'],
    ['ä.ö.ü', 'malformed'],
    ['a, Bearer b', 'malformed'],
    ['x'.repeat(8193), 'too_large'],
  ])('%.20j is refused, the log says %s', async (text, detail) => {
    expect(await outcome(steps(), bearing(text))).toBe(invalid(detail))
  })

  test.each([
    [{ exp: 1 }, 'expired'],
    [{ exp: undefined }, 'exp_missing'],
    [{ nbf: 9_999_999_999 }, 'not_yet_valid'],
    [{ iss: 'https://other.example.com' }, 'issuer_unknown'],
    [{ iss: undefined }, 'issuer_unknown'],
    [{ aud: 'other' }, 'audience_mismatch'],
    [{ aud: ['other', `${audience}.evil`] }, 'audience_mismatch'],
    [{ sub: undefined }, 'consumer_claim_missing'],
    [{ sub: '' }, 'consumer_claim_missing'],
    [{ sub: 'a\r\nx-user-role: admin' }, 'claim_not_sendable'],
    [{ sub: ' root' }, 'claim_not_sendable'],
    [{ tenant_id: 'a\nb' }, 'claim_not_sendable'],
  ])('claims %j: the same answer, and %s in the log', async (claims, detail) => {
    expect(await outcome(steps(), bearing(await token(key, claims)))).toBe(invalid(detail))
  })

  test('signed by somebody else: the same answer', async () => {
    const other = signingKey('HS256', 'other')
    expect(await outcome(steps(), bearing(await token(other)))).toBe(invalid('signature_invalid'))
  })

  test('two tokens in one field, or in two, are a malformed request', async () => {
    const text = await token(key)
    const twice = ['authorization', `Bearer ${text}`, 'authorization', `Bearer ${text}`]
    expect(await outcome(steps(), request({ headers: twice }))).toBe(repeated)
    expect(await outcome(steps({ status: 403 }), request({ headers: twice }))).toContain('| 403 |')
  })

  test('status, message and realm are as configured', async () => {
    const made = steps({ status: 403, message: 'Unauthorized', realm: 'shop' })
    const verdict = await verdictOf(made, request())
    expect(verdict).toMatchObject({
      code: 'credentials_missing',
      status: 403,
      message: 'Unauthorized',
      headers: ['www-authenticate', 'Bearer realm="shop"'],
    })
    expect(await verdictOf(made, bearing('nonsense'))).toMatchObject({
      code: 'credentials_invalid',
      status: 403,
      message: 'Unauthorized',
      headers: ['www-authenticate', 'Bearer realm="shop", error="invalid_token"'],
    })
  })

  test('the challenge names the scheme that is expected', async () => {
    const made = steps({ from: [{ cookie: 'sid' }, { header: 'Authorization', scheme: 'Token' }] })
    expect(await verdictOf(made, request())).toMatchObject({ headers: ['www-authenticate', 'Token realm="api"'] })
    expect(await outcome(made, request({ headers: ['authorization', `token ${await token(key)}`] }))).toBe('in')
  })

  test('optional lets those without one pass, and refuses bad ones', async () => {
    const made = steps({ optional: true })
    const ctx = request()
    expect(await outcome(made, ctx)).toBe('in')
    expect(ctx.consumer).toBeNull()
    expect(await outcome(made, bearing(await token(key, { exp: 1 })))).toBe(invalid('expired'))
  })

  test('what can not be checked now is no fault of the client', async () => {
    const failing = (fault: TokenFault) =>
      steps({}, { services: { tokens: { open: () => ({ verify: () => fault }) } } })
    expect(await outcome(failing(new TokenFault('unavailable', 'keys_unavailable')), bearing('a'))).toBe(
      'auth_unavailable | 503 | - | keys_unavailable',
    )
    expect(await outcome(failing(new TokenFault('overloaded', 'full')), bearing('a'))).toBe(
      'auth_overloaded | 503 | - | full',
    )
  })

  test('a client that has gone away meanwhile gets nothing written', async () => {
    let settle: (fault: TokenFault) => void = () => {}
    const waiting = new Promise<TokenFault>((resolve) => (settle = resolve))
    const made = steps({}, { services: { tokens: { open: () => ({ verify: () => waiting }) } } })
    const ctx = bearing('a')
    const pending = made.access?.(ctx)
    expect(pending).toBeInstanceOf(Promise)
    Object.assign(ctx, { aborted: true })
    settle(new TokenFault('invalid', 'expired'))
    expect(await pending).toBeUndefined()
  })
})

describe('where the token stands', () => {
  test('the stated order decides, and none of them reaches the upstream', async () => {
    const made = steps({ from: [{ cookie: 'sid' }, { query: 'jwt' }, { header: 'authorization' }] })
    const [inCookie, inQuery] = [await token(key, { sub: 'cookie' }), await token(key, { sub: 'query' })]
    const ctx = request({
      headers: ['cookie', `a=1; sid=${inCookie}; b=2`, 'authorization', 'Bearer x'],
      query: `q=1&jwt=${inQuery}`,
    })
    expect(await outcome(made, ctx)).toBe('in')
    expect(ctx.query).toBe('q=1')
    expect(lines(ctx.headers)).toEqual(['cookie: a=1; b=2', 'x-user-id: cookie'])
    const second = request({ query: `jwt=${inQuery}&q=1` })
    expect(await outcome(made, second)).toBe('in')
    expect(second.query).toBe('q=1')
    expect(second.consumer?.id).toBe('query')
  })

  test('as Kong says it', async () => {
    const made = steps({ header_names: ['X-Token', 'authorization'], cookie_names: ['c'], uri_param_names: ['jwt'] })
    const text = await token(key)
    const carriers: [string[], string][] = [
      [['x-token', text], ''],
      [['x-token', `Bearer ${text}`], ''],
      [['authorization', `Bearer ${text}`], ''],
      [['cookie', `c=${text}`], ''],
      [[], `jwt=${text}`],
    ]
    for (const [headers, query] of carriers) {
      const ctx = request({ headers: [...headers], query })
      expect(await outcome(made, ctx)).toBe('in')
      expect(lines(ctx.headers)).toEqual(['x-user-id: user-1'])
      expect(ctx.query).toBe('')
    }
    expect(await outcome(steps({ uri_param_names: ['jwt'] }), bearing(text))).toBe('in')
  })
})

describe('preflights', () => {
  const preflight = ['origin', 'https://app.example.com', 'access-control-request-method', 'POST']

  test('need a token unless said otherwise', async () => {
    expect(await outcome(steps(), request({ method: 'OPTIONS', headers: [...preflight] }))).toBe(missing)
    const made = steps({ run_on_preflight: false })
    expect(await outcome(made, request({ method: 'OPTIONS', headers: [...preflight] }))).toBe('in')
    expect(await outcome(made, request({ method: 'GET', headers: [...preflight] }))).toBe(missing)
    expect(await outcome(made, request({ method: 'OPTIONS', headers: preflight.slice(0, 2) }))).toBe(missing)
    expect(await outcome(made, request({ method: 'OPTIONS', headers: preflight.slice(2) }))).toBe(missing)
  })
})

test('says what it provides and injects', () => {
  const of = (config: object) => jwt.schema.parse({ ...trust, ...config })
  expect(jwt.provides?.(of({}))).toEqual(['consumer', 'claims', 'token'])
  expect(jwt.provides?.(of({ optional: true }))).toEqual([])
  expect(jwt.provides?.(of({ run_on_preflight: false }))).toEqual([])
  expect(jwt.injects?.(of({}))).toContain('x-user-id')
  expect(jwt.injects?.(of({ claims_to_headers: { sub: 'X-Who' } }))).toEqual(['x-who'])
})

test('depsOf has what a check needs', () => {
  expect(() => jwt.create(jwt.schema.parse(trust), depsOf())).not.toThrow()
})
