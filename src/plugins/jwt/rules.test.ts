import { createHash } from 'node:crypto'
import { afterAll, describe, expect, test } from 'vitest'
import {
  bearing,
  closeVerifiers,
  invalid,
  key,
  outcome,
  RevokedByTest,
  secret,
  steps,
  verdictOf,
} from '../../../test/support/jwt-steps.ts'
import { lines } from '../../../test/support/plugin.ts'
import { token } from '../../../test/support/token.ts'
import type { Services } from '../../core/services/services.ts'
import { TokenFault } from '../../core/services/tokens.ts'

afterAll(closeVerifiers)

describe('consumers of the configuration', () => {
  const ann = { id: 'ann', name: 'Ann', tier: 'gold', tenant: 'acme', groups: [], roles: ['known'], scopes: ['known'] }

  test('complete what the token says', async () => {
    const ctx = bearing(await token(key, { sub: 'ann', scope: 'own' }))
    await verdictOf(steps({}, { consumers: new Map([['ann', ann]]) }), ctx)
    expect(ctx.consumer).toMatchObject({ name: 'Ann', tier: 'gold', roles: ['known'], scopes: ['own'] })
    expect(lines(ctx.headers)).toContain('x-tenant-id: acme')
  })

  test('that change count at once, also for tokens that are known', async () => {
    const text = await token(key, { sub: 'ann' })
    const before = steps({ scopes: ['known'] }, { consumers: new Map([['ann', ann]]) })
    const after = steps({ scopes: ['known'] }, { consumers: new Map([['ann', { ...ann, tier: 'lead', scopes: [] }]]) })
    const ctx = bearing(text)
    expect(await outcome(before, ctx)).toBe('in')
    expect(ctx.consumer?.tier).toBe('gold')
    expect(await outcome(after, bearing(text))).toContain('access_denied')
    expect(await outcome(before, bearing(text))).toBe('in')
  })
})

describe('claims that are required', () => {
  const required = { claims: { email_verified: true, 'realm.roles': ['ops', 'admin'], level: 3 } }

  test.each([
    [{ email_verified: true, realm: { roles: ['x', 'admin'] }, level: 3 }, true],
    [{ email_verified: true, realm: { roles: 'ops' }, level: 3 }, true],
    [{ email_verified: 'true', realm: { roles: ['ops'] }, level: 3 }, false],
    [{ email_verified: true, realm: { roles: ['o'] }, level: 3 }, false],
    [{ email_verified: true, realm: { roles: [] }, level: 3 }, false],
    [{ email_verified: true, realm: { roles: ['ops'] }, level: '3' }, false],
    [{ email_verified: true, realm: null, level: 3 }, false],
    [{}, false],
  ])('all of them: %j → %j', async (claims, admitted) => {
    const expected = admitted ? 'in' : invalid('claims_not_fulfilled')
    expect(await outcome(steps(required), bearing(await token(key, claims)))).toBe(expected)
  })

  test.each([
    [{ email_verified: true }, true],
    [{ level: 3 }, true],
    [{ email_verified: false, level: 4 }, false],
  ])('any of them: %j → %j', async (claims, admitted) => {
    const expected = admitted ? 'in' : invalid('claims_not_fulfilled')
    expect(await outcome(steps({ ...required, match: 'any' }), bearing(await token(key, claims)))).toBe(expected)
  })

  test('time claims that must be there', async () => {
    const text = await token(key, { exp: undefined })
    expect(await outcome(steps({ required: ['iat'] }), bearing(text))).toBe('in')
    expect(await outcome(steps({ claims_to_verify: ['exp', 'nbf'] }), bearing(await token(key)))).toBe(
      invalid('nbf_missing'),
    )
  })

  test('too old whatever it says itself, less the difference of clocks', async () => {
    const now = Math.floor(Date.now() / 1000)
    const text = await token(key, { iat: now - 100 })
    expect(await outcome(steps({ max_age: '1m' }), bearing(text))).toBe(invalid('too_old'))
    expect(await outcome(steps({ max_age: '1m', clock_skew: '1m' }), bearing(text))).toBe('in')
    const expired = await token(key, { exp: now - 60 })
    expect(await outcome(steps({ clock_skew: '2m' }), bearing(expired))).toBe('in')
    expect(await outcome(steps({ clock_skew: 0 }), bearing(expired))).toBe(invalid('expired'))
  })

  test('scopes: who is known and may not is told which are needed', async () => {
    const made = steps({ scopes: ['read', 'write'] })
    const refused =
      'access_denied | 403 | Bearer realm="api", error="insufficient_scope", scope="read write" | insufficient_scope'
    expect(await outcome(made, bearing(await token(key, { scope: 'write read more' })))).toBe('in')
    expect(await outcome(made, bearing(await token(key, { scp: ['read', 'write'] })))).toBe('in')
    for (const claims of [{ scope: 'read' }, { scope: 'readwrite' }, {}]) {
      const text = await token(key, claims)
      expect(await outcome(made, bearing(text))).toBe(refused)
      expect(await outcome(made, bearing(text))).toBe(refused)
    }
  })
})

describe('revoked', () => {
  test.each(['jti', 'sub', 'token', 'consumer'] as const)(
    'by %s: refused at once, though it is known',
    async (kind) => {
      const revocations = new RevokedByTest()
      const made = steps({ consumer_claim: 'client' }, { services: { revocations } })
      const text = await token(key, { jti: `id-${kind}`, sub: `sub-${kind}`, client: `client-${kind}` })
      expect(await outcome(made, bearing(text))).toBe('in')
      const value = {
        jti: 'id-jti',
        sub: 'sub-sub',
        token: createHash('sha256').update(text).digest('hex'),
        consumer: 'client-consumer',
      }[kind]
      revocations.add(kind, value)
      expect(await outcome(made, bearing(text))).toBe(invalid('token_revoked'))
      expect(await outcome(made, bearing(text))).toBe(invalid('token_revoked'))
      revocations.clear()
      expect(await outcome(made, bearing(text))).toBe('in')
    },
  )

  test('only what was issued before', async () => {
    const revocations = new RevokedByTest()
    const made = steps({}, { services: { revocations } })
    const now = Math.floor(Date.now() / 1000)
    revocations.add('sub', 'user-1', (now - 10) * 1000)
    expect(await outcome(made, bearing(await token(key, { iat: now - 20 })))).toBe(invalid('token_revoked'))
    expect(await outcome(made, bearing(await token(key, { iat: now - 5 })))).toBe('in')
    expect(await outcome(made, bearing(await token(key, { iat: undefined })))).toBe(invalid('token_revoked'))
  })

  test('the list is asked once per change, not once per request', async () => {
    const revocations = new RevokedByTest()
    const made = steps({}, { services: { revocations } })
    const text = await token(key, { jti: 'counted' })
    for (let i = 0; i < 3; i++) await verdictOf(made, bearing(text))
    const { asked } = revocations
    for (let i = 0; i < 3; i++) await verdictOf(made, bearing(text))
    expect(revocations.asked).toBe(asked)
    revocations.add('jti', 'somebody else')
    expect(await outcome(made, bearing(text))).toBe('in')
    expect(revocations.asked).toBeGreaterThan(asked)
  })

  test('another list of the same age is another list', async () => {
    const [clean, full] = [new RevokedByTest(), new RevokedByTest()]
    clean.add('jti', 'x')
    full.add('jti', 'moved')
    const text = await token(key, { jti: 'moved' })
    expect(await outcome(steps({}, { services: { revocations: clean } }), bearing(text))).toBe('in')
    expect(await outcome(steps({}, { services: { revocations: full } }), bearing(text))).toBe(invalid('token_revoked'))
  })
})

describe('rules', () => {
  const fingerprintOf = (config: object): string => {
    let fingerprint = ''
    const open = ((rules: { fingerprint: string }) => {
      fingerprint = rules.fingerprint
      return { verify: () => new TokenFault('invalid', 'x') }
    }) as Services['tokens']['open']
    steps(config, { services: { tokens: { open } } })
    return fingerprint
  }

  test('that say the same share what they know; others never do', () => {
    const usual = fingerprintOf({})
    expect(fingerprintOf({ from: [{ cookie: 'a' }], realm: 'b', forward_token: true, status: 403 })).toBe(usual)
    const others = [
      { issuer: 'b' },
      { audience: 'b' },
      { algorithms: ['HS256'] },
      { secret: 'another secret of thirty-two bytes and more' },
      { clock_skew: 0 },
      { max_age: '1m' },
      { required: ['iat'] },
      { claims: { a: 1 } },
      { claims: { a: '1' } },
      { match: 'any' },
      { scopes: ['a'] },
      { claims_to_headers: {} },
      { consumer_claim: 'a' },
      { tenant_claim: 'a' },
      { roles_claim: 'a' },
      { groups_claim: 'a' },
      { scope_claim: 'a' },
      { max_size: 512 },
    ].map(fingerprintOf)
    expect(new Set([usual, ...others]).size).toBe(others.length + 1)
    for (const fingerprint of others) expect(fingerprint).not.toContain(secret)
  })
})
