import { expect, test } from 'vitest'
import { TokenDigests } from './token-digests.ts'

const signature = 'c2lnbmF0dXJlIG9mIGEgdG9rZW4'

test('knows the digest of a token that it has, whatever piece of memory holds its text', () => {
  const digests = new TokenDigests()
  digests.keep(`head.claims.${signature}`, 'digest')
  expect(digests.find(Buffer.from(`head.claims.${signature}`).toString('latin1'))).toBe('digest')
  digests.clear()
  expect(digests.find(`head.claims.${signature}`)).toBe('')
})

test('never takes one token for another at the same place', () => {
  const digests = new TokenDigests()
  const good = `head.claims.${signature}`
  digests.keep(good, 'digest')
  // All of these end as the good one does, and so have its place.
  for (let i = 0; i < good.length - 5; i++) {
    const forged = `${good.slice(0, i)}${good[i] === 'x' ? 'y' : 'x'}${good.slice(i + 1)}`
    expect(digests.find(forged), forged).toBe('')
    expect(digests.find(good.slice(i + 1)), good.slice(i + 1)).toBe('')
  }
  expect(digests.find(`${good} `)).toBe('')
  digests.keep(`other.claims.${signature}`, 'other')
  expect(digests.find(good)).toBe('')
  expect(digests.find(`other.claims.${signature}`)).toBe('other')
})

test('takes texts of any length, and keeps none that is long', () => {
  const digests = new TokenDigests()
  for (const text of ['', 'a', 'ab', 'abc', 'abcd', 'x'.repeat(2048)]) {
    expect(digests.find(text)).toBe('')
    digests.keep(text, `digest of ${text}`)
    expect(digests.find(text)).toBe(`digest of ${text}`)
  }
  digests.keep('x'.repeat(2049), 'digest')
  expect(digests.find('x'.repeat(2049))).toBe('')
})
