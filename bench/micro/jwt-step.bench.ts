import { createSecretKey, hash } from 'node:crypto'
import { SignJWT } from 'jose'
import { RequestContext } from '../../src/core/context.ts'
import type { Deps, Kept } from '../../src/core/plugin.ts'
import { noInstruments } from '../../src/core/services/instruments.ts'
import { servicesAtRest } from '../../src/core/services/services.ts'
import { CredentialReader } from '../../src/plugins/credential.ts'
import { jwt } from '../../src/plugins/jwt/plugin.ts'
import { TokenVerifierStore } from '../../src/services/token-verifier-store.ts'

const log = { info() {}, warn() {}, error() {} }
const secret = 's'.repeat(64)
const kept = new Map<string, Kept>()
const store = new TokenVerifierStore({ instruments: noInstruments, log, link: { send() {}, on() {} } })
const tokens = store.open(<T extends Kept>(key: string, make: () => T): T => {
  const thing = kept.get(key) ?? make()
  kept.set(key, thing)
  return thing as T
})

const deps: Deps = {
  route: { name: 'bench', paramNames: [], methods: [], upstream: null },
  configDir: '/',
  global: false,
  scope: 'route/bench',
  log,
  services: { ...servicesAtRest, tokens, revocations: { generation: 1, has: () => false } },
  consumers: new Map(),
  keep: (_key, make) => make(),
}

/** As long as a token of an identity provider with an RS256 signature. */
const padding = 'x'.repeat(300)
const token = await new SignJWT({ sub: 'user-1234567', role: 'admin', roles: ['a', 'b'], scope: 'read write', padding })
  .setProtectedHeader({ alg: 'HS256', kid: 'bench' })
  .setIssuer('https://auth.example.com')
  .setAudience('api.example.com')
  .setIssuedAt()
  .setExpirationTime('1h')
  .sign(createSecretKey(Buffer.from(secret)))
const field = `Bearer ${token}`

/** The front end makes a new string for each request: nothing of it is remembered from the last time. */
const bytes = Buffer.from(field, 'latin1')

function request(): RequestContext {
  const ctx = new RequestContext()
  ctx.method = 'GET'
  ctx.path = '/api/users/7'
  ctx.headers = ['accept', '*/*', 'user-agent', 'bench', 'authorization', bytes.toString('latin1'), 'x-a', '1']
  return ctx
}

function running(config: object): () => void {
  const { access } = jwt.create(
    jwt.schema.parse({ issuer: 'https://auth.example.com', audience: 'api.example.com', secret, ...config }),
    deps,
  )
  return () => {
    const ctx = request()
    if (access?.(ctx) !== undefined || ctx.consumer === null) throw new Error('refused')
  }
}

const reader = new CredentialReader([{ in: 'header', name: 'authorization', scheme: 'bearer' }])

export const suite = {
  name: `jwt step, token of ${token.length} bytes that is known`,
  cases: {
    'new request alone': () => {
      if (request().headers.length !== 8) throw new Error('not made')
    },
    'and its token read': () => {
      if (reader.read(request()) !== token) throw new Error('not found')
    },
    'and SHA-256 of it': () => {
      if (hash('sha256', reader.read(request()) as string).length !== 64) throw new Error('no hash')
    },
    'the whole step': running({}),
    'the whole step, claims mapped': running({ claims_to_headers: { sub: 'X-User-Id', role: 'X-User-Role' } }),
  },
}
