import { pino } from 'pino'
import { request } from 'undici'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { noInstruments } from '../core/services/instruments.ts'
import { Admin } from './admin.ts'
import { claimAddresses } from './claim.ts'
import { Link } from './link.ts'
import { RevocationList } from './revocations.ts'

let admin: Admin
let list: RevocationList

beforeAll(async () => {
  list = new RevocationList(new Link(), pino({ level: 'silent' }), noInstruments)
  const revocations = { file: null, token_lifetime: 3_600_000, max_entries: 5 }
  list.configure({ security: { require_auth: false, revocations } }, null)
  const unused = (): never => {
    throw new Error('not asked for here')
  }
  admin = new Admin({ state: unused, metrics: unused, status: unused, reload: unused, revocations: list })
  const claim = await claimAddresses([{ host: '127.0.0.1', port: 0 }])
  const change = await admin.stage({
    host: '127.0.0.1',
    port: 'ports' in claim ? Number(claim.ports[0]) : 0,
    token: null,
  })
  if ('fault' in change) throw new Error(change.fault)
  change.commit()
})

afterAll(async () => {
  admin.close()
  await list.close()
})

async function ask(
  method: string,
  query: string,
  body: string | null = null,
): Promise<[number, Record<string, unknown>]> {
  const url = `http://${admin.address}/revocations${query}`
  const answer = await request(url, { method: method as 'GET', body })
  return [answer.statusCode, (await answer.body.json()) as Record<string, unknown>]
}

describe('POST /revocations', () => {
  test.each([
    ['{"jti":', 400, 'The body must be JSON.'],
    ['', 400, 'The body must be JSON.'],
    ['[]', 422, 'Nothing was revoked: there is nothing to revoke.'],
    ['5', 422, 'Nothing was revoked: must be an object.'],
    ['[{"jti":"a"},{"jit":"secret-b"}]', 422, 'Nothing was revoked: item 2 unknown key "jit".'],
    ['{"token":5}', 422, 'Nothing was revoked: "token" must be a string that is not empty.'],
    [`{"jti":"${'x'.repeat(3_000_000)}"}`, 413, 'The request body is too large.'],
    [
      '[{"jti":"a"},{"jti":"b"},{"jti":"c"},{"jti":"d"},{"jti":"e"},{"jti":"f"}]',
      507,
      expect.stringMatching(/^Nothing/),
    ],
  ])('refuses %.40s', async (body, status, message) => {
    const [code, answer] = await ask('POST', '', body)
    expect([code, answer['message']]).toEqual([status, message])
    expect(JSON.stringify(answer)).not.toContain('secret-b')
    expect((await ask('GET', ''))[1]['total']).toBe(0)
  })

  test('names the faults of a list, but not without end', async () => {
    const [, answer] = await ask('POST', '', JSON.stringify(Array.from({ length: 50 }, () => ({}))))
    expect(answer['faults']).toHaveLength(20)
    expect((answer['faults'] as string[])[19]).toMatch(/^item 20 needs one of/)
  })

  test('leaves out what is over already', async () => {
    const [status, answer] = await ask('POST', '', '[{"jti":"old","expires_at":5},{"jti":"new"},{"jti":"new"}]')
    expect([status, answer]).toMatchObject([200, { revoked: 1, expired: 1, workers: 0, stored: 'memory' }])
    expect((await ask('DELETE', '?jti=new'))[1]).toMatchObject({ restored: 1 })
  })
})

test.each([
  ['GET', '?limit=5000', 422, 'invalid_query'],
  ['GET', '?limit=-1', 422, 'invalid_query'],
  ['GET', '?offset=x', 422, 'invalid_query'],
  ['GET', '?colour=red', 422, 'invalid_query'],
  ['GET', '?__proto__=red', 422, 'invalid_query'],
  ['GET', '?token=secret', 422, 'invalid_query'],
  ['GET', '?jti=a&sub=b', 422, 'invalid_query'],
  ['DELETE', '', 422, 'invalid_query'],
  ['DELETE', '?jti=unknown', 404, 'not_revoked'],
  ['PUT', '', 405, 'method_not_allowed'],
])('%s /revocations%s: %i', async (method, query, status, error) => {
  const [code, answer] = await ask(method, query)
  expect([code, answer['error']]).toEqual([status, error])
  expect(JSON.stringify(answer)).not.toContain('secret')
})
