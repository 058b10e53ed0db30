import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { faults, lines } from '../../../test/support/plugin.ts'
import {
  check,
  hmac,
  keys,
  message,
  now,
  parameters,
  revoked,
  secret,
  signed,
  usual,
} from '../../../test/support/signature.ts'
import type { RequestContext } from '../../core/context.ts'
import type { Verdict } from '../../core/plugin.ts'
import { hmacAuth } from './plugin.ts'

const refused = { code: 'credentials_invalid', status: 401 }

beforeEach(() => {
  revoked.clear()
  vi.useFakeTimers({ now: now * 1000, toFake: ['Date'] })
})
afterEach(() => void vi.useRealTimers())

describe('a signed request', () => {
  test('is let in, its owner told to the upstream, and the signature kept from it', () => {
    const ctx = signed(message(), usual + parameters)
    const acme = { id: 'acme', name: 'ACME', tier: 'gold', tenant: 't', groups: ['g'], roles: ['r'], scopes: ['s'] }
    expect(check({ keys: [{ ...keys[0], tier: 'free' }] }, ctx, { consumers: [acme] })).toBeUndefined()
    expect(ctx.consumer).toEqual({ ...acme, tier: 'free', credential: 'k1', anonymous: false })
    expect(lines(ctx.headers).slice(2)).toEqual([
      'x-consumer-id: acme',
      'x-tenant-id: t',
      'x-user-roles: r',
      'x-user-scopes: s',
    ])
  })

  const changes: [string, (ctx: RequestContext) => void][] = [
    ['another method', (ctx) => (ctx.method = 'PUT')],
    ['another host', (ctx) => (ctx.authority = 'evil.example.com')],
    ['another port', (ctx) => (ctx.authority = 'api.example.com:8443')],
    ['another path', (ctx) => Object.assign(ctx, { path: '/admin' })],
    ['another query', (ctx) => (ctx.query = 'a=c')],
    ['no query', (ctx) => (ctx.query = '')],
    ['one more of a signed field', (ctx) => ctx.headers.push('content-type', 'text/html')],
    ['a signed field less', (ctx) => ctx.headers.splice(0, 2)],
    ['another key id', (ctx) => replace(ctx, 'signature-input', '"k1"', '"k2"')],
    ['another time', (ctx) => replace(ctx, 'signature-input', String(now), String(now + 1))],
    ['a component less', (ctx) => replace(ctx, 'signature-input', ' "content-type"', '')],
    ['another order', (ctx) => replace(ctx, 'signature-input', '"@method" "@authority"', '"@authority" "@method"')],
    ['one more parameter', (ctx) => replace(ctx, 'signature-input', '"k1"', '"k1";nonce="n"')],
    ['a shorter signature', (ctx) => (ctx.headers[ctx.headers.length - 1] = 'sig=:AAAA:')],
    ['no signature', (ctx) => (ctx.headers[ctx.headers.length - 1] = 'sig=::')],
  ]

  test.each(changes)('is refused with %s', (_name, change) => {
    const both = { keys: [...keys, { ...keys[0], id: 'k2', secret: 'another secret of more than thirty-two bytes' }] }
    const input = `("@method" "@authority" "@path" "@query" "content-type")${parameters}`
    const ctx = signed(message(), input)
    change(ctx)
    expect(check(both, ctx)).toMatchObject(refused)
    expect(check({ ...both, optional: true }, ctx)).toMatchObject(refused)
    expect(ctx.consumer).toBeNull()
    expect(check(both, signed(message(), input))).toBeUndefined()
  })

  function replace(ctx: RequestContext, name: string, from: string, to: string): void {
    const index = ctx.headers.indexOf(name) + 1
    expect(ctx.headers[index]).toContain(from)
    ctx.headers[index] = (ctx.headers[index] ?? '').replace(from, to)
  }

  test('may be signed by any of the ways to say the same', () => {
    for (const input of [
      '("@method" "@target-uri")',
      '("@method" "@authority" "@request-target")',
      '("@method" "host" "@path" "@query" "@scheme" "date" "content-type")',
    ])
      expect(check({ keys }, signed(message(), input + parameters))).toBeUndefined()
  })

  test.each([
    ['("@authority" "@path" "@query")', {}],
    ['("@method" "@path" "@query")', {}],
    ['("@method" "@authority" "@query")', {}],
    ['("@method" "@authority" "@path")', {}],
    ['("@method" "@authority" "@path" "@query-param";name="a")', {}],
    [usual, { bodyLength: 10 }],
    [usual, { bodyLength: -1 }],
    ['()', {}],
  ])('must have %s signed and more (%j)', (input, fields) => {
    const ctx = signed(message(fields), input + parameters)
    expect(check({ keys }, ctx)).toMatchObject({ ...refused, detail: 'component_not_covered' })
  })

  test('needs no query signed where there is none, and a digest where there is a body', () => {
    const plain = '("@method" "@authority" "@path")'
    expect(check({ keys }, signed(message({ query: '' }), plain + parameters))).toBeUndefined()
    const digest = ['content-digest', 'sha-256=:AAAA:']
    const input = `("@method" "@target-uri" "content-digest" "content-length")${parameters}`
    expect(check({ keys }, signed(message({ bodyLength: 10, headers: digest }), input))).toBeUndefined()
    expect(() => signed(message({ bodyLength: -1, headers: digest }), input)).toThrow('nothing to sign')
  })

  test('must cover what the configuration wants', () => {
    const config = { keys, required: ['@method', 'idempotency-key'] }
    const field = ['idempotency-key', '7']
    expect(check(config, signed(message({ headers: field }), `("@method")${parameters}`))).toMatchObject(refused)
    const ctx = signed(message({ headers: field }), `("@method" "idempotency-key")${parameters}`)
    expect(check(config, ctx)).toBeUndefined()
  })

  test('is good for a while only', () => {
    const verdict = (times: string, config: object = {}): Verdict =>
      check({ keys, ...config }, signed(message(), `${usual}${times};keyid="k1"`))
    expect(verdict(`;created=${now - 300}`)).toBeUndefined()
    expect(verdict(`;created=${now - 331}`)).toMatchObject({ ...refused, detail: 'signature_too_old' })
    expect(verdict(`;created=${now - 300}`, { max_age: '10s' })).toMatchObject({ detail: 'signature_too_old' })
    expect(verdict(`;created=${now + 30}`)).toBeUndefined()
    expect(verdict(`;created=${now + 31}`)).toMatchObject({ detail: 'created_in_future' })
    expect(verdict(`;created=${now + 1}`, { clock_skew: 0 })).toMatchObject({ detail: 'created_in_future' })
    expect(verdict(`;created=${now};expires=${now - 31}`)).toMatchObject({ detail: 'signature_expired' })
    expect(verdict(`;created=${now};expires=${now - 29}`)).toBeUndefined()
    expect(verdict(`;created=${now};expires="never"`)).toMatchObject({ detail: 'signature_malformed' })
    expect(verdict('')).toMatchObject({ detail: 'created_missing' })
    expect(verdict(';created="1800000000"')).toMatchObject({ detail: 'created_missing' })
    expect(verdict(`;created=${now}.5`)).toMatchObject({ detail: 'created_missing' })
  })

  test('names its key, and no other algorithm than that of the key', () => {
    const verdict = (more: string): Verdict => check({ keys }, signed(message(), `${usual};created=${now}${more}`))
    expect(verdict(';keyid="k1";alg="hmac-sha256"')).toBeUndefined()
    expect(verdict(';keyid="k1";alg="ed25519"')).toMatchObject({ ...refused, detail: 'algorithm_mismatch' })
    expect(verdict(';keyid="k1";alg="none"')).toMatchObject({ detail: 'algorithm_mismatch' })
    expect(verdict(';keyid="k9"')).toMatchObject({ detail: 'key_unknown' })
    expect(verdict('')).toMatchObject({ detail: 'key_unknown' })
    expect(verdict(';keyid=k1')).toMatchObject({ detail: 'key_unknown' })
  })

  test('is refused when its key is disabled or revoked', () => {
    const verdict = (more: object = {}): Verdict =>
      check({ keys: [{ ...keys[0], ...more }] }, signed(message(), usual + parameters))
    expect(verdict({ status: 'disabled' })).toMatchObject({ ...refused, detail: 'key_disabled' })
    revoked.add('key:k1')
    expect(verdict()).toMatchObject({ ...refused, detail: 'key_revoked' })
    revoked.clear()
    revoked.add('consumer:acme')
    expect(verdict()).toMatchObject({ ...refused, detail: 'key_revoked' })
  })

  test('may have text beyond ASCII in its fields', () => {
    const ctx = signed(
      message({ headers: ['x-name', 'J\u00fcrgen'] }),
      `("@method" "@target-uri" "x-name")${parameters}`,
    )
    expect(check({ keys }, ctx)).toBeUndefined()
  })
})

describe('signatures', () => {
  test('that are not there are asked for', () => {
    const challenge = ['www-authenticate', 'Signature realm="shop"', 'accept-signature']
    expect(check({ keys, realm: 'shop', tag: 'shop' }, message())).toMatchObject({
      code: 'credentials_missing',
      headers: [
        ...challenge,
        'sig=("@method" "@authority" "@path" "@query" "content-digest");created;keyid;tag="shop"',
      ],
    })
    expect(check({ keys, optional: true }, message())).toBeUndefined()
    expect(hmacAuth.provides?.(hmacAuth.schema.parse({ keys, optional: true }))).toEqual([])
    expect(hmacAuth.provides?.(hmacAuth.schema.parse({ keys }))).toEqual(['consumer'])
  })

  test('with another tag are for others, and go on', () => {
    const ctx = signed(message(), `${usual};created=1;keyid="other";tag="billing"`, hmac, 'other')
    expect(check({ keys, tag: 'shop' }, ctx)).toMatchObject({ code: 'credentials_missing' })
    signed(ctx, `${usual}${parameters};tag="shop"`, hmac, 'mine')
    // Both may stand in one line, too.
    expect(check({ keys, tag: 'shop' }, ctx)).toBeUndefined()
    const left = lines(ctx.headers).filter((line) => line.startsWith('signature'))
    expect(left).toHaveLength(2)
    expect(left[0]).toBe(`signature-input: other=${usual};created=1;keyid="other";tag="billing"`)
    expect(left[1]).toMatch(/^signature: other=:[\w+/=]+:$/)
  })

  test('of which one is good are enough', () => {
    const ctx = signed(message(), `${usual};created=${now};keyid="k9"`, hmac, 'a')
    signed(ctx, usual + parameters, hmac, 'b')
    expect(check({ keys }, ctx)).toBeUndefined()
    const many = message()
    for (const label of ['a', 'b', 'c', 'd', 'e']) signed(many, usual + parameters, hmac, label)
    expect(check({ keys }, many)).toMatchObject({ ...refused, detail: 'too_many_signatures' })
  })

  test('stay where that is wanted', () => {
    const ctx = signed(message(), usual + parameters)
    expect(check({ keys, hide_credentials: false }, ctx)).toBeUndefined()
    expect(lines(ctx.headers).filter((line) => line.startsWith('signature'))).toHaveLength(2)
  })

  test.each([
    ['only one of the fields', ['signature', 'sig=:AAAA:']],
    ['only the other', ['signature-input', `sig=${usual}${parameters}`]],
    ['another label', ['signature-input', `sig=${usual}${parameters}`, 'signature', 'other=:AAAA:']],
    ['nothing within', ['signature-input', '', 'signature', '']],
    ['no list', ['signature-input', 'sig=1', 'signature', 'sig=:AAAA:']],
    ['no bytes', ['signature-input', `sig=${usual}${parameters}`, 'signature', 'sig="AAAA"']],
    ['no end', ['signature-input', `sig=${usual.slice(0, -1)}`, 'signature', 'sig=:AAAA:']],
    ['no base64', ['signature-input', `sig=${usual}${parameters}`, 'signature', 'sig=:A_A:']],
    [
      'too much',
      ['signature-input', `sig=${usual}${parameters};nonce="${'x'.repeat(9000)}"`, 'signature', 'sig=:AAAA:'],
    ],
  ])('with %s are refused', (_name, headers) => {
    expect(check({ keys }, message({ headers }))).toMatchObject({ ...refused, detail: 'signature_malformed' })
  })

  test.each([
    '("@method" "@method" "@target-uri")',
    '("@method" "@target-uri" "x-none")',
    '("@method" "@target-uri" "@status")',
    '("@method" "@target-uri" "@unknown")',
    '("@method" "@target-uri" "Date")',
    '("@method" "@target-uri" "date";sf)',
    '("@method" "@target-uri" "date";bs)',
    '("@method" "@target-uri" "date";req)',
    '("@method" "@target-uri" "date";tr)',
    '("@method" "@target-uri" "content-type";key="a")',
    '("@method";req "@target-uri")',
    '("@method" "@target-uri" "@query-param")',
    '("@method" "@target-uri" "@query-param";name="none")',
    '("@method" "@target-uri" date)',
    '("@method" "@target-uri" 1)',
  ])('over %s are refused', (input) => {
    const headers = ['signature-input', `sig=${input}${parameters}`, 'signature', 'sig=:AAAA:']
    expect(check({ keys }, message({ headers }))).toMatchObject({ ...refused, detail: 'component_not_there' })
  })

  test('whatever stands in the fields, are answered', () => {
    const parts = [
      'sig',
      '=',
      '(',
      ')',
      '"@method"',
      '"date"',
      ';',
      'created',
      'keyid',
      '"k1"',
      ':',
      ',',
      '1800000000',
      '@1',
      '?1',
      '%"x"',
      'é',
    ]
    const text = fc.oneof(
      fc.string({ maxLength: 60 }),
      fc.array(fc.constantFrom(...parts), { maxLength: 30 }).map((list) => list.join('')),
    )
    fc.assert(
      fc.property(text, text, (input, value) => {
        const verdict = check({ keys }, message({ headers: ['signature-input', input, 'signature', value] }))
        expect(verdict).toMatchObject(refused)
      }),
      { numRuns: 500 },
    )
  })
})

test.each([
  [{}, 'keys'],
  [{ keys: [] }, 'keys'],
  [{ keys: [{ id: 'a', consumer: 'b' }] }, 'needs a "secret" or a "public_key"'],
  [{ keys: [{ id: 'a', consumer: 'b', secret, public_key: 'x' }] }, 'needs a "secret" or a "public_key"'],
  [{ keys: [{ id: 'a', consumer: 'b', secret, algorithm: 'ed25519' }] }, 'ed25519 needs a "public_key"'],
  [{ keys: [{ id: 'a', consumer: 'b', public_key: 'x', algorithm: 'hmac-sha256' }] }, 'hmac-sha256 needs a "secret"'],
  [{ keys: [keys[0], keys[0]] }, 'keys.1.id: key "k1" is there twice'],
  [{ keys, required: [] }, 'required'],
  [{ keys, required: ['@status'] }, 'must be the lower-case name of a header field'],
  [{ keys, required: ['Date'] }, 'must be the lower-case name of a header field'],
  [{ keys, tag: 'a"b' }, 'must be ASCII text'],
])('refuses %j', (config, words) => expect(faults(hmacAuth, config)).toContain(words))
