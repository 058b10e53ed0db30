import { createSecretKey } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { access, compile, depsOf, request } from '../../test/support/plugin.ts'
import { createKey, idOfKey, indexOfDigest, keyedDigest, matchesHash, parseKeyHash } from '../core/api-key.ts'
import { parsePasswordHash, verifyPassword } from '../core/password.ts'
import { keyAuth } from '../plugins/key-auth/plugin.ts'
import type { Input } from './input.ts'
import { runCommand } from './program.ts'

const dir = mkdtempSync(join(tmpdir(), 'sluice-cli-'))
const saltFile = join(dir, 'salt')
const salt = 'a salt in a file of its own'
writeFileSync(saltFile, `${salt}\n`)
writeFileSync(join(dir, 'short'), 'short')
afterAll(() => rmSync(dir, { recursive: true }))

async function run(args: readonly string[], typed: string | readonly (string | null)[] = '') {
  let out = ''
  let err = ''
  const questions: string[] = []
  const lines = typeof typed === 'string' ? [] : [...typed]
  const input: Input = {
    terminal: typeof typed !== 'string',
    ask: (question) => {
      questions.push(question)
      return Promise.resolve(lines.shift() ?? null)
    },
    readAll: () => Promise.resolve(String(typed)),
  }
  const output = {
    out: (text: string) => (out += text),
    err: (text: string) => (err += text),
    color: false,
    terminal: false,
  }
  const code = await runCommand(['hash-key', ...args], output, input)
  return { code, out, err, questions }
}

interface Made {
  readonly key?: string
  readonly entry: { readonly id: string; readonly hash: string; readonly [field: string]: unknown }
  readonly redis: readonly string[]
}

async function made(args: readonly string[], typed?: string): Promise<Made> {
  const { code, out, err } = await run([...args, '--json'], typed)
  expect(err).toBe('')
  expect(code).toBe(0)
  return JSON.parse(out) as Made
}

/** Whether the gateway lets that key in with that configuration. */
function opens(key: string, entry: object, more: object = {}): boolean {
  const { services } = depsOf()
  const revocations = { generation: 0, has: () => false }
  const config = { keys: [{ consumer: 'acme', ...entry }], ...more }
  const steps = compile(keyAuth, config, {}, { services: { ...services, revocations } })
  return access(steps, request({ headers: ['x-api-key', key] })) === undefined
}

describe('a new key', () => {
  test('is one that the gateway knows by what is printed of it', async () => {
    const { key = '', entry } = await made(['--consumer', 'acme'])
    expect(key).toMatch(/^sk_live_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}$/)
    expect(entry).toEqual({ id: idOfKey(key), hash: entry.hash, consumer: 'acme' })
    expect(opens(key, entry)).toBe(true)
    expect(opens(createKey('sk_live', entry.id), entry)).toBe(false)
  })

  test('is what the options say', async () => {
    const about = ['--tier', 'gold', '--scopes', 'orders:read, orders:write', '--expires', '2999-01-31']
    const { key, entry, redis } = await made(['--prefix', 'acme_test', '--id', 'a-1', '--consumer', 'acme', ...about])
    expect(key).toMatch(/^acme_test_a-1_/)
    expect(entry).toMatchObject({
      id: 'a-1',
      consumer: 'acme',
      tier: 'gold',
      scopes: ['orders:read', 'orders:write'],
      expires: '2999-01-31T00:00:00Z',
    })
    const scopes = 'orders:read orders:write'
    const expected = ['HSET', 'sluice:api-key:a-1', 'hash', entry.hash, 'consumer', 'acme', 'tier', 'gold']
    expect(redis).toEqual(expected.concat('scopes', scopes, 'expires', '2999-01-31T00:00:00Z', 'status', 'active'))
    expect(opens(key ?? '', entry)).toBe(true)
  })

  test('can be kept under the salt of the gateway', async () => {
    const { key = '', entry } = await made(['--salt-file', saltFile])
    expect(entry.hash).toMatch(/^hmac-sha256:/)
    expect(opens(key, entry, { salt })).toBe(true)
  })

  test('is printed once, with what can be pasted', async () => {
    const { code, out } = await run(['--consumer', 'true', '--id', '007', '--scopes', 'a b', '--redis-prefix', 'x:'])
    expect(code).toBe(0)
    const key = /^ {2}(sk_live_007_\w+)$/m.exec(out)?.[1] ?? ''
    expect(out.split(key)).toHaveLength(2)
    const [, block = ''] = out.split('under "keys":\n')
    const [entry] = parse(block.split('Or for Redis:')[0] ?? '') as [object]
    expect(entry).toMatchObject({ id: '007', consumer: 'true', scopes: ['a', 'b'] })
    expect(opens(key, entry)).toBe(true)
    expect(out).toMatch(/^ {2}HSET x:api-key:007 hash sha256:\S+ consumer "true" scopes "a b" status active$/m)
  })

  test('of nobody opens nothing until somebody says whose it is', async () => {
    const { out } = await run([])
    const [, block = ''] = out.split('under "keys":\n')
    const [entry] = parse(block.split('Or for Redis:')[0] ?? '') as [{ consumer: unknown }]
    expect(entry.consumer).toBeNull()
    expect(out).toContain('consumer "" status active')
  })
})

describe('a key that is there already', () => {
  test('of ours keeps its id, and is not shown', async () => {
    const key = createKey('sk_live', 'k1')
    const { code, out } = await run(['--stdin', '--consumer', 'acme'], key)
    expect(code).toBe(0)
    expect(out).not.toContain(key)
    const { entry, key: shown } = await made(['--stdin'], key)
    expect(shown).toBeUndefined()
    expect(entry.id).toBe('k1')
    expect(opens(key, entry)).toBe(true)
    expect(await run(['--stdin', '--id', 'other'], key)).toMatchObject({ code: 1, err: 'the id of this key is k1\n' })
  })

  test('of others is found by its digest', async () => {
    const key = 'partner-key-that-is-long-enough'
    const { entry, redis } = await made(['--stdin', '--id', 'partner-7', '--salt-file', saltFile], key)
    const digest = keyedDigest(key, createSecretKey(Buffer.from(salt)))
    expect(entry).toEqual({ id: 'partner-7', hash: `hmac-sha256:${digest.toString('hex')}` })
    expect(redis.slice(0, 6)).toEqual([
      'HSET',
      `sluice:api-key:${indexOfDigest(digest)}`,
      'id',
      'partner-7',
      'hash',
      entry.hash,
    ])
    expect(opens(key, entry, { salt })).toBe(true)
    expect(opens(`${key}!`, entry, { salt })).toBe(false)
  })

  test('that is short gets a warning', async () => {
    const { code, err } = await run(['--stdin', '--salt-file', saltFile], 'sk_live_abc123')
    expect(code).toBe(0)
    expect(err).toBe('warning: a key as short as this can be guessed\n')
  })

  test.each([
    ['without a salt', ['--stdin'], 'sk_live_abc123', 'it needs --salt-file'],
    ['that is empty', ['--stdin', '--salt-file', saltFile], '', 'the key is empty'],
    ['of two lines', ['--stdin', '--salt-file', saltFile], 'a\nb', "can't hold line breaks"],
    ['that is endless', ['--stdin', '--salt-file', saltFile], 'x'.repeat(2000), "can't be longer than 1024"],
    ['with a salt that is nowhere', ['--salt-file', join(dir, 'none')], '', 'no such file'],
    ['with a short salt', ['--salt-file', join(dir, 'short')], '', 'must have at least 16 characters'],
  ])('%s is refused', async (_name, args, typed, words) => {
    const { code, out, err } = await run(args, typed)
    expect(code).toBe(1)
    expect(out).toBe('')
    expect(err).toContain(words)
  })

  test('is asked for at a terminal', async () => {
    const key = createKey('sk', 'k1')
    const { out, questions } = await run(['--stdin', '--json'], [key])
    expect(questions).toEqual(['Key: '])
    const hash = parseKeyHash((JSON.parse(out) as Made).entry.hash)
    expect(hash !== null && matchesHash(key, hash)).toBe(true)
    expect(await run(['--stdin'], [null])).toMatchObject({ code: 1, out: '', err: 'nothing was made\n' })
  })
})

describe('a password', () => {
  function isRight(password: string, text: string): Promise<boolean> {
    const hash = parsePasswordHash(text)
    if (hash === null) throw new Error('no hash')
    return new Promise((resolve) => verifyPassword(password, hash, resolve))
  }

  test('is hashed from standard input', async () => {
    const { code, out, err } = await run(['--password', '--username', 'alice', '--consumer', 'a', '--json'], 'grün rot')
    expect({ code, err }).toEqual({ code: 0, err: '' })
    const entry = JSON.parse(out) as { username: string; password_hash: string; consumer: string }
    expect(entry).toMatchObject({ username: 'alice', consumer: 'a' })
    expect(await isRight('grün rot', entry.password_hash)).toBe(true)
  })

  test('is asked for twice at a terminal, and printed as configuration', async () => {
    const { out, questions } = await run(['--password'], ['correct horse', 'correct horse'])
    expect(questions).toEqual(['Password: ', 'Again: '])
    const [, block = ''] = out.split('under "users":\n')
    const [entry] = parse(block) as [{ username: unknown; password_hash: string }]
    expect(entry.username).toBeNull()
    expect(await isRight('correct horse', entry.password_hash)).toBe(true)
    expect(out).not.toContain('correct horse')
  })

  test.each([
    [['first password', 'second password'], 'these are two different passwords'],
    [['first password', null], 'these are two different passwords'],
    [[''], 'the password is empty'],
    [[null], 'nothing was made'],
  ])('%j is refused', async (typed, words) => {
    const { code, out, err } = await run(['--password'], typed)
    expect(code).toBe(1)
    expect(out).toBe('')
    expect(err).toContain(words)
  })

  test('that is short gets a warning', async () => {
    expect((await run(['--password'], 'short')).err).toBe('warning: a password as short as this can be guessed\n')
  })
})

test.each([
  [['--prefix', 'SK'], 'It must be words of a-z and 0-9'],
  [['--id', 'a_b'], 'It must be letters, digits and hyphens'],
  [['--expires', 'soon'], 'It must be a day'],
  [['--password', '--tier', 'gold'], 'cannot be used with'],
  [['--password', '--stdin'], 'cannot be used with'],
  [['sk_live_abc123'], 'too many arguments'],
])('%j is bad usage', async (args, words) => {
  const { code, out, err } = await run(args)
  expect({ code, out }).toEqual({ code: 2, out: '' })
  expect(err).toContain(words)
})
