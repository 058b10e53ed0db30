import { describe, expect, test } from 'vitest'
import { hideSecrets, isSecretKey, redact } from './secret.ts'

describe('isSecretKey', () => {
  test.each(['token', 'client_secret', 'api-key', 'Password', 'keys', 'private_key', 'authorization', 'salt'])(
    '%s is',
    (key) => {
      expect(isSecretKey(key)).toBe(true)
    },
  )
  test.each(['name', 'key_claim_name', 'monkey', 'tokenizer', 'credentials', 0])('%s is not', (key) => {
    expect(isSecretKey(key)).toBe(false)
  })
})

describe('hideSecrets', () => {
  test('wherever it stands, in whatever case', () => {
    expect(hideSecrets('must be x (got "HUNTER2-a")', ['hunter2'])).toBe('must be x (got "***-a")')
  })
  test('short ones only where they are quoted whole', () => {
    expect(hideSecrets('must be an integer (got "a")', ['a'])).toBe('must be an integer (got "***")')
  })
  test('the longest first, so that no rest of it stays', () => {
    expect(hideSecrets('redis://:hunter2@redis', ['hunter2', 'redis://:hunter2@redis'])).not.toContain('hunter2')
    expect(hideSecrets('hunter22', ['hunter2', 'hunter22'])).toBe('***')
  })
  test('user and password of any URL', () => {
    expect(hideSecrets('(got "http://user:pw@host/a@b")', [])).toBe('(got "http://***@host/a@b")')
  })
  test('an empty value hides nothing', () => {
    expect(hideSecrets('as it was', [''])).toBe('as it was')
  })
})

describe('redact', () => {
  test('by key, at any depth, and leaves the original alone', () => {
    const value = {
      admin: { token: 't', port: 1 },
      keys: [{ kid: 'a', k: 'c2VjcmV0', hash: 'sha256:…' }],
      api: { keys: ['one', 'two'] },
      list: ['authorization: Bearer x', 'x-a: b'],
      flag: true,
      none: null,
    }
    expect(redact(value, [])).toEqual({
      admin: { token: '***', port: 1 },
      keys: [{ kid: 'a', k: '***', hash: '***' }],
      api: { keys: ['***', '***'] },
      list: ['authorization: ***', 'x-a: b'],
      flag: true,
      none: null,
    })
    expect(value.admin.token).toBe('t')
  })
  test('what a schema may have made of it', () => {
    expect(redact({ pattern: /^a/, set: new Set(['hunter2', 'b']) }, ['hunter2'])).toEqual({
      pattern: '^a',
      set: ['***', 'b'],
    })
  })
  test('by value, numbers included', () => {
    expect(
      redact({ host: 'users.internal', url: 'http://users.internal/x', port: 4711, weight: 4 }, [
        'users.internal',
        '4711',
        '4',
      ]),
    ).toEqual({
      host: '***',
      url: 'http://***/x',
      port: '***',
      weight: 4,
    })
  })
})
