import { pino } from 'pino'
import { afterEach, describe, expect, test } from 'vitest'
import { recordInstruments } from '../../test/support/instruments.ts'
import { type IssuerKey, issuerKey, JwksServer } from '../../test/support/jwks-server.ts'
import { NodeLink } from '../../test/support/node-link.ts'
import { stopUpstreams } from '../../test/support/upstream.ts'
import type { Kept } from '../core/plugin.ts'
import type { KeySet, RemoteKeySet } from '../core/services/key-sets.ts'
import type { VerificationKey } from '../core/verification-key.ts'
import { KeySetStore } from '../services/key-set.ts'
import { KeySetFetcher } from './key-sets.ts'
import type { FetchBounds } from './key-source.ts'

/** So long that it never comes in a test. */
const never = 3_600_000
const closers: (() => unknown)[] = []

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) close()
  await stopUpstreams()
})

function node(bounds: Partial<FetchBounds> = {}) {
  const link = new NodeLink()
  const instruments = recordInstruments()
  const lines: Record<string, unknown>[] = []
  const watchers = new Set<() => void>()
  const write = (text: string): void => {
    lines.push(JSON.parse(text) as Record<string, unknown>)
    for (const watcher of watchers) watcher()
  }
  const log = pino({ base: null }, { write })
  const fetcher = new KeySetFetcher(link.primary, log, instruments, { firstRetry: 20, lastRetry: 50, ...bounds })
  closers.push(() => fetcher.close())
  const logged = (message: string): number => lines.filter(({ msg }) => msg === message).length
  return {
    fetcher,
    instruments,
    lines,
    logged,
    /** Resolves when that line has been written so often. */
    waitForLog: async (message: string, count = 1): Promise<void> => {
      while (logged(message) < count) await new Promise<void>((resolve) => watchers.add(resolve))
    },
    worker: () => {
      const end = link.join()
      const kept: Kept[] = []
      const store = new KeySetStore(end)
      const open = (source: RemoteKeySet): KeySet =>
        store.open(source, (_key, make) => {
          const thing = make()
          kept.push(thing)
          return thing
        })
      const close = (): void => {
        for (const thing of kept) thing.close?.()
      }
      return { open, close, die: () => end.leave() }
    },
  }
}

function sourceOf(server: { readonly url: string }, more: Partial<RemoteKeySet> = {}): RemoteKeySet {
  return {
    url: server.url,
    timeout: 5000,
    tls: { verify: true, server_name: null, ca: null, cert: null, key: null },
    max_connections: 1,
    breaker: { max_failures: 0, cooldown: 1000 },
    max_body: 1024 ** 2,
    refresh: never,
    cooldown: never,
    ...more,
  }
}

async function kidsOf(set: KeySet, kid: string | null = null): Promise<(string | null)[]> {
  return (await set.find(kid, 'ES256')).map((key) => key.kid)
}

async function only(set: KeySet, kid: string): Promise<VerificationKey> {
  const keys = await set.find(kid, 'ES256')
  expect(keys).toHaveLength(1)
  return keys[0] as VerificationKey
}

/** Asks until the answer is as wanted; for what is pushed without being asked for. */
async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 5))
}

test('fetches once for all workers, and at once when it is there', async () => {
  const server = await JwksServer.start([issuerKey('a'), issuerKey('b'), issuerKey('r', 'RS256')])
  const { worker, fetcher } = node()
  const sets = [worker(), worker(), worker()].map(({ open }) => open(sourceOf(server)))
  expect(sets.map(({ empty }) => empty)).toEqual([true, true, true])
  const found = await Promise.all(sets.map((set) => kidsOf(set, 'a')))
  expect(found).toEqual([['a'], ['a'], ['a']])
  const [set] = sets as [KeySet]
  expect(set.find('a', 'ES256')).not.toBeInstanceOf(Promise)
  expect(set.empty).toBe(false)
  expect(await kidsOf(set)).toEqual(['a', 'b'])
  expect(await set.find('a', 'RS256')).toEqual([])
  expect((await set.find('r', 'PS256')).length).toBe(0)
  expect((await set.find('r', 'RS256')).length).toBe(1)
  const late = worker().open(sourceOf(server))
  expect(await kidsOf(late, 'b')).toEqual(['b'])
  expect(server.requests).toBe(1)
  expect(fetcher.status()).toEqual([
    { source: server.url, state: 'fresh', keys: ['a', 'b', 'r'], age: 0, reason: null, next: expect.any(Number) },
  ])
})

test('has the set at hand for a worker that is started anew, and forgets who is gone', async () => {
  const server = await JwksServer.start([issuerKey('a')])
  const { worker } = node()
  const first = worker()
  expect(await kidsOf(first.open(sourceOf(server)))).toEqual(['a'])
  first.die()
  expect(await kidsOf(worker().open(sourceOf(server)))).toEqual(['a'])
  expect(server.requests).toBe(1)
})

test('fetches anew ahead of the end, pushes what changed and marks what was withdrawn', async () => {
  const [a, b, c] = [issuerKey('a'), issuerKey('b'), issuerKey('c')]
  const server = await JwksServer.start([a, b])
  const { worker, logged } = node()
  const sets = [worker(), worker()].map(({ open }) => open(sourceOf(server, { refresh: 40 })))
  const before = await Promise.all(sets.map((set) => Promise.all([only(set, 'a'), only(set, 'b')])))
  await server.seen(3)
  expect(logged('a key set is in use')).toBe(1)
  for (const [i, set] of sets.entries()) expect(await only(set, 'a')).toBe(before[i]?.[0])
  server.publish([b, c])
  for (const [i, set] of sets.entries()) {
    await until(async () => (await kidsOf(set)).join() === 'b,c')
    expect(before[i]?.map(({ live }) => live)).toEqual([false, true])
    expect(await only(set, 'b')).toBe(before[i]?.[1])
  }
})

test('a key with other material under its name is another key', async () => {
  const server = await JwksServer.start([issuerKey('a')])
  const { worker } = node()
  const set = worker().open(sourceOf(server, { refresh: 30 }))
  const before = await only(set, 'a')
  server.publish([issuerKey('a')])
  await until(() => !before.live)
  expect(await only(set, 'a')).not.toBe(before)
})

test.each([
  ['max-age=100, public', {}, 100],
  ['public, MAX-AGE="1"', {}, 50],
  ['max-age=100000', {}, 200],
  ['max-age=100', { age: '99' }, 50],
  ['no-store', {}, 7000],
])('takes %j as the lifetime, within bounds', async (control, more, seconds) => {
  const server = await JwksServer.start([issuerKey('a')], { 'cache-control': control, ...more })
  const { worker, fetcher } = node({ leastAge: 50_000, mostAge: 200_000 })
  expect(await kidsOf(worker().open(sourceOf(server, { refresh: 7_000_000 })))).toEqual(['a'])
  const { next } = fetcher.status()[0] as { next: number }
  expect(next).toBeGreaterThanOrEqual(Math.floor(seconds * 0.75) - 1)
  expect(next).toBeLessThanOrEqual(Math.ceil(seconds * 0.9))
})

describe('an issuer that is away or lies', () => {
  const html = '<!doctype html><title>Sign in</title>'
  const weak = { kty: 'RSA', kid: 'a', n: 'AQAB', e: 'AQAB' }
  const huge = JSON.stringify({ keys: [], padding: 'x'.repeat(1024 ** 2) })

  const cases: readonly [string, (server: JwksServer) => Promise<void> | void, string][] = [
    ['is down', (server) => server.close(), 'connect: ECONNREFUSED'],
    ['fails', (server) => server.answerText(500, '{}'), 'status 500'],
    ['redirects', (server) => server.answerText(302, '', { location: `${server.origin}/other` }), 'status 302'],
    ['answers with a page', (server) => server.answerText(200, html), 'the answer is not JSON'],
    ['answers with nothing', (server) => server.answerText(200, ''), 'the answer is not JSON'],
    ['answers with a list', (server) => server.answerText(200, '[]'), 'a JWK Set must be'],
    ['answers with null', (server) => server.answerText(200, 'null'), 'a JWK Set must be'],
    ['has keys that are no list', (server) => server.answerText(200, '{"keys":{}}'), 'a JWK Set must be'],
    ['has no keys', (server) => server.answerText(200, '{"keys":[]}'), 'the set has no usable key'],
    [
      'has secrets only',
      (server) => server.answerText(200, JSON.stringify({ keys: [{ kty: 'oct', k: 'A'.repeat(64), alg: 'HS256' }] })),
      'the set has no usable key',
    ],
    [
      'has weak keys only',
      (server) => server.answerText(200, JSON.stringify({ keys: [weak] })),
      'the set has no usable key: the RSA key has',
    ],
    ['answers without end', (server) => server.answerText(200, huge), 'too_large'],
    ['does not answer', (server) => server.answer(() => {}), 'timeout: no answer came'],
    [
      'stalls in the middle',
      (server) => server.answer((_req, res) => void res.writeHead(200).write('{"keys":[')),
      'timeout: the answer did not end',
    ],
    [
      'breaks off',
      (server) => server.answer((_req, res) => void res.writeHead(200).write('{', () => res.destroy())),
      'broken',
    ],
  ]

  test.each(cases)('%s: the last good set stays', async (_, spoil, reason) => {
    const key = issuerKey('a')
    const server = await JwksServer.start([key])
    const { worker, fetcher, instruments, logged } = node()
    const set = worker().open(sourceOf(server, { refresh: 30, timeout: 300 }))
    const before = await only(set, 'a')
    await spoil(server)
    const bad = (): number => instruments.read(`sluice_key_set_fetches_total{source="${server.url}",outcome="bad"}`)
    await until(() => bad() >= 2)
    const [status] = fetcher.status()
    expect(status).toMatchObject({ state: 'stale', keys: ['a'] })
    expect(status?.reason).toContain(reason)
    expect(await only(set, 'a')).toBe(before)
    expect(before.live).toBe(true)
    expect(logged('a key set can not be fetched anew')).toBe(1)
    expect(instruments.read(`sluice_key_set_age_seconds{source="${server.url}"}`)).toBeGreaterThan(0)
  })

  test('is believed again when it is back, and that is told once', async () => {
    const [a, b] = [issuerKey('a'), issuerKey('b')]
    const server = await JwksServer.start([a])
    const { worker, fetcher, logged, waitForLog } = node()
    const set = worker().open(sourceOf(server, { refresh: 30 }))
    const before = await only(set, 'a')
    server.answerText(200, html)
    await waitForLog('a key set can not be fetched anew')
    server.publish([b])
    await waitForLog('a key set can be fetched again')
    await until(() => !before.live)
    expect(await kidsOf(set)).toEqual(['b'])
    expect(fetcher.status()[0]).toMatchObject({ state: 'fresh', reason: null })
    expect(logged('a key set can not be fetched anew')).toBe(1)
  })

  test('leaves the set empty from the beginning, which is told at once from then on', async () => {
    const server = await JwksServer.start()
    server.answerText(503, '')
    const { worker, fetcher, waitForLog, logged } = node()
    const set = worker().open(sourceOf(server))
    expect(await set.find('a', 'ES256')).toEqual([])
    expect(set.empty).toBe(true)
    expect(set.find('a', 'ES256')).toEqual([])
    expect(fetcher.status()[0]).toMatchObject({ state: 'empty', age: null, keys: [], reason: 'status 503' })
    // A worker that comes meanwhile has nothing to wait for.
    const late = worker().open(sourceOf(server))
    expect(await late.find('a', 'ES256')).toEqual([])
    server.publish([issuerKey('a')])
    await waitForLog('a key set is in use')
    await until(() => !set.empty && !late.empty)
    expect(await kidsOf(set, 'a')).toEqual(['a'])
    expect(logged('a key set can not be fetched')).toBe(1)
  })

  test('is told to a worker that comes between two tries', async () => {
    const server = await JwksServer.start()
    server.answerText(503, '')
    const { worker } = node({ firstRetry: never, lastRetry: never })
    const source = sourceOf(server, { timeout: never })
    expect(await worker().open(source).find('a', 'ES256')).toEqual([])
    expect(await worker().open(source).find('a', 'ES256')).toEqual([])
    expect(server.requests).toBe(1)
  })

  test('waits longer and longer between tries', async () => {
    const server = await JwksServer.start()
    server.answerText(503, '')
    const { worker, instruments } = node({ firstRetry: 20, lastRetry: 10_000 })
    worker().open(sourceOf(server))
    await server.seen(4)
    const soFar = instruments.read(`sluice_key_set_fetches_total{source="${server.url}",outcome="bad"}`)
    expect(soFar).toBeLessThanOrEqual(4)
    const begun = performance.now()
    await server.seen(5)
    // The fourth pause is 160 ms, less a quarter for jitter.
    expect(performance.now() - begun).toBeGreaterThan(110)
  })

  test('leaves out single keys that are no good, and says so once', async () => {
    const server = await JwksServer.start()
    server.answerText(200, JSON.stringify({ keys: [weak, issuerKey('a').jwk, { kty: 'new' }, 5] }))
    const { worker, logged } = node()
    const set = worker().open(sourceOf(server, { refresh: 30 }))
    expect(await kidsOf(set)).toEqual(['a'])
    await server.seen(4)
    expect(logged('keys of a key set are left out')).toBe(1)
  })

  test('can not make workers try a token with thousands of keys', async () => {
    const server = await JwksServer.start()
    const { jwk } = issuerKey('a')
    const keys = Array.from({ length: 201 }, (_, i) => ({ ...jwk, kid: `a${i}` }))
    server.answerText(200, JSON.stringify({ keys }))
    const { worker, fetcher } = node()
    const set = worker().open(sourceOf(server))
    expect(await kidsOf(set)).toEqual([])
    expect(fetcher.status()[0]?.reason).toBe('the set has 201 keys: 200 is the most')
  })
})

describe('a key id that is unknown', () => {
  async function started(keys: readonly IssuerKey[], more: Partial<RemoteKeySet> = {}) {
    const server = await JwksServer.start(keys)
    const one = node()
    const sets = [one.worker(), one.worker()].map(({ open }) => open(sourceOf(server, more))) as [KeySet, KeySet]
    for (const set of sets) await set.find(null, 'ES256')
    expect(server.requests).toBe(1)
    return { server, sets, ...one }
  }

  test('leads to one fetch, for which all who ask wait', async () => {
    const [a, b] = [issuerKey('a'), issuerKey('b')]
    const { server, sets } = await started([a])
    const release = server.hold()
    const asked = sets.flatMap((set) => Array.from({ length: 50 }, () => kidsOf(set, 'b')))
    await server.seen(2)
    release([a, b])
    for (const found of await Promise.all(asked)) expect(found).toEqual(['b'])
    expect(server.requests).toBe(2)
  })

  test('leads to no further fetch within the cooldown, on no worker', async () => {
    const { server, sets } = await started([issuerKey('a')])
    expect(await kidsOf(sets[0], 'x')).toEqual([])
    expect(sets[0].find('x', 'ES256')).toEqual([])
    expect(sets[0].find('y', 'ES256')).toEqual([])
    expect(await kidsOf(sets[1], 'z')).toEqual([])
    expect(sets[1].find('z', 'ES256')).toEqual([])
    expect(await kidsOf(sets[1], 'a')).toEqual(['a'])
    expect(server.requests).toBe(2)
  })

  test('leads to a fetch again after the cooldown', async () => {
    const [a, b] = [issuerKey('a'), issuerKey('b')]
    const { server, sets } = await started([a], { cooldown: 100 })
    expect(await kidsOf(sets[0], 'b')).toEqual([])
    server.publish([a, b])
    await until(async () => (await kidsOf(sets[1], 'b')).length === 1)
    expect(server.requests).toBe(3)
  })

  /** A set whose background fetch is under way; what is published meanwhile comes too late for it. */
  async function overtaken(early: readonly IssuerKey[], asked: readonly string[], published: readonly IssuerKey[]) {
    const server = await JwksServer.start([issuerKey('a')])
    const set = node()
      .worker()
      .open(sourceOf(server, { refresh: 50 }))
    await set.find(null, 'ES256')
    const release = server.hold()
    await server.seen(2)
    const found = asked.map((kid) => kidsOf(set, kid))
    // Nothing tells when the question has come to the primary: it has by the time that several turns are over.
    for (let i = 0; i < 10; i++) await new Promise(setImmediate)
    release(early)
    server.publish(published)
    return Promise.all(found)
  }

  test('is found by a fetch of its own when one was under way too early', async () => {
    const [a, b] = [issuerKey('a'), issuerKey('b')]
    expect(await overtaken([a], ['b'], [a, b])).toEqual([['b']])
    expect(await overtaken([a], ['x', 'b'], [a, b])).toEqual([[], ['b']])
  })

  test('is found by a fetch of its own when another one is satisfied before', async () => {
    const [a, b, c] = [issuerKey('a'), issuerKey('b'), issuerKey('c')]
    expect(await overtaken([a, c], ['c', 'b'], [a, b, c])).toEqual([['c'], ['b']])
  })

  test('is refused when the fetch fails, and what is known goes on', async () => {
    const { server, sets } = await started([issuerKey('a')], { timeout: 200 })
    server.answer(() => {})
    expect(await kidsOf(sets[0], 'b')).toEqual([])
    expect(await kidsOf(sets[0], 'a')).toEqual(['a'])
  })

  test('is not one when a key has none: that may have signed everything', async () => {
    const { jwk } = issuerKey('a')
    delete jwk.kid
    const server = await JwksServer.start()
    server.answerText(200, JSON.stringify({ keys: [jwk, issuerKey('b').jwk] }))
    const set = node().worker().open(sourceOf(server))
    expect(await kidsOf(set, 'anything')).toEqual([null])
    expect(await kidsOf(set, 'b')).toEqual(['b'])
    expect(server.requests).toBe(1)
  })

  test('with a known id and another algorithm is nothing to fetch for', async () => {
    const { server, sets } = await started([issuerKey('a')])
    expect(sets[0].find('a', 'RS256')).toEqual([])
    expect(server.requests).toBe(1)
  })

  test('ends the wait when nobody tells how the fetch went', async () => {
    const link = new NodeLink()
    const store = new KeySetStore(link.join())
    const set = store.open(sourceOf({ url: 'http://127.0.0.1:1/' }, { timeout: 1 }), (_key, make) => make())
    expect(await set.find('a', 'ES256')).toEqual([])
    expect(set.empty).toBe(true)
  })
})

test('two settings are two sets', async () => {
  const server = await JwksServer.start([issuerKey('a')])
  const { worker, fetcher } = node()
  const { open } = worker()
  await open(sourceOf(server)).find(null, 'ES256')
  await open(sourceOf(server, { refresh: never - 1 })).find(null, 'ES256')
  expect(server.requests).toBe(2)
  expect(fetcher.status()).toHaveLength(2)
})

test('shows no query of a URL', async () => {
  const server = await JwksServer.start([issuerKey('a')])
  const { worker, fetcher, lines } = node()
  await worker()
    .open(sourceOf({ url: `${server.url}?key=hush` }))
    .find(null, 'ES256')
  expect(JSON.stringify([fetcher.status(), lines])).not.toContain('hush')
})

test('does nothing any more once it is closed', async () => {
  const server = await JwksServer.start([issuerKey('a')])
  const { worker, fetcher, instruments } = node()
  const { open, close } = worker()
  const set = open(sourceOf(server, { refresh: 20 }))
  await set.find(null, 'ES256')
  await server.seen(3)
  fetcher.close()
  close()
  await new Promise(setImmediate)
  const fetches = (): number =>
    ['good', 'bad']
      .map((outcome) => instruments.read(`sluice_key_set_fetches_total{source="${server.url}",outcome="${outcome}"}`))
      .reduce((sum, count) => sum + count)
  const [requests, soFar] = [server.requests, fetches()]
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect([server.requests, fetches()]).toEqual([requests, soFar])
})
