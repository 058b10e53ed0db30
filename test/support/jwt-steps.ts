import type { RequestContext } from '../../src/core/context.ts'
import { isRejection, type KnownConsumer, type Steps, type Verdict } from '../../src/core/plugin.ts'
import { noInstruments } from '../../src/core/services/instruments.ts'
import type { RevocationKind, Revocations } from '../../src/core/services/revocations.ts'
import { type Services, servicesAtRest } from '../../src/core/services/services.ts'
import { jwt } from '../../src/plugins/jwt/plugin.ts'
import { TokenVerifierStore } from '../../src/services/token-verifier-store.ts'
import { compile, request } from './plugin.ts'
import { audience, challenges, issuer, signingKey } from './token.ts'

/** HMACs are checked at once; that every algorithm gets in, test/integration/jwt.test.ts shows. */
export const key = signingKey('HS256')
export const secret = Buffer.from(key.jwk.k as string, 'base64url').toString()
export const trust = { issuer, audience, secret }

const kept = new Map<string, { close?(): void }>()
const store = new TokenVerifierStore({
  instruments: noInstruments,
  log: { info() {}, warn() {}, error() {} },
  link: { send() {}, on() {} },
})
const tokens = store.open((name, make) => {
  const thing = kept.get(name) ?? make()
  kept.set(name, thing)
  return thing as ReturnType<typeof make>
})
/** For `afterAll`. */
export function closeVerifiers(): void {
  for (const thing of kept.values()) thing.close?.()
}

/** A list that a test writes itself. */
export class RevokedByTest implements Revocations {
  generation = 0
  asked = 0
  readonly #entries = new Map<string, number>()

  has(kind: RevocationKind, value: string, issuedAt = 0): boolean {
    this.asked++
    return issuedAt < (this.#entries.get(`${kind}:${value}`) ?? -1)
  }

  add(kind: RevocationKind, value: string, before = Infinity): void {
    this.#entries.set(`${kind}:${value}`, before)
    this.generation++
  }

  clear(): void {
    this.#entries.clear()
    this.generation++
  }
}

interface Surroundings {
  readonly consumers?: ReadonlyMap<string, KnownConsumer>
  readonly services?: Partial<Services>
}

/** The steps of the plugin with the real verifier. */
export function steps(config: object = {}, { consumers = new Map(), services = {} }: Surroundings = {}): Steps {
  return compile(
    jwt,
    { ...trust, ...config },
    {},
    {
      consumers,
      services: { ...servicesAtRest, tokens, revocations: new RevokedByTest(), ...services },
    },
  )
}

/** A request with that token. */
export function bearing(text: string, fields: Partial<RequestContext> = {}): RequestContext {
  return request({ headers: ['accept', '*/*', 'authorization', `Bearer ${text}`, 'x-last', '1'], ...fields })
}

export async function verdictOf(made: Steps, ctx: RequestContext): Promise<Verdict> {
  return made.access?.(ctx)
}

/** The refusal as `code status challenge detail`; `in` for who gets in. */
export async function outcome(made: Steps, ctx: RequestContext): Promise<string> {
  const verdict = await verdictOf(made, ctx)
  if (verdict === undefined) return 'in'
  if (!isRejection(verdict)) return 'answered'
  return [verdict.code, verdict.status, verdict.headers[1] ?? '-', verdict.detail ?? '-'].join(' | ')
}

export const invalid = (detail: string): string => `credentials_invalid | 401 | ${challenges.invalid} | ${detail}`
export const missing = `credentials_missing | 401 | ${challenges.missing} | -`
export const repeated = `credentials_invalid | 400 | ${challenges.repeated} | token_repeated`
