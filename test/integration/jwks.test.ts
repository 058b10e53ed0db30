import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { certificateFor } from '../support/certificate.ts'
import { type RunningGateway, type Status, startGateway, stopGateways } from '../support/gateway.ts'
import { JwksServer } from '../support/jwks-server.ts'
import { audience, issuer, type SigningKey, signingKey, token } from '../support/token.ts'
import { startUpstream, stopUpstreams, type TestUpstream } from '../support/upstream.ts'
import { call, Wire } from '../support/wire.ts'

const [a, b, c] = [signingKey('ES256', 'a'), signingKey('ES256', 'b'), signingKey('ES256', 'c')]

let upstream: TestUpstream
beforeEach(async () => {
  upstream = await startUpstream()
})
afterEach(async () => {
  await stopGateways()
  await stopUpstreams()
})

function configOf(jwks: object, more: object = {}): object {
  return {
    access_log: 'off',
    routes: [
      {
        name: 'api',
        paths: ['/api/*'],
        upstream: 'service',
        plugins: [{ name: 'jwt', config: { issuer, audience, jwks } }],
      },
    ],
    upstreams: [{ name: 'service', targets: [{ target: upstream.address }] }],
    ...more,
  }
}

async function start(jwks: object, workers = 3): Promise<RunningGateway> {
  const gateway = await startGateway(configOf(jwks), { workers })
  await gateway.until('all workers active', ({ workers: all }) => all.every(({ state }) => state === 'active'))
  return gateway
}

/** One request on a connection of its own, so that each worker gets its share. */
async function get(gateway: RunningGateway, bearer: string): Promise<number> {
  const { status } = await call(gateway.port, 'GET /api/a', [`authorization: Bearer ${bearer}`, 'connection: close'])
  return status
}

async function statuses(gateway: RunningGateway, tokens: readonly string[]): Promise<number[]> {
  const found = new Set(await Promise.all(tokens.map((one) => get(gateway, one))))
  return [...found].sort((one, other) => one - other)
}

/** Different tokens of one key, so that no worker knows them all. */
function tokensOf(key: SigningKey, count = 20): Promise<string[]> {
  return Promise.all(Array.from({ length: count }, (_, i) => token(key, { jti: `${key.kid}-${i}` })))
}

interface KeySetStatus {
  readonly source: string
  readonly state: string
  readonly keys: readonly string[]
  readonly age: number | null
}

function keySetsOf(status: Status): readonly KeySetStatus[] {
  return status['key_sets'] as readonly KeySetStatus[]
}

async function untilKeySet(gateway: RunningGateway, isSo: (status: KeySetStatus) => boolean): Promise<void> {
  await gateway.until('the key set as wanted', (status) => keySetsOf(status).some(isSo))
}

test('fetches once for all workers, and not again for a reload', async () => {
  const server = await JwksServer.start([a])
  const gateway = await start({ url: server.url })
  expect(await statuses(gateway, await tokensOf(a, 60))).toEqual([200])
  expect(server.requests).toBe(1)
  const { status } = await gateway.reload(configOf({ url: server.url }, { limits: { header_count: 50 } }))
  expect(status).toBe(200)
  expect(await statuses(gateway, await tokensOf(a, 30))).toEqual([200])
  expect(server.requests).toBe(1)
}, 60_000)

test('rotation costs no valid token its entry, and ends the tokens of the key that is withdrawn', async () => {
  const server = await JwksServer.start([a])
  const gateway = await start({ url: server.url, refresh: '1s', cooldown: '100ms' })
  const [ofA, ofB, ofC] = [await tokensOf(a), await tokensOf(b), await tokensOf(c)]
  const seen = new Map<string, Set<number>>()
  let current: readonly string[] = ofA
  let isOver = false
  // Clients that never stop, and use the new key at once when it is published.
  const clients = Array.from({ length: 6 }, async (_, client) => {
    for (let i = client; !isOver; i++) {
      const bearer = current[i % current.length] as string
      const kid = current === ofA ? 'a' : current === ofB ? 'b' : 'c'
      const status = await get(gateway, bearer)
      const own = seen.get(kid) ?? new Set()
      seen.set(kid, own.add(status))
    }
  })
  await server.seen(2)
  server.publish([a, b])
  current = ofB
  await untilKeySet(gateway, ({ keys }) => keys.includes('b'))
  await server.seen(server.requests + 2)
  server.publish([b, c])
  current = ofC
  await untilKeySet(gateway, ({ keys }) => !keys.includes('a') && keys.includes('c'))
  await server.seen(server.requests + 1)
  isOver = true
  await Promise.all(clients)
  expect(Object.fromEntries([...seen].map(([kid, own]) => [kid, [...own]]))).toEqual({ a: [200], b: [200], c: [200] })
  // What the workers remember of the withdrawn key counts no more.
  expect(await statuses(gateway, ofA)).toEqual([401])
  expect(await statuses(gateway, [...ofB, ...ofC])).toEqual([200])
}, 60_000)

test('an outage is no outage: not for those who are known, not for new tokens, not for a new worker', async () => {
  const server = await JwksServer.start([a])
  const gateway = await start({ url: server.url, refresh: '1s', timeout: '500ms' }, 2)
  expect(await statuses(gateway, await tokensOf(a))).toEqual([200])
  await server.close()
  await untilKeySet(gateway, ({ state }) => state === 'stale')
  expect(await statuses(gateway, await tokensOf(a, 40))).toEqual([200])

  const [first] = (await gateway.workerPids()) as [number]
  process.kill(first, 'SIGKILL')
  await gateway.until(
    'a worker in its place',
    ({ workers }) => workers.length === 2 && workers.every(({ pid, state }) => pid !== first && state === 'active'),
  )
  const fresh = await Promise.all(Array.from({ length: 40 }, (_, i) => token(a, { jti: `fresh-${i}` })))
  expect(await statuses(gateway, fresh)).toEqual([200])
  const metrics = await gateway.metrics()
  const age = /^sluice_key_set_age_seconds\{source="[^"]+"\} (\S+)$/m.exec(metrics)?.[1]
  expect(Number(age)).toBeGreaterThan(0)
  expect(metrics).toMatch(/^sluice_key_set_fetches_total\{source="[^"]+",outcome="bad"\} [1-9]/m)
  const complaints = gateway.logs().filter(({ msg }) => msg === 'a key set can not be fetched anew')
  expect(complaints).toHaveLength(1)
}, 60_000)

test('an issuer that lies changes nothing', async () => {
  const server = await JwksServer.start([a])
  const gateway = await start({ url: server.url, refresh: '1s', timeout: '300ms' }, 2)
  expect(await statuses(gateway, await tokensOf(a))).toEqual([200])
  const lies: (() => void)[] = [
    () => server.answerText(200, '<html>Sign in</html>', { 'content-type': 'text/html' }),
    () => server.answerText(302, '', { location: 'http://127.0.0.1:1/' }),
    () => server.answerText(200, JSON.stringify({ keys: [{ ...b.jwk, x: 'AAAA' }] })),
    () => server.answer((_req, res) => void res.writeHead(200).write('{"keys":[')),
  ]
  for (const lie of lies) {
    lie()
    await server.seen(server.requests + 2)
    expect(await statuses(gateway, await tokensOf(a, 6))).toEqual([200])
  }
  expect(keySetsOf(await gateway.status())).toMatchObject([{ state: 'stale', keys: ['a'] }])
  expect(await statuses(gateway, await tokensOf(b, 2))).toEqual([401])
}, 60_000)

test('without any keys nothing can be said, until there are some', async () => {
  const server = await JwksServer.start([a])
  server.answerText(503, '')
  const gateway = await start({ url: server.url }, 2)
  const tokens = await tokensOf(a, 10)
  expect(await statuses(gateway, tokens)).toEqual([503])
  server.publish([a])
  await untilKeySet(gateway, ({ state }) => state === 'fresh')
  while ((await statuses(gateway, tokens)).join() !== '200') await new Promise(setImmediate)
}, 60_000)

describe('unknown key ids', () => {
  test('lead to one fetch per cooldown, however many there are', async () => {
    const server = await JwksServer.start([a])
    const gateway = await start({ url: server.url, cooldown: '1h' })
    const good = await tokensOf(a)
    expect(await statuses(gateway, good)).toEqual([200])
    const bad = await Promise.all(
      Array.from({ length: 200 }, (_, i) => token(b, { jti: String(i) }, { kid: `unknown-${i}` })),
    )
    expect(await statuses(gateway, bad)).toEqual([401])
    expect(await statuses(gateway, good)).toEqual([200])
    expect(server.requests).toBe(2)
  }, 60_000)

  test('wait for the fetch together', async () => {
    const server = await JwksServer.start([a])
    const gateway = await start({ url: server.url, cooldown: '1h' })
    expect(await statuses(gateway, await tokensOf(a))).toEqual([200])
    const release = server.hold()
    const waiting = statuses(gateway, await tokensOf(b, 60))
    await server.seen(2)
    release([a, b])
    expect(await waiting).toEqual([200])
    expect(server.requests).toBe(2)
  }, 60_000)
})

test('nothing that a token names is fetched', async () => {
  const server = await JwksServer.start([a])
  const evil = await JwksServer.start([b])
  const gateway = await start({ url: server.url }, 2)
  const tokens = await Promise.all(
    [
      { jku: evil.url },
      { x5u: evil.url },
      { jku: evil.url, kid: undefined },
      { jwk: b.jwk },
      { jwk: b.jwk, kid: undefined },
    ].map((header) => token(b, {}, header)),
  )
  expect(await statuses(gateway, tokens)).toEqual([401])
  expect(evil.requests).toBe(0)
}, 60_000)

test('a client that gives up waiting harms nobody', async () => {
  const server = await JwksServer.start([a])
  const gateway = await start({ url: server.url, cooldown: '1h' }, 1)
  expect(await statuses(gateway, await tokensOf(a, 4))).toEqual([200])
  const release = server.hold()
  const bearer = await token(b)
  const wires = await Promise.all(Array.from({ length: 10 }, () => Wire.open(gateway.port)))
  for (const wire of wires) wire.request('GET /api/a', [`authorization: Bearer ${bearer}`])
  await server.seen(2)
  for (const wire of wires.slice(1)) wire.reset()
  release([a, b])
  expect((await wires[0]?.response())?.status).toBe(200)
  wires[0]?.close()
  expect(await statuses(gateway, [bearer])).toEqual([200])
}, 60_000)

test('over TLS only an authority that is trusted is believed', async () => {
  const ca = await certificateFor(['ca'], { isCa: true })
  const certificate = await certificateFor(['127.0.0.1'], { ca })
  const body = JSON.stringify({ keys: [a.jwk] })
  const server = createServer(certificate, (_req, res) => void res.end(body))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/keys`
  try {
    const files = { 'tls/ca.pem': ca.cert }
    const trusting = await startGateway(configOf({ url, tls: { ca: 'tls/ca.pem' } }), { workers: 1, files })
    expect(await get(trusting, await token(a))).toBe(200)
    const doubting = await startGateway(configOf({ url }), { workers: 1 })
    expect(await get(doubting, await token(a))).toBe(503)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}, 60_000)
