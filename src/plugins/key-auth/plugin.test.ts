import { createSecretKey } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { access, compile, depsOf, faults, lines, request } from '../../../test/support/plugin.ts'
import { createKey, hashKey, indexOfDigest, keyedDigest, keyedHashOfKey, parseKeyHash } from '../../core/api-key.ts'
import type { RequestContext } from '../../core/context.ts'
import type { Deps, KnownConsumer, Steps, Verdict } from '../../core/plugin.ts'
import { ApiKeysFault, type KeyAnswer, type StoredKey } from '../../core/services/api-keys.ts'
import { keyAuth } from './plugin.ts'

const saltText = 'a salt that lies in a file'
const salt = createSecretKey(Buffer.from(saltText))
const key = createKey('sk_live', 'k1')
const entry = { id: 'k1', hash: hashKey(key), consumer: 'acme' }
const foreign = { id: 'partner-7', hash: keyedHashOfKey('sk_live_abc123', salt), consumer: 'acme' }
const refused = { code: 'credentials_invalid', status: 401 }

const dir = mkdtempSync(join(tmpdir(), 'sluice-key-auth-'))
afterAll(() => rmSync(dir, { recursive: true }))

const revoked = new Set<string>()
let answers: Record<string, KeyAnswer | Promise<KeyAnswer>> = {}
let asked: string[] = []
let opened: unknown[] = []
beforeEach(() => {
  revoked.clear()
  answers = {}
  asked = []
  opened = []
})

function steps(config: object, consumers: readonly KnownConsumer[] = []): Steps {
  const { services } = depsOf()
  const deps: Partial<Deps> = {
    configDir: dir,
    consumers: new Map(consumers.map((consumer) => [consumer.id, consumer])),
    services: {
      ...services,
      revocations: { generation: 0, has: (kind, value) => revoked.has(`${kind}:${value}`) },
      apiKeys: {
        open(settings) {
          opened.push(settings)
          return {
            find(name) {
              asked.push(name)
              return answers[name] ?? null
            },
          }
        },
      },
    },
  }
  return compile(keyAuth, config, {}, deps)
}

function withKey(value: string, fields: Partial<RequestContext> = {}): RequestContext {
  return request({ headers: ['host', 'a', 'x-api-key', value], ...fields })
}

function check(config: object, ctx: RequestContext): Verdict {
  return access(steps(config), ctx)
}

function storedKey(fields: Partial<StoredKey> = {}): StoredKey {
  const hash = parseKeyHash(entry.hash)
  if (hash === null) throw new Error('no hash')
  const rest = { tier: null, tenant: null, scopes: null, expiresAt: 0, status: 'active' } as const
  return { id: 'k1', consumer: 'acme', hash, ...rest, ...fields }
}

describe('a key of the configuration', () => {
  test('names the consumer, and goes no further', () => {
    const ctx = withKey(key)
    expect(check({ keys: [entry] }, ctx)).toBeUndefined()
    expect(ctx.consumer).toEqual({
      id: 'acme',
      name: null,
      tier: null,
      tenant: null,
      groups: [],
      roles: [],
      scopes: [],
      credential: 'k1',
      anonymous: false,
    })
    expect(lines(ctx.headers)).toEqual(['host: a', 'x-api-key-id: k1', 'x-consumer-id: acme'])
  })

  test('says what its consumer does not, and goes before it', () => {
    const acme = {
      id: 'acme',
      name: 'ACME',
      tier: 'gold',
      tenant: 't1',
      groups: ['g'],
      roles: ['r'],
      scopes: ['a', 'b'],
    }
    const plain = withKey(key)
    expect(access(steps({ keys: [entry] }, [acme]), plain)).toBeUndefined()
    expect(plain.consumer).toEqual({ ...acme, credential: 'k1', anonymous: false })
    expect(lines(plain.headers)).toContain('x-tenant-id: t1')
    expect(lines(plain.headers)).toContain('x-user-scopes: a b')

    const own = withKey(key)
    expect(lines(plain.headers)).toContain('x-user-roles: r')
    access(steps({ keys: [{ ...entry, tier: 'free', tenant: 't2', scopes: ['c'] }] }, [acme]), own)
    expect(own.consumer).toMatchObject({ tier: 'free', tenant: 't2', scopes: ['c'], groups: ['g'] })
    expect(lines(own.headers)).toContain('x-user-scopes: c')
  })

  test('leaves a consumer that is known already, and tells of the key and its owner only', () => {
    const ctx = withKey(key)
    const known = { id: 'alice', name: null, tier: null, tenant: null, groups: [], roles: [], scopes: [] }
    const consumer = { ...known, credential: null, anonymous: false }
    ctx.consumer = consumer
    expect(check({ keys: [entry] }, ctx)).toBeUndefined()
    expect(ctx.consumer).toBe(consumer)
    expect(lines(ctx.headers)).toEqual(['host: a', 'x-api-key-id: k1', 'x-consumer-id: acme'])
  })

  test('is one of several that a consumer has at once', () => {
    const next = createKey('sk_live', 'k2')
    const both = { keys: [entry, { id: 'k2', hash: hashKey(next), consumer: 'acme' }] }
    for (const [value, id] of [
      [key, 'k1'],
      [next, 'k2'],
    ] as const) {
      const ctx = withKey(value)
      expect(check(both, ctx)).toBeUndefined()
      expect(ctx.consumer).toMatchObject({ id: 'acme', credential: id })
    }
  })

  test.each([
    ['another secret', createKey('sk_live', 'k1'), 'key_wrong'],
    ['an unknown id', createKey('sk_live', 'k2'), 'key_unknown'],
    ['a typo', `${key.slice(0, -1)}${key.endsWith('x') ? 'y' : 'x'}`, 'key_malformed'],
    ['any text', 'sk_live_abc123', 'key_malformed'],
    ['its hash', entry.hash, 'key_malformed'],
    ['an endless text', 'x'.repeat(100_000), 'key_malformed'],
  ])('is not %s', (_name, value, detail) => {
    const ctx = withKey(value)
    expect(check({ keys: [entry] }, ctx)).toMatchObject({ ...refused, detail })
    expect(check({ keys: [entry], optional: true }, ctx)).toMatchObject({ ...refused, detail })
    expect(ctx.consumer).toBeNull()
  })

  test('is refused when it is disabled, has expired, or is revoked', () => {
    const verdict = (more: object): Verdict => check({ keys: [{ ...entry, ...more }] }, withKey(key))
    expect(verdict({ status: 'disabled' })).toMatchObject({ ...refused, detail: 'key_disabled' })
    expect(verdict({ expires: '2020-01-01' })).toMatchObject({ ...refused, detail: 'key_expired' })
    expect(verdict({ expires: 1_600_000_000 })).toMatchObject({ ...refused, detail: 'key_expired' })
    expect(verdict({ expires: '2999-01-01T00:00:00+02:00' })).toBeUndefined()
    revoked.add('key:k1')
    expect(verdict({})).toMatchObject({ ...refused, detail: 'key_revoked' })
    revoked.clear()
    revoked.add('consumer:acme')
    expect(verdict({})).toMatchObject({ ...refused, detail: 'key_revoked' })
  })

  test('that is revoked later is refused by the same steps', () => {
    const same = steps({ keys: [entry] })
    expect(access(same, withKey(key))).toBeUndefined()
    revoked.add('key:k1')
    expect(access(same, withKey(key))).toMatchObject(refused)
  })

  test('may be one that others have made', () => {
    const config = { keys: [entry, foreign], salt: saltText }
    const ctx = withKey('sk_live_abc123')
    expect(check(config, ctx)).toBeUndefined()
    expect(ctx.consumer).toMatchObject({ id: 'acme', credential: 'partner-7' })
    expect(check(config, withKey(key))).toBeUndefined()
    expect(check(config, withKey('sk_live_abc124'))).toMatchObject({ ...refused, detail: 'key_unknown' })
    expect(check({ ...config, salt: 'quite another salt' }, withKey('sk_live_abc123'))).toMatchObject(refused)
    // Who knows its id, or the name that it is looked up by, has still no key.
    for (const known of ['partner-7', indexOfDigest(keyedDigest('sk_live_abc123', salt))])
      expect(check(config, withKey(known))).toMatchObject(refused)
  })

  test('of ours may have a keyed hash, too', () => {
    const config = { keys: [{ ...entry, hash: keyedHashOfKey(key, salt) }], salt: saltText }
    expect(check(config, withKey(key))).toBeUndefined()
    expect(check(config, withKey(createKey('sk_live', 'k1')))).toMatchObject({ ...refused, detail: 'key_wrong' })
  })
})

describe('a request without a key', () => {
  test('is told that one is needed', () => {
    for (const ctx of [request(), withKey('')])
      expect(check({ keys: [entry] }, ctx)).toMatchObject({
        code: 'credentials_missing',
        status: 401,
        headers: ['www-authenticate', 'Key realm="api"'],
      })
  })

  test('goes on where the key is optional, as nobody', () => {
    const ctx = request()
    expect(check({ keys: [entry], optional: true }, ctx)).toBeUndefined()
    expect(ctx.consumer).toBeNull()
    expect(keyAuth.provides?.(keyAuth.schema.parse({ keys: [entry], optional: true }))).toEqual([])
    expect(keyAuth.provides?.(keyAuth.schema.parse({ keys: [entry] }))).toEqual(['consumer'])
  })
})

describe('the place of a key', () => {
  const from = [{ header: 'Authorization' }, { query: 'api_key' }, { cookie: 'key' }]

  test.each([
    ['a header with a scheme', { headers: ['authorization', `Bearer ${key}`] }, [], ''],
    ['the query', { query: `a=b&api_key=${key}&c=d` }, [], 'a=b&c=d'],
    ['a cookie', { headers: ['cookie', `a=b; key=${key}`] }, ['cookie: a=b'], ''],
  ])('is %s', (_name, fields, headers, query) => {
    const ctx = request(fields)
    expect(check({ keys: [entry], from }, ctx)).toBeUndefined()
    expect(lines(ctx.headers)).toEqual([...headers, 'x-api-key-id: k1', 'x-consumer-id: acme'])
    expect(ctx.query).toBe(query)
  })

  test('decides by its order, and all others are emptied', () => {
    const ctx = request({ headers: ['authorization', `Bearer ${key}`], query: 'api_key=other' })
    expect(check({ keys: [entry], from }, ctx)).toBeUndefined()
    expect(ctx.query).toBe('')
    expect(check({ keys: [entry], from: [from[1]] }, request({ query: 'api_key=other' }))).toMatchObject(refused)
  })

  test('must not hold two', () => {
    const ctx = request({ headers: ['x-api-key', key, 'x-api-key', key] })
    expect(check({ keys: [entry] }, ctx)).toMatchObject({ ...refused, detail: 'key_ambiguous' })
  })

  test('may be told in the way of Kong', () => {
    const config = { keys: [entry], key_names: ['apikey', 'X-Key'], key_in_query: true }
    expect(check(config, request({ headers: ['apikey', key] }))).toBeUndefined()
    expect(check(config, request({ headers: ['x-key', key] }))).toBeUndefined()
    expect(check(config, request({ query: `X-Key=${key}` }))).toBeUndefined()
    expect(check({ ...config, key_in_query: false }, request({ query: `apikey=${key}` }))).toHaveProperty(
      'code',
      'credentials_missing',
    )
  })

  test('keeps the key where that is wanted', () => {
    const ctx = withKey(key)
    expect(check({ keys: [entry], hide_credentials: false }, ctx)).toBeUndefined()
    expect(lines(ctx.headers)).toContain(`x-api-key: ${key}`)
  })

  test('is named by the challenge', () => {
    const challenge = (config: object): unknown => check({ keys: [entry], ...config }, request())
    expect(challenge({ from, realm: 'shop' })).toMatchObject({ headers: ['www-authenticate', 'Bearer realm="shop"'] })
    expect(challenge({ from: [{ header: 'Authorization', scheme: 'ApiKey' }] })).toMatchObject({
      headers: ['www-authenticate', 'apikey realm="api"'],
    })
  })
})

describe('a key of Redis', () => {
  const config = { redis: true, staleness: '5s', cache_entries: 10 }

  test('is asked for by its id, and is then like any other', () => {
    answers = { k1: storedKey({ tier: 'gold', scopes: ['s'] }) }
    const ctx = withKey(key)
    expect(check(config, ctx)).toBeUndefined()
    expect(asked).toEqual(['k1'])
    expect(opened).toEqual([{ staleness: 5000, entries: 10 }])
    expect(ctx.consumer).toMatchObject({ id: 'acme', tier: 'gold', scopes: ['s'], credential: 'k1' })
  })

  test('may come later', async () => {
    answers = { k1: Promise.resolve(storedKey()) }
    const ctx = withKey(key)
    expect(await steps(config).access?.(ctx)).toBeUndefined()
    expect(ctx.consumer).toMatchObject({ id: 'acme' })
  })

  test('that comes when the client is gone changes nothing', async () => {
    answers = { k1: Promise.resolve(storedKey()) }
    const ctx = withKey(key)
    const verdict = steps(config).access?.(ctx)
    ctx.aborted = true
    expect(await verdict).toBeUndefined()
    expect(ctx.consumer).toBeNull()
  })

  test('that others have made is asked for by its digest', () => {
    const index = indexOfDigest(keyedDigest('sk_live_abc123', salt))
    const hash = parseKeyHash(foreign.hash)
    if (hash === null) throw new Error('no hash')
    answers = { [index]: storedKey({ id: 'partner-7', hash }) }
    const ctx = withKey('sk_live_abc123')
    expect(check({ ...config, salt: saltText }, ctx)).toBeUndefined()
    expect(asked).toEqual([index])
    expect(ctx.consumer).toMatchObject({ credential: 'partner-7' })
  })

  test('with a keyed hash opens nothing without the salt', () => {
    const hash = parseKeyHash(keyedHashOfKey(key, salt))
    if (hash === null) throw new Error('no hash')
    answers = { k1: storedKey({ hash }) }
    expect(check(config, withKey(key))).toMatchObject({ ...refused, detail: 'key_wrong' })
    expect(check({ ...config, salt: saltText }, withKey(key))).toBeUndefined()
  })

  test('is not asked for when the configuration has it, or when it is none at all', () => {
    expect(check({ ...config, keys: [entry] }, withKey(key))).toBeUndefined()
    expect(check(config, withKey('nonsense'))).toMatchObject({ detail: 'key_malformed' })
    expect(check(config, withKey(`${key.slice(0, -1)}!`))).toMatchObject({ detail: 'key_malformed' })
    expect(asked).toEqual([])
  })

  test('that is not there, or can not be had, is refused', () => {
    expect(check(config, withKey(key))).toMatchObject({ ...refused, detail: 'key_unknown' })
    answers = { k1: new ApiKeysFault('unavailable', 'redis_unavailable') }
    expect(check(config, withKey(key))).toMatchObject({ code: 'auth_unavailable', status: 503 })
    answers = { k1: new ApiKeysFault('overloaded', 'too_many_lookups') }
    expect(check(config, withKey(key))).toMatchObject({ code: 'auth_overloaded', status: 503 })
  })

  test('that changes is looked at anew', () => {
    const same = steps(config)
    answers = { k1: storedKey() }
    expect(access(same, withKey(key))).toBeUndefined()
    answers = { k1: storedKey({ consumer: 'other' }) }
    const ctx = withKey(key)
    expect(access(same, ctx)).toBeUndefined()
    expect(ctx.consumer).toMatchObject({ id: 'other' })
    answers = { k1: storedKey({ status: 'disabled' }) }
    expect(access(same, withKey(key))).toMatchObject({ detail: 'key_disabled' })
  })

  test('whose consumer can stand in no header is refused', () => {
    answers = { k1: storedKey({ consumer: 'a\r\nx-user-role: admin' }) }
    const ctx = withKey(key)
    expect(check(config, ctx)).toMatchObject({ ...refused, detail: 'identity_unsendable' })
    expect(ctx.consumer).toBeNull()
  })
})

describe('a file of keys', () => {
  function write(name: string, text: string): { file: string } {
    writeFileSync(join(dir, name), text)
    return { file: name }
  }

  test.each([
    ['an array', JSON.stringify([entry, foreign], null, 2)],
    ['lines', `${JSON.stringify(entry)}\n\n${JSON.stringify(foreign)}\n`],
  ])('is %s', (name, text) => {
    const config = { ...write(name, text), salt: saltText }
    expect(check(config, withKey(key))).toBeUndefined()
    expect(check(config, withKey('sk_live_abc123'))).toBeUndefined()
    expect(check(config, withKey(createKey('sk', 'k9')))).toMatchObject(refused)
  })

  test('is watched', () => {
    expect(keyAuth.files?.(keyAuth.schema.parse({ file: 'keys.jsonl' }))).toEqual(['keys.jsonl'])
    expect(keyAuth.files?.(keyAuth.schema.parse({ keys: [entry] }))).toEqual([])
  })

  test('adds to the keys of the configuration', () => {
    const other = createKey('sk_live', 'k2')
    const config = { ...write('more', JSON.stringify({ ...entry, id: 'k2', hash: hashKey(other) })), keys: [entry] }
    expect(check(config, withKey(key))).toBeUndefined()
    expect(check(config, withKey(other))).toBeUndefined()
  })

  test.each([
    ['{"id":', 'line 1 is no JSON'],
    [`${JSON.stringify(entry)}\nsk_live_secret`, 'line 2 is no JSON'],
    ['[1, 2', 'it is no JSON'],
    [`[{"id":"a","consumer":"b","hash":"sk_live_secret"}]`, 'item 1 hash: is no hash of a key'],
    [`{"id":"a","hash":"${entry.hash}"}`, 'line 1 consumer: '],
    [`${JSON.stringify(entry)}\n${JSON.stringify(entry)}`, 'line 2: key "k1" is there twice'],
    [JSON.stringify(foreign), 'key "partner-7" needs the "salt"'],
  ])('%j is refused, and its text not told', (text, words) => {
    const config = write('bad', text)
    expect(() => check(config, request())).toThrow(words)
    expect(() => check(config, request())).not.toThrow('sk_live_secret')
  })

  test('that is missing, or has a key of the configuration again, is refused', () => {
    expect(() => check({ file: 'nowhere' }, request())).toThrow("the file nowhere can't be read: ENOENT")
    expect(() => check({ ...write('same', JSON.stringify(entry)), keys: [entry] }, request())).toThrow(
      'key "k1" is there twice',
    )
  })
})

test.each([
  [{}, 'needs keys: at least one of "keys", "file" and "redis"'],
  [{ keys: [{ ...entry, hash: key }] }, 'keys.0.hash: is no hash of a key'],
  [{ keys: [entry, { ...entry }] }, 'keys.1.id: key "k1" is there twice'],
  [{ keys: [{ ...entry, expires: 'tomorrow' }] }, 'must be a day or a time with its zone'],
  [{ keys: [{ ...entry, expires: '2027-01-01T00:00:00' }] }, 'must be a day or a time with its zone'],
  [{ keys: [{ ...entry, expires: 0 }] }, 'must be a day or a time with its zone'],
  [{ keys: [{ ...entry, scopes: ['a b'] }] }, 'must be a scope'],
  [{ keys: [{ ...entry, status: 'revoked' }] }, 'status'],
  [{ redis: true, salt: 'short' }, 'salt'],
  [{ redis: true, from: [] }, 'from'],
  [{ redis: true, from: [{ header: 'a', query: 'b' }] }, 'must have exactly one of'],
  [{ redis: true, from: [{ header: 'Connection' }] }, 'must be the name of an end-to-end header'],
  [{ redis: true, from: [{ query: 'a', scheme: 'b' }] }, 'means nothing without a "header"'],
  [{ redis: true, from: [{ query: 'a' }], key_names: ['a'] }, 'excludes "from"'],
  [{ redis: true, key_in_query: true }, 'means nothing without "key_names"'],
  [{ redis: true, key_names: ['a'], key_in_header: false }, 'leaves no place'],
  [{ redis: true, realm: 'a"b' }, 'must be ASCII text'],
  [{ redis: true, staleness: 0.5 }, 'must be at least 1s'],
])('refuses %j', (config, words) => expect(faults(keyAuth, config)).toContain(words))

test('a hash that needs a salt is refused without', () => {
  expect(() => check({ keys: [foreign] }, request())).toThrow('needs the "salt"')
})
