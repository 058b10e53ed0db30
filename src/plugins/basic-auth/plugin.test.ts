import { scryptSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { compile, depsOf, faults, lines, request } from '../../../test/support/plugin.ts'
import type { RequestContext } from '../../core/context.ts'
import { parsePasswordHash } from '../../core/password.ts'
import type { Deps, KnownConsumer, Steps, Verdict } from '../../core/plugin.ts'
import { noInstruments } from '../../core/services/instruments.ts'
import { readBasic } from './credentials.ts'
import { Passwords } from './passwords.ts'
import { basicAuth } from './plugin.ts'

const dir = mkdtempSync(join(tmpdir(), 'sluice-basic-auth-'))
afterAll(() => rmSync(dir, { recursive: true }))

/** As `sluice hash-key --password` makes it, but cheap. */
function hashOf(password: string, ln = 10): string {
  const salt = Buffer.from(`salt of ${password.padEnd(8)}`)
  const digest = scryptSync(password, salt, 32, { N: 2 ** ln, r: 8, p: 1 })
  const text = (bytes: Buffer): string => bytes.toString('base64').replace(/=+$/, '')
  return `$scrypt$ln=${ln},r=8,p=1$${text(salt)}$${text(digest)}`
}

const alice = { username: 'alice', password_hash: hashOf('correct horse') }
const bob = { username: 'bob', password_hash: hashOf('battery staple'), consumer: 'staff' }
const refused = { code: 'credentials_invalid', status: 401 }

const revoked = new Set<string>()
beforeEach(() => revoked.clear())

function steps(config: object, consumers: readonly KnownConsumer[] = []): Steps {
  const { services } = depsOf()
  const deps: Partial<Deps> = {
    configDir: dir,
    consumers: new Map(consumers.map((consumer) => [consumer.id, consumer])),
    services: {
      ...services,
      revocations: { generation: 0, has: (kind, value) => revoked.has(`${kind}:${value}`) },
    },
  }
  return compile(basicAuth, config, {}, deps)
}

function encoded(pair: string | Buffer): string {
  return Buffer.from(pair).toString('base64')
}

function withUser(pair: string | Buffer, scheme = 'Basic'): RequestContext {
  return request({ headers: ['host', 'a', 'authorization', `${scheme} ${encoded(pair)}`] })
}

async function check(config: object, ctx: RequestContext): Promise<Verdict> {
  return steps(config).access?.(ctx)
}

describe('a user', () => {
  test('is known by the password, which goes no further', async () => {
    const ctx = withUser('alice:correct horse')
    expect(await check({ users: [alice, bob] }, ctx)).toBeUndefined()
    expect(ctx.consumer).toMatchObject({ id: 'alice', credential: 'alice', anonymous: false })
    expect(lines(ctx.headers)).toEqual(['host: a', 'x-user-id: alice', 'x-consumer-id: alice'])
  })

  test('may be a consumer of another name, with all that is known of it', async () => {
    const staff = {
      id: 'staff',
      name: 'Staff',
      tier: 'gold',
      tenant: 't',
      groups: ['g'],
      roles: ['r', 's'],
      scopes: ['a', 'b'],
    }
    const ctx = withUser('bob:battery staple', 'bAsIc')
    expect(await steps({ users: [alice, bob] }, [staff]).access?.(ctx)).toBeUndefined()
    expect(ctx.consumer).toEqual({ ...staff, credential: 'bob', anonymous: false })
    expect(lines(ctx.headers).slice(1)).toEqual([
      'x-user-id: bob',
      'x-consumer-id: staff',
      'x-tenant-id: t',
      'x-user-roles: r,s',
      'x-user-scopes: a b',
    ])
  })

  test.each([
    ['another password', 'alice:correct', 'password_wrong'],
    ['the password of another', 'alice:battery staple', 'password_wrong'],
    ['no password', 'alice:', 'password_wrong'],
    ['another name', 'carol:correct horse', 'user_unknown'],
    ['another case', 'Alice:correct horse', 'user_unknown'],
    ['the hash', `alice:${alice.password_hash}`, 'password_wrong'],
  ])('is not known by %s', async (_name, pair, detail) => {
    const ctx = withUser(pair)
    const expected = { ...refused, detail, headers: ['www-authenticate', 'Basic realm="api", charset="UTF-8"'] }
    expect(await check({ users: [alice, bob] }, ctx)).toMatchObject(expected)
    expect(await check({ users: [alice, bob], optional: true }, ctx)).toMatchObject(expected)
    expect(ctx.consumer).toBeNull()
  })

  test('is refused when disabled or revoked, and only told from a wrong password in the log', async () => {
    const disabled = { ...alice, status: 'disabled' }
    expect(await check({ users: [disabled] }, withUser('alice:correct horse'))).toMatchObject({
      detail: 'user_disabled',
    })
    expect(await check({ users: [disabled] }, withUser('alice:other'))).toMatchObject({ detail: 'password_wrong' })
    revoked.add('consumer:alice')
    const verdict = await check({ users: [alice] }, withUser('alice:correct horse'))
    expect(verdict).toMatchObject({ ...refused, detail: 'consumer_revoked' })
  })

  test('may have a name and a password beyond ASCII, however they are encoded', async () => {
    const user = { username: 'J\u00fcrgen', password_hash: hashOf('gr\u00fcn') }
    expect(await check({ users: [user] }, withUser('J\u00fcrgen:gr\u00fcn'))).toBeUndefined()
    expect(await check({ users: [user] }, withUser('Ju\u0308rgen:gru\u0308n'))).toBeUndefined()
    // Not UTF-8.
    expect(await check({ users: [user] }, withUser(Buffer.from('J\u00fcrgen:gr\u00fcn', 'latin1')))).toMatchObject({
      detail: 'basic_malformed',
    })
  })

  test('keeps the field where that is wanted', async () => {
    const ctx = withUser('alice:correct horse')
    expect(await check({ users: [alice], hide_credentials: false }, ctx)).toBeUndefined()
    expect(lines(ctx.headers)).toContain(`authorization: Basic ${encoded('alice:correct horse')}`)
  })

  test('that is not needed is not asked for', async () => {
    expect(await check({ users: [alice], optional: true }, request())).toBeUndefined()
    expect(await check({ users: [alice] }, request())).toMatchObject({ code: 'credentials_missing' })
    const token = request({ headers: ['authorization', 'Bearer abc'] })
    expect(await check({ users: [alice], realm: 'shop' }, token)).toMatchObject({
      code: 'credentials_missing',
      headers: ['www-authenticate', 'Basic realm="shop", charset="UTF-8"'],
    })
    expect(basicAuth.provides?.(basicAuth.schema.parse({ users: [alice], optional: true }))).toEqual([])
  })

  test('whose client is gone changes nothing', async () => {
    const ctx = withUser('alice:correct horse')
    const verdict = steps({ users: [alice] }).access?.(ctx)
    ctx.aborted = true
    expect(await verdict).toBeUndefined()
    expect(ctx.consumer).toBeNull()
  })

  test('that was checked is known at once, also by the steps of the next reload, and not when its hash is another', async () => {
    const kept = new Map<string, unknown>()
    const deps: Partial<Deps> = {
      services: { ...depsOf().services, revocations: { generation: 0, has: () => false } },
      keep: (key, make) => {
        if (!kept.has(key)) kept.set(key, make())
        return kept.get(key) as ReturnType<typeof make>
      },
    }
    const made = (user: object): Steps => compile(basicAuth, { users: [user] }, {}, deps)
    const first = made(alice).access?.(withUser('alice:correct horse'))
    expect(first).toBeInstanceOf(Promise)
    await first
    expect(made(alice).access?.(withUser('alice:correct horse'))).toBeUndefined()
    expect(made({ ...alice, status: 'disabled' }).access?.(withUser('alice:correct horse'))).toMatchObject(refused)
    expect(made({ ...alice, password_hash: hashOf('other') }).access?.(withUser('alice:correct horse'))).toBeInstanceOf(
      Promise,
    )
  })
})

describe('what stands in the field', () => {
  test.each([
    ['YWxpY2U6cGFzcw==', { username: 'alice', password: 'pass' }],
    [encoded('a:b:c'), { username: 'a', password: 'b:c' }],
    [encoded('a:'), { username: 'a', password: '' }],
    [encoded('Aladdin:open sesame'), { username: 'Aladdin', password: 'open sesame' }],
    // RFC 7617 §2.1.
    ['dGVzdDoxMjPCow==', { username: 'test', password: '123\u00a3' }],
  ])('%j is read', (text, expected) => expect(readBasic(text)).toEqual(expected))

  test.each([
    ['nothing', ''],
    ['no base64', 'alice:pass'],
    ['no padding', 'YWxpY2U6cGFzcw'],
    ['too much padding', 'YWxpY2U6cGFzcw==='],
    ['bits behind the end', 'YWxpY2U6cGFzcx=='],
    ['base64url', encoded('a:\u00ff\u00fe>?').replaceAll('/', '_').replaceAll('+', '-')],
    ['space within', 'YWxpY2U6 cGFzcw=='],
    ['text behind it', 'YWxpY2U6cGFzcw==,x'],
    ['no colon', encoded('alice')],
    ['no name', encoded(':pass')],
    ['a control character', encoded('alice\u0000:pass')],
    ['a line break', encoded('alice:pa\nss')],
    ['no UTF-8', encoded(Buffer.from([0x61, 0x3a, 0xff]))],
    ['an overlong character', encoded(Buffer.from([0x61, 0x3a, 0xc0, 0xaf]))],
    ['an endless text', encoded(`a:${'x'.repeat(5000)}`)],
  ])('%s is refused', (_name, text) => expect(readBasic(text)).toBeNull())

  test('must not be there twice', async () => {
    const field = `Basic ${encoded('alice:correct horse')}`
    const ctx = request({ headers: ['authorization', field, 'authorization', field] })
    expect(await check({ users: [alice] }, ctx)).toMatchObject({ ...refused, detail: 'basic_malformed' })
  })
})

describe('passwords', () => {
  function known(password: string, ln?: number) {
    const text = hashOf(password, ln)
    const hash = parsePasswordHash(text)
    if (hash === null) throw new Error('no hash')
    return { text, hash }
  }

  test('are checked once, whoever asks meanwhile', async () => {
    const passwords = new Passwords(noInstruments)
    const right = known('right')
    const first = passwords.check('right', right, 1000)
    expect(first).toBeInstanceOf(Promise)
    expect(passwords.check('right', right, 1000)).toBe(first)
    expect(await first).toBe(true)
    expect(passwords.check('right', right, 60_000)).toBe(true)
    // Who wants to be surer than that has it checked anew.
    expect(passwords.check('right', right, 0)).toBeInstanceOf(Promise)
    expect(await passwords.check('wrong', right, 60_000)).toBe(false)
    expect(passwords.check('wrong', right, 60_000)).toBe(false)
    expect(passwords.check('right', known('other'), 60_000)).toBeInstanceOf(Promise)
    passwords.close()
  })

  test('that are too many are refused, those that are known are not', async () => {
    const passwords = new Passwords(noInstruments)
    const right = known('right', 14)
    expect(await passwords.check('right', right, 60_000)).toBe(true)
    const answers = Array.from({ length: 60 }, (_, i) => passwords.check(`wrong ${i}`, right, 60_000))
    expect(answers.filter((answer) => answer === 'overloaded')).toHaveLength(60 - 34)
    expect(passwords.check('right', right, 60_000)).toBe(true)
    const checked = await Promise.all(answers.map((answer) => Promise.resolve(answer)))
    expect(checked.filter((answer) => answer === false)).toHaveLength(34)
    // All threads are free again.
    expect(await passwords.check('last', right, 60_000)).toBe(false)
  })

  test('of nobody are looked at like any other, each name for itself', async () => {
    const same = steps({ users: [alice] })
    const first = same.access?.(withUser('nobody-1:guess'))
    expect(first).toBeInstanceOf(Promise)
    await first
    expect(same.access?.(withUser('nobody-2:guess'))).toBeInstanceOf(Promise)
    expect(same.access?.(withUser('alice:guess'))).toBeInstanceOf(Promise)
    expect(same.access?.(withUser('nobody-1:guess'))).toMatchObject({ detail: 'user_unknown' })
  })

  test('that are too many are answered 503', async () => {
    const same = steps({ users: [{ ...alice, password_hash: hashOf('correct horse', 14) }] })
    const verdicts = Array.from({ length: 40 }, (_, i) => same.access?.(withUser(`alice:wrong ${i}`)))
    expect(verdicts.at(-1)).toMatchObject({ code: 'auth_overloaded', status: 503 })
    await Promise.all(verdicts.map((verdict) => Promise.resolve(verdict)))
  })
})

describe('a file of users', () => {
  function write(name: string, text: string): { file: string } {
    writeFileSync(join(dir, name), text)
    return { file: name }
  }

  test.each([
    ['an array', JSON.stringify([alice, bob])],
    ['lines', `${JSON.stringify(alice)}\n${JSON.stringify(bob)}\n`],
  ])('is %s', async (name, text) => {
    const config = write(name, text)
    expect(await check(config, withUser('bob:battery staple'))).toBeUndefined()
    expect(
      await check({ ...config, users: [{ ...alice, username: 'carol' }] }, withUser('carol:correct horse')),
    ).toBeUndefined()
    expect(basicAuth.files?.(basicAuth.schema.parse(config))).toEqual([name])
  })

  test.each([
    ['', 'there are no users in it'],
    ['{"username":"a","password_hash":"secret"}', 'line 1 password_hash: is no hash of a password'],
    [`${JSON.stringify(alice)}\n${JSON.stringify(alice)}`, 'line 2: user "alice" is there twice'],
  ])('%j is refused, and its text not told', async (text, words) => {
    const config = write('bad', text)
    await expect(check(config, request())).rejects.toThrow(words)
    await expect(check(config, request())).rejects.not.toThrow('secret')
  })

  test('must not name a user of the configuration', async () => {
    const config = { ...write('same', JSON.stringify(alice)), users: [alice] }
    await expect(check(config, request())).rejects.toThrow('user "alice" is there twice')
  })
})

test.each([
  [{}, 'needs users'],
  [{ users: [{ ...alice, password_hash: 'correct horse' }] }, 'users.0.password_hash: is no hash of a password'],
  [{ users: [{ ...alice, username: 'a:b' }] }, 'must not hold a colon'],
  [{ users: [{ ...alice, username: ' a' }] }, 'must not begin or end with space'],
  [{ users: [alice, alice] }, 'users.1.username: user "alice" is there twice'],
  [{ users: [alice], realm: 'a"' }, 'must be ASCII text'],
])('refuses %j', (config, words) => expect(faults(basicAuth, config)).toContain(words))
