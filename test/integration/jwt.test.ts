import { createHmac } from 'node:crypto'
import { request } from 'undici'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RunningGateway, startGateway, stopGateways } from '../support/gateway.ts'
import { issuerKey, JwksServer } from '../support/jwks-server.ts'
import {
  asymmetricAlgorithms,
  audience,
  challenges,
  forgedToken,
  hmacAlgorithms,
  issuer,
  jwksText,
  signingKey,
  token,
  usualClaims,
} from '../support/token.ts'
import { type Echo, startUpstream, stopUpstreams, type TestUpstream } from '../support/upstream.ts'
import { Wire } from '../support/wire.ts'

const keys = new Map(asymmetricAlgorithms.map((algorithm) => [algorithm, signingKey(algorithm)]))
const rs256 = signingKey('RS256', 'RS256-key')
const es256 = signingKey('ES256', 'es')
const partner = signingKey('EdDSA', 'partner')
const secret = 'a secret that is long enough for HMACs with SHA-512, which wants 64 bytes'

let upstream: TestUpstream
let gateway: RunningGateway

interface Caught {
  readonly status: number
  readonly challenge: string | undefined
  readonly body: { readonly error?: string; readonly message?: string }
  /** What the upstream got; only for 200. */
  readonly echo: Echo
}

async function get(path: string, headers: Record<string, string> = {}, at = gateway): Promise<Caught> {
  const response = await request(at.url + path, { headers })
  const text = await response.body.text()
  const challenge = response.headers['www-authenticate'] as string | undefined
  const body = JSON.parse(text) as Caught['body'] & Echo
  return { status: response.statusCode, challenge, body, echo: body }
}

function bearer(text: string): { authorization: string } {
  return { authorization: `Bearer ${text}` }
}

/** The access log's line of the request to that path and query. */
function logged(path: string): Promise<Record<string, unknown>> {
  return gateway.waitFor(`the access log of ${path}`, () =>
    gateway.accessLog().findLast((line) => line['path'] === path),
  )
}

function route(name: string, config: object, more: object = {}): object {
  return { name, paths: [`/${name}/*`], upstream: 'service', plugins: [{ name: 'jwt', config }], ...more }
}

const trust = { issuer, audience, jwks: { file: './keys/jwks.json' } }

beforeAll(async () => {
  upstream = await startUpstream()
  gateway = await startGateway(
    {
      workers: 1,
      access_log: { path: 'stdout' },
      consumers: [{ id: 'known', name: 'Known', tier: 'gold', roles: ['of-the-file'] }],
      routes: [
        route('usual', trust),
        route('mapped', { ...trust, claims_to_headers: { sub: 'X-User-Id', role: 'X-User-Role', email: 'X-Mail' } }),
        route('shared', { issuer, audience, secret, algorithms: [...hmacAlgorithms] }),
        route('pem', { issuer, audience, public_key: es256.pem }),
        route('custom', { ...trust, status: 403, message: 'Unauthorized', realm: 'shop' }),
        route('places', { ...trust, from: [{ cookie: 'session' }, { query: 'access_token' }, { header: 'X-Token' }] }),
        route('optional', { ...trust, optional: true }),
        route('keeping', { ...trust, forward_token: true }),
        route('scoped', { ...trust, scopes: ['orders:read'] }),
        route('several', {
          issuers: [
            { issuer, audience, jwks: { file: './keys/jwks.json' } },
            { issuer: 'https://partner.example.com', jwks: { keys: [partner.jwk] }, algorithms: ['EdDSA'] },
          ],
        }),
        { name: 'open', paths: ['/open/*'], upstream: 'service' },
      ],
      upstreams: [{ name: 'service', targets: [{ target: upstream.address }] }],
    },
    { files: { 'keys/jwks.json': jwksText(...keys.values()) } },
  )
}, 60_000)

afterAll(async () => {
  await stopGateways()
  await stopUpstreams()
})

describe('a good token', () => {
  test.each(asymmetricAlgorithms)('signed with %s gets in, first and again', async (algorithm) => {
    const key = keys.get(algorithm)
    if (key === undefined) throw new Error('no key')
    const text = await token(key, { sub: `by-${algorithm}` })
    for (let i = 0; i < 2; i++) {
      const { status, echo } = await get('/usual/a', bearer(text))
      expect(status).toBe(200)
      expect(echo.headers).toMatchObject({ 'x-user-id': `by-${algorithm}` })
    }
  })

  test.each(hmacAlgorithms)('signed with %s gets in', async (algorithm) => {
    const key = { ...signingKey(algorithm), kid: 'any', privateKey: secret }
    const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
    const input = `${part({ alg: algorithm, kid: key.kid })}.${part(usualClaims())}`
    const signature = createHmac(algorithm.replace('HS', 'sha'), secret).update(input).digest('base64url')
    expect(await get('/shared/a', bearer(`${input}.${signature}`))).toMatchObject({ status: 200 })
  })

  test('verified with a PEM key gets in', async () => {
    expect(await get('/pem/a', bearer(await token(es256)))).toMatchObject({ status: 200 })
    expect(await get('/pem/a', bearer(await token(es256, {}, { kid: undefined })))).toMatchObject({ status: 200 })
  })

  test('of each of several issuers gets in, and of none in the name of another', async () => {
    const own = { iss: 'https://partner.example.com', aud: undefined }
    expect(await get('/several/a', bearer(await token(rs256)))).toMatchObject({ status: 200 })
    expect(await get('/several/a', bearer(await token(partner, own)))).toMatchObject({ status: 200 })
    expect(await get('/several/a', bearer(await token(partner)))).toMatchObject({ status: 401 })
    expect(await get('/several/a', bearer(await token(rs256, own)))).toMatchObject({ status: 401 })
  })

  test('never reaches the upstream, what it says does', async () => {
    const text = await token(rs256, { role: 'admin', email: 'zoë@example.com', scope: 'a b' })
    const { echo } = await get('/mapped/a', { ...bearer(text), 'x-other': '1' })
    expect(echo.headers).toMatchObject({ 'x-user-id': 'user-1', 'x-user-role': 'admin', 'x-other': '1' })
    expect(Buffer.from(String(echo.headers['x-mail']), 'latin1').toString()).toBe('zoë@example.com')
    expect(echo.headers).not.toHaveProperty('x-user-scopes')
    expect(JSON.stringify(echo)).not.toContain(text.slice(0, 20))
    expect(echo.headers).not.toHaveProperty('authorization')
  })

  test('reaches it where that is wanted', async () => {
    const text = await token(rs256)
    expect((await get('/keeping/a', bearer(text))).echo.headers['authorization']).toBe(`Bearer ${text}`)
  })

  test('is found in the stated places, and only it is taken away', async () => {
    const text = await token(rs256)
    const inCookie = await get('/places/a?q=1', { cookie: `a=1; session=${text}; b=2` })
    expect(inCookie.echo).toMatchObject({ url: '/places/a?q=1', headers: { cookie: 'a=1; b=2' } })
    const inQuery = await get(`/places/a?q=%201&access_token=${text}&r`)
    expect(inQuery.echo.url).toBe('/places/a?q=%201&r')
    const inHeader = await get('/places/a', { 'x-token': text, authorization: 'Basic dTpw' })
    expect(inHeader.echo.headers).toMatchObject({ authorization: 'Basic dTpw', 'x-user-id': 'user-1' })
    expect(inHeader.echo.headers).not.toHaveProperty('x-token')
    expect(await get('/places/a', bearer(text))).toMatchObject({ status: 401 })
  })

  test('of a consumer of the configuration: its roles where the token has none', async () => {
    const { echo } = await get('/usual/a', bearer(await token(rs256, { sub: 'known' })))
    expect(echo.headers).toMatchObject({ 'x-user-id': 'known', 'x-user-roles': 'of-the-file' })
  })
})

describe('identity that clients claim themselves', () => {
  const claimed = { 'x-user-id': 'root', 'X-User-Role': 'admin', 'x-user-roles': 'admin', 'x-mail': 'root@example.com' }

  test('is replaced by what the token says', async () => {
    const { echo } = await get('/usual/a', { ...claimed, ...bearer(await token(rs256)) })
    expect(echo.headers['x-user-id']).toBe('user-1')
    for (const name of ['x-user-role', 'x-user-roles', 'x-mail']) expect(echo.headers).not.toHaveProperty(name)
  })

  test.each(['/optional/a', '/open/a'])('is taken away on %s, where nobody is asked', async (path) => {
    const { echo, status } = await get(path, claimed)
    expect(status).toBe(200)
    for (const name of Object.keys(claimed)) expect(echo.headers).not.toHaveProperty(name.toLowerCase())
  })
})

describe('without a good token', () => {
  let calls = 0
  beforeAll(() => {
    calls = upstream.requests
  })
  afterAll(() => {
    expect(upstream.requests).toBe(calls)
  })

  test('the challenge says that one is needed, and no more', async () => {
    for (const headers of [{}, { authorization: 'Basic dTpw' }, { authorization: 'Bearer' }]) {
      const { status, challenge, body } = await get('/usual/none', headers)
      expect(status).toBe(401)
      expect(challenge).toBe(challenges.missing)
      expect(body).toMatchObject({ error: 'credentials_missing', message: 'Credentials are required.' })
    }
  })

  const now = Math.floor(Date.now() / 1000)

  test.each<[string, () => Promise<string>]>([
    ['expired', () => token(rs256, { exp: now - 60 })],
    ['exp_missing', () => token(rs256, { exp: undefined })],
    ['not_yet_valid', () => token(rs256, { nbf: now + 600 })],
    ['issuer_unknown', () => token(rs256, { iss: `${issuer}/` })],
    ['audience_mismatch', () => token(rs256, { aud: ['web', 'mobile'] })],
    ['consumer_claim_missing', () => token(rs256, { sub: undefined })],
    ['key_unknown', () => token(signingKey('ES256', 'nobody'))],
    ['signature_invalid', () => token(signingKey('ES256', 'ES256-key'))],
    ['signature_invalid', async () => (await token(rs256)).replace(/.{4}$/, 'AAAA')],
    ['malformed', async () => forgedToken({ alg: 'none' }, usualClaims(), null)],
    ['algorithm_not_allowed', async () => forgedToken({ alg: 'none' }, usualClaims(), rs256)],
    ['algorithm_not_allowed', () => token(signingKey('HS256', 'RS256-key'))],
    ['type_not_allowed', () => token(rs256, {}, { typ: 'logout+jwt' })],
    ['malformed', () => Promise.resolve('undefined')],
    ['too_large', () => token(rs256, { padding: 'x'.repeat(9000) })],
  ])('%s: one answer for all, the reason in the log only', async (reason, make) => {
    const path = `/usual/${reason}/${Math.random()}`
    const { status, challenge, body } = await get(path, bearer(await make()))
    expect(status).toBe(401)
    expect(challenge).toBe(challenges.invalid)
    expect(body).toMatchObject({ error: 'credentials_invalid', message: 'The credentials are not valid.' })
    expect(await logged(path)).toMatchObject({ failure: 'credentials_invalid', failure_detail: reason })
  })

  test('a public key taken for a secret gets nobody in', async () => {
    const input = [{ alg: 'HS256', kid: 'RS256-key' }, usualClaims()]
      .map((value) => Buffer.from(JSON.stringify(value)).toString('base64url'))
      .join('.')
    for (const stolen of [rs256.pem, rs256.pem.trim(), JSON.stringify(rs256.jwk), '']) {
      const text = `${input}.${createHmac('sha256', stolen).update(input).digest('base64url')}`
      expect(await get('/usual/a', bearer(text))).toMatchObject({ status: 401, challenge: challenges.invalid })
    }
  })

  test('two tokens are a malformed request', async () => {
    const wire = await Wire.open(gateway.port)
    const text = await token(rs256)
    for (const [first, second] of [
      [`Bearer ${text}`, `Bearer ${text}`],
      ['Basic dTpw', `Bearer ${text}`],
      [`Bearer ${text}`, 'Bearer x'],
    ]) {
      wire.request('GET /usual/two', [`Authorization: ${first}`, `authorization: ${second}`])
      const response = await wire.response()
      expect(response?.status).toBe(400)
      expect(response?.field('www-authenticate')).toBe(challenges.repeated)
    }
    wire.socket.destroy()
  })

  test('status, message and realm are the operator\u2019s', async () => {
    expect(await get('/custom/a')).toMatchObject({
      status: 403,
      challenge: 'Bearer realm="shop"',
      body: { error: 'credentials_missing', message: 'Unauthorized' },
    })
    expect(await get('/custom/a', bearer('nonsense'))).toMatchObject({
      status: 403,
      challenge: 'Bearer realm="shop", error="invalid_token"',
      body: { error: 'credentials_invalid', message: 'Unauthorized' },
    })
  })

  test('a scope that lacks is told', async () => {
    const answer = await get('/scoped/lacking', bearer(await token(rs256, { scope: 'orders:write' })))
    expect(answer).toMatchObject({
      status: 403,
      challenge: 'Bearer realm="api", error="insufficient_scope", scope="orders:read"',
      body: { error: 'access_denied' },
    })
    expect(await logged('/scoped/lacking')).toMatchObject({ failure_detail: 'insufficient_scope' })
  })

  test('optional is for those who have none, not for bad ones', async () => {
    expect(await get('/optional/a', bearer(await token(rs256, { exp: 1 })))).toMatchObject({ status: 401 })
  })
})

test('the access log names the caller; no log names a token', async () => {
  const text = await token(rs256, { sub: 'logged-in' })
  await get('/usual/logged', bearer(text))
  const line = await logged('/usual/logged')
  expect(line).toMatchObject({ status: 200, consumer: 'logged-in' })
  expect(gateway.output()).not.toContain(text.split('.')[1])
  expect(gateway.output()).not.toContain(secret)
})

describe('a reload', () => {
  const config = (rules: object) => ({
    workers: 2,
    access_log: 'off',
    routes: [route('api', { issuer, audience, jwks: { file: './jwks.json' }, ...rules })],
    upstreams: [{ name: 'service', targets: [{ target: upstream.address }] }],
  })

  test('with other rules counts at once, also for tokens that were let in before', async () => {
    const running = await startGateway(config({}), { files: { 'jwks.json': jwksText(es256) } })
    const text = await token(es256, { plan: 'free' })
    const status = async (): Promise<number> => (await get('/api/a', bearer(text), running)).status
    for (let i = 0; i < 4; i++) expect(await status()).toBe(200)
    expect(await running.reload(config({ claims: { plan: 'paid' } }))).toMatchObject({ status: 200 })
    for (let i = 0; i < 4; i++) expect(await status()).toBe(401)
    expect(await running.reload(config({}))).toMatchObject({ status: 200 })
    for (let i = 0; i < 4; i++) expect(await status()).toBe(200)
  }, 60_000)

  test('comes by itself when a file of keys changes', async () => {
    const files = { 'jwks.json': jwksText(es256) }
    const running = await startGateway(config({}), { files })
    const [old, young] = [await token(es256), await token(partner)]
    expect(await get('/api/a', bearer(old), running)).toMatchObject({ status: 200 })
    expect(await get('/api/a', bearer(young), running)).toMatchObject({ status: 401 })
    const { version } = (await running.status()).configuration
    running.write('jwks.json', jwksText(partner))
    await running.until('reloaded', (status) => status.configuration.version > version)
    expect(await get('/api/a', bearer(old), running)).toMatchObject({ status: 401 })
    expect(await get('/api/a', bearer(young), running)).toMatchObject({ status: 200 })
  }, 60_000)

  test('with keys that can not be read changes nothing', async () => {
    const running = await startGateway(config({}), { files: { 'jwks.json': jwksText(es256) } })
    const answer = await running.reload(config({ jwks: { file: './absent.json' } }))
    expect(answer.status).toBe(422)
    expect(answer.faults.join()).toContain("config.jwks.file: the file ./absent.json can't be read: no such file")
    expect(await get('/api/a', bearer(await token(es256)), running)).toMatchObject({ status: 200 })
  }, 60_000)
})

test('keys behind a URL: fetched, and fetched again for one that is new', async () => {
  const [first, second] = [issuerKey('first'), issuerKey('second')]
  const jwks = await JwksServer.start([first])
  const running = await startGateway({
    workers: 2,
    access_log: 'off',
    routes: [route('api', { issuer, audience, jwks: { url: jwks.url, cooldown: '100ms' } })],
    upstreams: [{ name: 'service', targets: [{ target: upstream.address }] }],
  })
  const signed = (key: typeof first): Promise<string> => token({ ...signingKey('ES256', key.kid), ...key })
  for (let i = 0; i < 4; i++) {
    expect(await get('/api/a', bearer(await signed(first)), running)).toMatchObject({ status: 200 })
  }
  jwks.publish([first, second])
  for (let i = 0; i < 4; i++) {
    expect(await get('/api/a', bearer(await signed(second)), running)).toMatchObject({ status: 200 })
  }
}, 60_000)
