import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { request } from '../../../test/support/plugin.ts'
import type { Consumer, RequestContext } from '../../core/context.ts'
import { compileKey, network } from './key.ts'
import { schema } from './schema.ts'

const place = { route: 'users', upstream: 'backend' }
const nobody = { name: null, tier: null, tenant: null, groups: [], roles: [], scopes: [], anonymous: false }

function keyOf(by: unknown, ctx: RequestContext, more: object = {}): string {
  const [rule] = schema.parse({ limits: [{ by, limit: 1, window: '1m', ...more }] }).limits
  const key = compileKey(rule as NonNullable<typeof rule>, place)
  return typeof key === 'string' ? key : key(ctx)
}

/** What stands behind how it counts. */
function valuesOf(by: unknown, ctx: RequestContext, more: object = {}): string {
  const [method, ...values] = keyOf(by, ctx, more).split('|')
  expect(method).toBe('s60000')
  return values.join('|')
}

function consumer(fields: Partial<Consumer>): Consumer {
  return { id: 'ann', credential: null, ...nobody, ...fields }
}

describe('the key of a request', () => {
  const ctx = request({
    method: 'POST',
    path: '/a',
    clientIp: '203.0.113.9',
    consumer: consumer({ id: 'ann b', tenant: 'acme', credential: 'key-1' }),
    claims: { sub: 'u|1', org: { id: 7 }, 'org.id': 'literal', deep: { er: { x: true } }, list: ['a'] },
    headers: ['x-org', 'Größe', 'x-api-key', 'secret', 'x-org', 'second'],
  })

  test.each([
    ['global', ''],
    ['ip', '203.0.113.9'],
    ['consumer', 'ann%0020b'],
    ['credential', 'ann%0020b|key-1'],
    ['tenant', 'acme'],
    ['route', 'users'],
    ['upstream', 'backend'],
    ['route+method', 'users|POST'],
    ['header:X-Org', 'Gr%00f6%00dfe'],
    ['header:X-None', ''],
    ['claim:sub', 'u%007c1'],
    ['claim:org.id', 'literal'],
    ['claim:deep.er.x', 'true'],
    ['claim:list', '%005b%0022a%0022%005d'],
    ['claim:deep.none.x', ''],
    ['claim:toString', ''],
    [['tenant', 'route'], 'acme|users'],
    [['tenant', 'header:x-none', 'ip', 'route+method'], 'acme||203.0.113.9|users|POST'],
  ])('by %j', (by, values) => expect(valuesOf(by, ctx)).toBe(values))

  test('without a consumer, a tenant or claims is one that all such requests share', () => {
    for (const by of ['consumer', 'tenant', 'claim:sub']) expect(valuesOf(by, request())).toBe('')
    expect(valuesOf('credential', request())).toBe('|')
    expect(valuesOf('tenant', request({ consumer: consumer({}) }))).toBe('')
  })

  test('has no room for methods that clients make up', () => {
    const methods = ['GET', 'PURGE', 'X1', 'X2', 'get', 'HEAD']
    expect(methods.map((method) => valuesOf('route+method', request({ method })))).toEqual([
      'users|GET',
      'users|*',
      'users|*',
      'users|*',
      'users|*',
      'users|HEAD',
    ])
  })

  test('has the hash of what is long or secret', () => {
    const long = valuesOf('header:x-org', request({ headers: ['x-org', 'x'.repeat(5000)] }))
    expect(long).toMatch(/^%h[\w-]{43}$/)
    expect(valuesOf('header:x-org', request({ headers: ['x-org', 'x'.repeat(5001)] }))).not.toBe(long)
    expect(valuesOf('header:x-api-key', ctx)).toMatch(/^%h[\w-]{43}$/)
    expect(valuesOf('header:x-api-key', request())).toBe('')
  })

  test('says how is counted: counters of other algorithms and windows mean something else', () => {
    const keys = [
      keyOf('ip', ctx),
      keyOf('ip', ctx, { window: '2m' }),
      keyOf('ip', ctx, { algorithm: 'fixed_window' }),
      keyOf('ip', ctx, { window: 'day' }),
      keyOf('ip', ctx, { window: 'month' }),
      keyOf('ip', ctx, { window: 'month', time_zone: 'Europe/Berlin' }),
      keyOf('ip', ctx, { algorithm: 'concurrency' }),
    ]
    expect(new Set(keys).size).toBe(keys.length)
    // A changed limit applies to the counters that exist.
    expect(keyOf('ip', ctx, { limit: 5 })).toBe(keyOf('ip', ctx))
  })

  test("counts one path together, and others by address, as Kong's limit_by: path", () => {
    const [rule] = schema.parse({ minute: 5, limit_by: 'path', path: '/a' }).limits
    const key = compileKey(rule as NonNullable<typeof rule>, place)
    if (typeof key === 'string') throw new Error('the same for all')
    expect(key(ctx).endsWith('|/a')).toBe(true)
    expect(key(request({ path: '/b', clientIp: '203.0.113.9' })).endsWith('|203.0.113.9')).toBe(true)
  })

  test('differs for different values, whatever is in them, and means nothing to a store', () => {
    const value = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('', '|', '%', '%007c', '%h', 'a|b', '{x}'))
    const values = fc.tuple(value, value)
    const key = ([id, tenant]: [string, string]) =>
      valuesOf(['consumer', 'tenant'], request({ consumer: consumer({ id, tenant }) }))
    fc.assert(
      fc.property(values, values, (one, other) => {
        expect(key(one)).toMatch(/^[\w.:/@+=*%-]*\|[\w.:/@+=*%-]*$/)
        expect(key(one) === key(other)).toBe(one[0] === other[0] && one[1] === other[1])
      }),
    )
  })

  test('is the same again, and for more values than are remembered', () => {
    const [rule] = schema.parse({ limits: [{ by: 'consumer', limit: 1, window: '1m' }] }).limits
    const key = compileKey(rule as NonNullable<typeof rule>, place)
    if (typeof key === 'string') throw new Error('the same for all')
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 5000; i++) {
        expect(key(request({ consumer: consumer({ id: `c${i}` }) })).endsWith(`|c${i}`)).toBe(true)
      }
    }
  })
})

test.each([
  ['192.0.2.1', 64, '192.0.2.1'],
  ['::ffff:192.0.2.1', 64, '192.0.2.1'],
  ['::ffff:c000:201', 8, '192.0.2.1'],
  ['2001:db8:1:2:3:4:5:6', 64, '2001:db8:1:2::/64'],
  ['2001:0DB8:1:2::1', 64, '2001:db8:1:2::/64'],
  ['2001:db8:1:2ff::1', 56, '2001:db8:1:200::/56'],
  ['2001:db8:1:2ff::1', 57, '2001:db8:1:280::/57'],
  ['2001:db8::1', 128, '2001:db8::1'],
  ['ffff:ffff::1', 1, '8000::/1'],
  ['fe80::1%eth0', 64, 'fe80::/64'],
  ['nonsense:', 64, 'nonsense:'],
  ['', 64, ''],
])('the network of %j with %d bits is %j', (address, prefix, expected) => {
  expect(network(address, prefix)).toBe(expected)
})
