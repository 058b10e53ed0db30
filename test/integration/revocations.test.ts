import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { request } from 'undici'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type GatewayOptions, type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { type RedisServer, startRedis, stopRedis } from '../support/redis.ts'

/** Refuses what is revoked: asks as plugins do that authenticate. */
const probe = `
import { definePlugin, getHeader, reject, z } from 'sluice'
const refused = reject('credentials_invalid', {})
const kinds = ['jti', 'sub', 'token', 'key', 'consumer']
export default definePlugin({
  name: 'probe', summary: 'Refuses what is revoked.', class: 'security', priority: 1000, schema: z.object({}),
  create: (_config, { services: { revocations } }) => ({
    access(ctx) {
      for (const kind of kinds) {
        const value = getHeader(ctx.headers, 'x-' + kind)
        if (value !== undefined && revocations.has(kind, value)) return refused
      }
      return undefined
    },
  }),
})
`

const termination = { name: 'request-termination', config: { status_code: 200, message: 'ok' } }
const routes = [{ name: 'all', plugins: [{ use: './probe.mjs', config: {} }, termination] }]

const hash = (token: string): string => createHash('sha256').update(token).digest('hex')

let server: RedisServer
beforeAll(async () => {
  server = await startRedis()
})
afterAll(stopRedis)
afterEach(stopGateways)

function start(config: object, options: GatewayOptions = {}): Promise<RunningGateway> {
  return startGateway(
    { routes, ...config },
    { workers: 2, ...options, files: { 'probe.mjs': probe, ...options.files } },
  )
}

interface Answer {
  readonly status: number
  readonly body: Record<string, unknown>
}

async function ask(
  gateway: RunningGateway,
  method: string,
  path: string,
  body?: unknown,
  headers = {},
): Promise<Answer> {
  const text = body === undefined || typeof body === 'string' ? (body ?? null) : JSON.stringify(body)
  const answer = await request(gateway.adminUrl + path, { method: method as 'GET', body: text, headers })
  return { status: answer.statusCode, body: (await answer.body.json()) as Record<string, unknown> }
}

const post = (gateway: RunningGateway, body: unknown, headers = {}): Promise<Answer> =>
  ask(gateway, 'POST', '/revocations', body, headers)

/** By new connections, so that all workers get their share. */
async function statuses(gateway: RunningGateway, headers: Record<string, string>, count = 20): Promise<number[]> {
  const answers = await Promise.all(
    Array.from({ length: count }, async () => {
      const { statusCode, body } = await request(gateway.url, { headers, reset: true })
      await body.dump()
      return statusCode
    }),
  )
  return [...new Set(answers)]
}

describe('POST /revocations', () => {
  test('is answered when all workers refuse, and the other gateway does within a second', async () => {
    const [one, other] = await Promise.all([
      start({ redis: { url: server.url, key_prefix: 'two:' } }),
      start({ redis: { url: server.url, key_prefix: 'two:' } }),
    ])
    expect(await statuses(one, { 'x-jti': 'a' })).toEqual([200])
    const { status, body } = await post(one, { jti: 'a', reason: 'logout' })
    const posted = performance.now()
    expect(status).toBe(200)
    expect(body).toEqual({ revoked: 1, expired: 0, workers: 2, stored: 'redis', took_ms: expect.any(Number) })
    expect(await statuses(one, { 'x-jti': 'a' })).toEqual([401])
    let took = 0
    while (!(await statuses(other, { 'x-jti': 'a' }, 4)).every((code) => code === 401))
      took = performance.now() - posted
    expect(await statuses(other, { 'x-jti': 'a' })).toEqual([401])
    expect(took).toBeLessThan(2500)
    expect(await statuses(other, { 'x-jti': 'b' })).toEqual([200])

    const metrics = await one.metrics()
    expect(metrics).toContain('sluice_revocations_entries{kind="jti"} 1')
    expect(metrics).toContain('sluice_revocations_acknowledge_seconds_count 1')
    expect(metrics).toContain('sluice_redis_connected{role="primary"} 1')
    expect((await one.status())['revocations']).toEqual({ entries: 1, stored: 'redis', synced: true })
  })

  test('says at once that Redis is away, kills here, and elsewhere when it is back', async () => {
    const redis = await startRedis()
    const [one, other] = await Promise.all([start({ redis: redis.url }), start({ redis: redis.url })])
    await redis.stop()
    const { status, body } = await post(one, { sub: 'alice' })
    expect(status).toBe(503)
    expect(body).toMatchObject({ error: 'store_unavailable', revoked: 1, workers: 2, stored: 'memory' })
    expect(body['message']).toContain('no other node knows')
    expect(await statuses(one, { 'x-sub': 'alice' })).toEqual([401])
    await redis.restart()
    while (!(await statuses(other, { 'x-sub': 'alice' }, 4)).every((code) => code === 401));
    // The end of the connection, and why there is no other: of the one for commands, and of the one that listens.
    expect(one.logs().filter(({ msg }) => msg === 'Redis is not reachable').length).toBeLessThanOrEqual(4)
  })

  test('names the worker that hangs', async () => {
    const gateway = await start({})
    const [hung = 0] = await gateway.workerPids()
    process.kill(hung, 'SIGSTOP')
    try {
      const { status, body } = await post(gateway, { jti: 'a' })
      expect(status).toBe(503)
      expect(body).toMatchObject({ error: 'workers_silent', workers: 1, silent_workers: [hung] })
    } finally {
      process.kill(hung, 'SIGCONT')
    }
    await gateway.until('awake', ({ workers }) => workers.every(({ state }) => state === 'active'))
    expect((await post(gateway, { jti: 'b' })).status).toBe(200)
  })

  test('takes lists, hashes tokens, and never shows them', async () => {
    const gateway = await start({})
    const { body } = await post(gateway, [
      { token: 'secret-token' },
      { key: 'k1' },
      { consumer: 'c1', expires_in: '1h' },
    ])
    expect(body).toMatchObject({ revoked: 3, stored: 'memory' })
    expect(await statuses(gateway, { 'x-token': hash('secret-token') })).toEqual([401])
    expect(await statuses(gateway, { 'x-key': 'k1' })).toEqual([401])
    const listed = await ask(gateway, 'GET', '/revocations')
    expect(listed.body).toMatchObject({ total: 3, offset: 0, stored: 'memory', synced: true })
    expect(listed.body['revocations']).toMatchObject([
      { token_hash: hash('secret-token') },
      { key: 'k1' },
      { consumer: 'c1' },
    ])
    const page = await ask(gateway, 'GET', '/revocations?limit=1&offset=1')
    expect(page.body).toMatchObject({ total: 3, revocations: [{ key: 'k1' }] })
    expect((await ask(gateway, 'GET', '/revocations?consumer=c1')).body).toMatchObject({ total: 1 })
    expect((await ask(gateway, 'GET', '/revocations?consumer=c2')).body).toMatchObject({ total: 0 })
    expect(gateway.output()).not.toContain('secret-token')
  })

  test('wants the admin token where there is one', async () => {
    const gateway = await start({ admin: { address: '127.0.0.1:0', token: 'letmein' } })
    for (const method of ['GET', 'POST', 'DELETE']) {
      expect((await ask(gateway, method, '/revocations?jti=a')).status).toBe(401)
    }
    const bearer = { authorization: 'Bearer letmein' }
    expect((await post(gateway, { jti: 'a' }, bearer)).status).toBe(200)
    expect((await ask(gateway, 'DELETE', '/revocations?jti=a', undefined, bearer)).body).toMatchObject({ restored: 1 })
    expect(await statuses(gateway, { 'x-jti': 'a' })).toEqual([200])
  })
})

describe('the list', () => {
  test('is there when a killed worker comes back: what is revoked never passes', async () => {
    const gateway = await start({})
    await post(
      gateway,
      Array.from({ length: 20_000 }, (_, i) => ({ jti: `j${i}` })),
    )
    const pids = await gateway.workerPids()
    const seen = new Set<number>()
    let isOver = false
    const asking = (async () => {
      while (!isOver) {
        // Connections to a worker that is being killed break.
        for (const code of await statuses(gateway, { 'x-jti': 'j19999' }, 8).catch(() => [])) seen.add(code)
      }
    })()
    for (const pid of pids) process.kill(pid, 'SIGKILL')
    await gateway.until('back', ({ workers }) =>
      workers.every(({ pid, state }) => state === 'active' && !pids.includes(pid)),
    )
    isOver = true
    await asking
    expect([...seen]).toEqual([401])
    expect(await statuses(gateway, { 'x-jti': 'j19999' })).toEqual([401])
    expect(await statuses(gateway, { 'x-jti': 'other' })).toEqual([200])
  })

  test('outlives a reload, also one that adds workers and a store', async () => {
    const gateway = await start({})
    await post(gateway, { jti: 'a' })
    expect((await gateway.reload({ routes, limits: { header_count: 50 } })).outcome).toBe('activated')
    expect(await statuses(gateway, { 'x-jti': 'a' })).toEqual([401])
    const redis = { url: server.url, key_prefix: 'reload:' }
    expect((await gateway.reload({ routes, redis })).outcome).toBe('activated')
    expect(await statuses(gateway, { 'x-jti': 'a' })).toEqual([401])
    while ((await server.command('HEXISTS', 'reload:revocations', 'jti:a')) !== 1);
    expect((await post(gateway, { jti: 'b' })).body).toMatchObject({ stored: 'redis' })
  })

  test('is known before the first request is served', async () => {
    const redis = { url: server.url, key_prefix: 'first:' }
    const one = await start({ redis })
    await post(one, { jti: 'a' })
    const other = await start({ redis })
    expect(await statuses(other, { 'x-jti': 'a' })).toEqual([401])
  })

  test('may be a file, which is watched', async () => {
    const gateway = await start(
      { security: { revocations: { file: './revoked.jsonl' } } },
      { files: { 'revoked.jsonl': '{"sub":"alice"}\n' } },
    )
    expect(await statuses(gateway, { 'x-sub': 'alice' })).toEqual([401])
    expect((await post(gateway, { sub: 'bob' })).body).toMatchObject({ stored: 'file' })
    expect(readFileSync(join(gateway.folder, 'revoked.jsonl'), 'utf8')).toContain('{"sub":"bob",')
    gateway.write('revoked.jsonl', '{"sub":"carol"}\n')
    await gateway.waitForLog('revocations were read again')
    expect(await statuses(gateway, { 'x-sub': 'carol' })).toEqual([401])
    expect(await statuses(gateway, { 'x-sub': 'bob' })).toEqual([200])
  })

  test('does not keep a gateway from starting while Redis is away', async () => {
    const redis = await startRedis()
    await redis.stop()
    const gateway = await start({ redis: redis.url })
    expect(gateway.logs().some(({ msg }) => msg.startsWith('revocations are not known yet'))).toBe(true)
    expect((await gateway.metrics()).includes('sluice_revocations_synced 0')).toBe(true)
    expect(await statuses(gateway, {})).toEqual([200])
  })
})
