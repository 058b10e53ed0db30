import { createHmac } from 'node:crypto'
import { type InnerList, parseDictionary } from 'structured-headers'
import type { RequestContext } from '../../src/core/context.ts'
import type { Deps, KnownConsumer, Verdict } from '../../src/core/plugin.ts'
import { hmacAuth } from '../../src/plugins/hmac-auth/plugin.ts'
import { signedText } from '../../src/plugins/hmac-auth/signed-text.ts'
import { access, compile, depsOf, request } from './plugin.ts'

/** A request that is signed, and hmac-auth to check it with. */

export const secret = 'a secret of thirty-two bytes or more'
export const keys = [{ id: 'k1', consumer: 'acme', secret }]

/** What most signatures here cover, and their parameters at the time `now` (seconds). */
export const now = 1_800_000_000
export const usual = '("@method" "@authority" "@path" "@query")'
export const parameters = `;created=${now};keyid="k1"`

/** `kind:value` of what is revoked. */
export const revoked = new Set<string>()

interface More {
  readonly consumers?: readonly KnownConsumer[]
  readonly configDir?: string
}

/** What hmac-auth says of a request. */
export function check(config: object, ctx: RequestContext, { consumers = [], configDir = '/' }: More = {}): Verdict {
  const { services } = depsOf()
  const deps: Partial<Deps> = {
    configDir,
    consumers: new Map(consumers.map((consumer) => [consumer.id, consumer])),
    services: { ...services, revocations: { generation: 0, has: (kind, value) => revoked.has(`${kind}:${value}`) } },
  }
  return access(compile(hmacAuth, config, {}, deps), ctx)
}

export function message(fields: Partial<RequestContext> = {}): RequestContext {
  return request({
    method: 'POST',
    scheme: 'https',
    authority: 'API.example.com:443',
    path: '/orders',
    query: 'a=b',
    ...fields,
    headers: ['content-type', 'application/json', 'date', 'Fri, 15 Jan 2027 08:00:00 GMT', ...(fields.headers ?? [])],
  })
}

/** Gives the signature of a text. */
export type Sign = (base: string) => Buffer

export const hmac: Sign = (base) => createHmac('sha256', secret).update(base).digest()

/** The list of components of a signature, as it stands in its field behind the label. */
export function componentsOf(input: string): InnerList {
  return parseDictionary(`sig=${input}`).get('sig') as InnerList
}

/** The same request with a signature; `input` as the field has it, without label. */
export function signed(ctx: RequestContext, input: string, sign: Sign = hmac, label = 'sig'): RequestContext {
  const base = signedText(ctx, componentsOf(input))
  if (base === null) throw new Error('there is nothing to sign')
  ctx.headers.push('signature-input', `${label}=${input}`, 'signature', `${label}=:${sign(base).toString('base64')}:`)
  return ctx
}
