import { afterEach, expect, test } from 'vitest'
import { recordInstruments } from '../../test/support/instruments.ts'
import { depsOf } from '../../test/support/plugin.ts'
import { rules, sign, signer, TestKeys } from '../../test/support/signer.ts'
import type { WorkerLink } from '../core/messages.ts'
import type { Kept } from '../core/plugin.ts'
import type { TokenVerifier } from '../core/services/tokens.ts'
import { TokenVerifierStore } from './token-verifier-store.ts'

const link: WorkerLink = { send() {}, on() {} }
const log = { info() {}, warn() {}, error() {} }
const opened: TokenVerifier<unknown>[] = []

afterEach(() => opened.splice(0).forEach(close))

function close(verifier: TokenVerifier<unknown>): void {
  ;(verifier as Kept).close?.()
}

function openStore() {
  const instruments = recordInstruments()
  const deps = depsOf()
  const tokens = new TokenVerifierStore({ link, instruments, log }).open((key, make) => deps.keep(key, make))
  const open = (fingerprint: string, algorithm: string): TokenVerifier<unknown> => {
    const keys = new TestKeys(signer(algorithm))
    const verifier = tokens.open({ ...rules(keys, [algorithm]), fingerprint })
    opened.push(verifier)
    return verifier
  }
  return { instruments, open }
}

test('rules of the same text share what is known of their tokens, others do not', async () => {
  const { open } = openStore()
  const first = open('a', 'HS256')
  const known = await first.verify(await sign(signer('HS256')))
  expect(known).toMatchObject({ sub: 'user-1' })
  expect(open('a', 'HS256')).toBe(first)
  expect(open('b', 'HS256')).not.toBe(first)
})

test('the figures are of all verifiers together', async () => {
  const { instruments, open } = openStore()
  const token = await sign(signer('HS256'))
  const verifiers = [open('a', 'HS256'), open('b', 'HS256')]
  for (const verifier of verifiers) await verifier.verify(token)
  await verifiers[0]?.verify(token)
  expect(instruments.read('sluice_token_cache_entries')).toBe(2)
  expect(instruments.read('sluice_token_cache_lookups_total{result="miss"}')).toBe(2)
  expect(instruments.read('sluice_token_cache_lookups_total{result="hit"}')).toBe(1)
  for (const verifier of opened.splice(0)) close(verifier)
  expect(instruments.read('sluice_token_cache_entries')).toBe(0)
})

test('what waits is seen, and ends with the last verifier', async () => {
  const { instruments, open } = openStore()
  const [first, second] = [open('a', 'ES256'), open('b', 'ES256')]
  const pending = first.verify(await sign(signer('ES256')))
  expect(instruments.read('sluice_token_verifications_waiting')).toBe(1)
  close(second)
  expect(instruments.read('sluice_token_verifications_waiting')).toBe(1)
  close(first)
  opened.length = 0
  expect(await pending).toMatchObject({ kind: 'unavailable' })
  expect(instruments.read('sluice_token_verifications_waiting')).toBe(0)
})
