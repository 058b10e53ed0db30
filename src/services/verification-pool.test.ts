import { readdirSync, readFileSync } from 'node:fs'
import { getPriority } from 'node:os'
import { setImmediate } from 'node:timers/promises'
import type { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type RecordingInstruments, recordInstruments } from '../../test/support/instruments.ts'
import { forge, newSigner, type Signer, sign, signer } from '../../test/support/signer.ts'
import { TokenFault } from '../core/services/tokens.ts'
import { publicKeyAlgorithms } from '../core/verification-key.ts'
import { type PoolSettings, type Verification, VerificationPool } from './verification-pool.ts'

const key = signer('ES256')
const keys = [key.verification]
const stranger = newSigner('ES256').verification

let instruments: RecordingInstruments
let pools: VerificationPool[] = []
let threads: Worker[] = []
let errors: unknown[] = []
const noteThread = (worker: Worker): void => void threads.push(worker)

beforeEach(() => {
  instruments = recordInstruments()
  pools = []
  threads = []
  errors = []
  process.on('worker', noteThread)
})

afterEach(() => {
  process.off('worker', noteThread)
  for (const pool of pools) pool.close()
})

function open(settings: Partial<PoolSettings> = {}): VerificationPool {
  const log = { info() {}, warn() {}, error: (message: string, fields?: object) => void errors.push([message, fields]) }
  const pool = new VerificationPool(instruments, log, settings)
  pools.push(pool)
  return pool
}

async function check(pool: VerificationPool, token: string, by: Signer = key): Promise<Verification> {
  return pool.verify(token, by.algorithm, [by.verification])
}

let serial = 0
function newToken(): string {
  return forge(key, { alg: 'ES256' }, { n: (serial += 1) })
}

async function threadDies(): Promise<void> {
  const thread = threads.at(-1)
  if (thread === undefined) throw new Error('there is no thread')
  await thread.terminate()
}

describe('the verification pool', () => {
  test('starts threads with the first need', async () => {
    const pool = open()
    await setImmediate()
    expect(threads).toHaveLength(0)
    expect(await check(pool, newToken())).toBe(key.verification)
    expect(threads).toHaveLength(1)
  })

  test.each(publicKeyAlgorithms)('verifies %s, in a thread', async (algorithm) => {
    const pool = open()
    const one = signer(algorithm)
    const token = await sign(one)
    const results = [one, newSigner(algorithm), one].map(async ({ verification }) =>
      pool.verify(token, algorithm, [verification]),
    )
    expect(await Promise.all(results)).toEqual([one.verification, null, one.verification])
    expect(threads).toHaveLength(1)
  })

  test('does what costs less than a message by itself', async () => {
    const pool = open()
    const one = signer('RS256')
    const token = await sign(one)
    expect(await check(pool, token, one)).toBe(one.verification)
    expect(await check(pool, token, newSigner('RS256'))).toBeNull()
    expect(threads).toHaveLength(0)
    expect(pool.waiting).toBe(0)
    await Promise.all([check(pool, token, one), check(pool, token, one)])
    expect(threads).toHaveLength(1)
  })

  test('tells which of several keys it was', async () => {
    const pool = open()
    const others = [stranger, newSigner('ES256').verification]
    expect(await pool.verify(newToken(), 'ES256', [...others, key.verification])).toBe(key.verification)
    expect(await pool.verify(newToken(), 'ES256', others)).toBeNull()
  })

  test('sends all that comes within a tick in one message', async () => {
    const pool = open()
    const tokens = Array.from({ length: 100 }, newToken)
    const results = await Promise.all(
      tokens.map(async (token, i) => pool.verify(token, 'ES256', i % 3 === 0 ? [stranger] : keys)),
    )
    expect(results).toEqual(tokens.map((_, i) => (i % 3 === 0 ? null : key.verification)))
    expect(instruments.read('sluice_token_batch_size')).toBe(1)
    // Whatever else runs in between: the tick is not over before the event loop goes on.
    const early = check(pool, newToken())
    for (let i = 0; i < 10; i++) await Promise.resolve()
    await Promise.all([early, check(pool, newToken())])
    expect(instruments.read('sluice_token_batch_size')).toBe(2)
  })

  test('keeps what waits within its bound and refuses the rest at once', async () => {
    // ES256 counts 70 microseconds.
    const pool = open({ maxWork: 700 })
    const answers = Array.from({ length: 30 }, () => pool.verify(newToken(), 'ES256', keys))
    const refused = answers.filter((answer) => answer instanceof TokenFault)
    expect(refused.map(({ kind }) => kind)).toEqual(Array.from({ length: 20 }, () => 'overloaded'))
    expect(instruments.read('sluice_token_verifications_rejected_total')).toBe(20)
    expect(pool.waiting).toBe(10)
    for (const answer of answers.slice(0, 10)) expect(await answer).toBe(key.verification)
    expect(pool.waiting).toBe(0)
    expect(await check(pool, newToken())).toBe(key.verification)
  })

  test('takes one verification that is larger than its bound', async () => {
    const pool = open({ maxWork: 1 })
    expect(await check(pool, newToken())).toBe(key.verification)
  })

  test('fails what a thread had when it dies, and goes on with another one', async () => {
    const pool = open({ patience: 600_000 })
    expect(await check(pool, newToken())).toBe(key.verification)
    const slow = signer('ES512')
    const token = await sign(slow)
    const pending = Array.from({ length: 60 }, () => check(pool, token, slow))
    await setImmediate()
    await threadDies()
    const results = await Promise.all(pending)
    expect(results.every((result) => result instanceof TokenFault && result.kind === 'unavailable')).toBe(true)
    expect(pool.waiting).toBe(0)
    expect(errors).toHaveLength(1)
    await expect.poll(() => check(pool, newToken()), { timeout: 10_000 }).toBe(key.verification)
    expect(threads.length).toBeGreaterThan(1)
  })

  test('survives the death of a thread that had nothing to do', async () => {
    const pool = open()
    expect(await check(pool, newToken())).toBe(key.verification)
    await threadDies()
    await expect.poll(() => check(pool, newToken()), { timeout: 10_000 }).toBe(key.verification)
  })

  test('gives a thread up that says nothing', async () => {
    const pool = open({ patience: 50, maxWork: 10_000_000 })
    const slow = signer('ES512')
    const token = await sign(slow)
    // More than a second of work in one message.
    const results = await Promise.all(Array.from({ length: 1500 }, () => check(pool, token, slow)))
    expect(results.every((result) => result instanceof TokenFault && result.kind === 'unavailable')).toBe(true)
    expect(errors).toHaveLength(1)
    expect(pool.waiting).toBe(0)
    await expect.poll(() => open().verify(newToken(), 'ES256', keys), { timeout: 10_000 }).toBe(key.verification)
  })

  test('fails what waits when it is closed, sent or not, and can start anew', async () => {
    const pool = open()
    const sent = check(pool, newToken())
    await setImmediate()
    const waiting = check(pool, newToken())
    pool.close()
    for (const result of await Promise.all([sent, waiting])) expect(result).toMatchObject({ kind: 'unavailable' })
    expect(pool.waiting).toBe(0)
    expect(await check(pool, newToken())).toBe(key.verification)
  })

  test.runIf(process.platform === 'linux')('runs its threads at a lower priority, and nothing else', async () => {
    const pool = open()
    await check(pool, newToken())
    const nice = readdirSync('/proc/self/task').map((id) => {
      const stat = readFileSync(`/proc/self/task/${id}/stat`, 'utf8')
      return { id, nice: Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]) }
    })
    const own = nice.find(({ id }) => id === String(process.pid))?.nice ?? 0
    expect(own).toBe(getPriority())
    expect(nice.some((thread) => thread.nice > own)).toBe(true)
    expect(nice.some((thread) => thread.nice === own && thread.id !== String(process.pid))).toBe(true)
  })
})
