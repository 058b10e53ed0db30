import { scryptSync } from 'node:crypto'
import { get } from 'node:http'
import { request } from 'undici'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { type Echo, startUpstream, stopUpstreams, type TestUpstream } from '../support/upstream.ts'

let upstream: TestUpstream
beforeAll(async () => {
  upstream = await startUpstream()
})
afterEach(stopGateways)
afterAll(stopUpstreams)

/** As `sluice hash-key --password` makes it, but cheap to check. */
function cheapHash(password: string, ln = 10): string {
  const salt = Buffer.from('sixteen bytes!!!')
  const text = (bytes: Buffer): string => bytes.toString('base64').replace(/=+$/, '')
  return `$scrypt$ln=${ln},r=8,p=1$${text(salt)}$${text(scryptSync(password, salt, 32, { N: 2 ** ln, r: 8, p: 1 }))}`
}

const alice = { username: 'alice', password_hash: cheapHash('open sesame'), consumer: 'office' }

function configured(...plugins: object[]): object {
  return {
    consumers: [{ id: 'office', roles: ['reader'] }],
    routes: [{ name: 'all', upstream: upstream.url, plugins }],
  }
}

function field(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}

/** Statuses of requests on connections of their own, so many that no worker is left out. */
async function statuses(gateway: RunningGateway, authorization: string): Promise<number[]> {
  const one = (): Promise<number> =>
    new Promise((resolve, reject) => {
      get(gateway.url, { agent: false, headers: { authorization } }, (response) => {
        response.resume()
        resolve(response.statusCode ?? 0)
      }).once('error', reject)
    })
  return [...new Set(await Promise.all(Array.from({ length: 24 }, one)))]
}

test('a user is let in by the password, in every worker, until the configuration says otherwise', async () => {
  const gateway = await startGateway(configured({ name: 'basic-auth', config: { users: [alice] } }), { workers: 2 })
  const right = field('alice', 'open sesame')
  const { statusCode, body } = await request(gateway.url, { headers: { authorization: right, 'x-user-id': 'root' } })
  expect(statusCode).toBe(200)
  const { headers } = (await body.json()) as Echo
  expect(headers).toMatchObject({ 'x-user-id': 'alice', 'x-consumer-id': 'office', 'x-user-roles': 'reader' })
  expect(headers).not.toHaveProperty('authorization')
  expect(await statuses(gateway, right)).toEqual([200])
  expect(await statuses(gateway, field('alice', 'close sesame'))).toEqual([401])
  expect(await statuses(gateway, field('bob', 'open sesame'))).toEqual([401])

  const disabled = { ...alice, status: 'disabled' }
  await gateway.reload(configured({ name: 'basic-auth', config: { users: [disabled] } }))
  expect(await statuses(gateway, right)).toEqual([401])
  const changed = { ...alice, password_hash: cheapHash('another') }
  await gateway.reload(configured({ name: 'basic-auth', config: { users: [changed] } }))
  expect(await statuses(gateway, right)).toEqual([401])
  expect(await statuses(gateway, field('alice', 'another'))).toEqual([200])
  expect(gateway.output()).not.toContain(alice.password_hash)
})

test('a flood of wrong passwords is cut off, and does not touch those who are known', async () => {
  const users = [{ ...alice, password_hash: cheapHash('open sesame', 14) }]
  const gateway = await startGateway(configured({ name: 'basic-auth', config: { users } }), { workers: 2 })
  const right = field('alice', 'open sesame')
  expect(await statuses(gateway, right)).toEqual([200])
  const flood = Array.from({ length: 300 }, (_, i) =>
    request(gateway.url, { headers: { authorization: field('alice', `guess ${i}`) } }).then(async (answer) => {
      await answer.body.dump()
      return answer.statusCode
    }),
  )
  expect(await statuses(gateway, right)).toEqual([200])
  const answers = await Promise.all(flood)
  expect(answers.filter((status) => status === 401).length).toBeGreaterThan(0)
  expect(answers.filter((status) => status === 503).length).toBeGreaterThan(100)
  expect(await gateway.metrics()).toMatch(/sluice_password_checks_total\{[^}]*result="overloaded"[^}]*\} [1-9]/)
})
