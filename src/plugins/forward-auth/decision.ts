import type { AccessContext } from '../../core/context.ts'
import type { Rejection } from '../../core/errors.ts'
import { getHeader, getHeaderJoined, isFieldValue, removeHeader, setHeader } from '../../core/headers.ts'
import type { KnownConsumer, LocalReply, Verdict } from '../../core/plugin.ts'
import { type HttpAnswer, HttpFault } from '../../core/services/http.ts'
import { toText } from '../field-text.ts'
import { consumerOf, type Proof } from '../identity.ts'
import { nonsense, refusalOf, undecided } from '../service-refusal.ts'
import { clientFields } from './client-fields.ts'
import type { Config } from './schema.ts'

/** The service lets the request pass. */
export interface Allowed {
  /** What the upstream gets in the fields of `response_headers`, in their order; `null`: the answer has no such field. */
  readonly values: readonly (string | null)[]
  readonly proof: Proof | null
}

export type Decision = Allowed | Rejection | LocalReply

export function isAllowed(decision: Decision): decision is Allowed {
  return 'values' in decision
}

const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])

/** What an answer of the service means. Whatever is not plainly a yes is a no. */
export function decide(config: Config, answer: HttpAnswer | HttpFault): Decision {
  if (answer instanceof HttpFault) return refusalOf(answer)
  const { status, headers } = answer
  if (status >= 200 && status < 300) return allow(config, answer)
  if (status === 401 || status === 403) return passOn(config, answer)
  if (!redirects.has(status)) return undecided(status)
  return getHeader(headers, 'location') === undefined ? nonsense : passOn(config, answer)
}

function allow({ response_headers, consumer }: Config, { headers }: HttpAnswer): Decision {
  const values: (string | null)[] = []
  for (const name of response_headers) {
    const value = valueOf(headers, name)
    if (value === undefined) return nonsense
    values.push(value)
  }
  if (consumer === undefined) return { values, proof: null }
  const proof = proofOf(consumer, headers)
  return proof === null ? nonsense : { values, proof }
}

/** `null` when there is no such field, `undefined` when what is in it can't be passed on. */
function valueOf(headers: readonly string[], name: string | undefined): string | null | undefined {
  const bytes = name === undefined ? undefined : getHeaderJoined(headers, name)
  if (bytes === undefined) return null
  const text = toText(bytes)
  return text === null || !isFieldValue(text) ? undefined : text
}

function proofOf(fields: NonNullable<Config['consumer']>, headers: readonly string[]): Proof | null {
  const word = (name: string | undefined): string | null => valueOf(headers, name)?.trim() || null
  const words = (name: string | undefined, separator: RegExp): readonly string[] | null => {
    const list = word(name)
    return list === null ? null : list.split(separator).filter((item) => item !== '')
  }
  const id = word(fields.id)
  if (id === null) return null
  return {
    id,
    name: word(fields.name),
    tier: word(fields.tier),
    tenant: word(fields.tenant),
    groups: words(fields.groups, /\s*,\s*/),
    roles: words(fields.roles, /\s*,\s*/),
    scopes: words(fields.scopes, /[\s,]+/),
  }
}

/** The client gets what the service says to it, of the fields only those that are meant for it. */
function passOn({ client_headers }: Config, { status, headers, body }: HttpAnswer): LocalReply {
  const passed: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    if (client_headers.includes(headers[i] as string)) passed.push(headers[i] as string, headers[i + 1] as string)
  }
  // It was asked for plain text; what it compressed all the same can't be passed on without saying so.
  const isPlain = (getHeader(headers, 'content-encoding') ?? 'identity') === 'identity'
  return { status, headers: passed, body: isPlain ? body : '' }
}

/** Makes the function that carries a decision out on a request. */
export function enforcing(
  config: Config,
  known: ReadonlyMap<string, KnownConsumer>,
): (ctx: AccessContext, decision: Decision) => Verdict {
  const { response_headers: names, request_headers, forward_credentials } = config
  const dropped = forward_credentials
    ? []
    : ['authorization', 'x-api-key'].filter((name) => request_headers.includes(name))

  return (ctx, decision) => {
    if (!isAllowed(decision)) return decision
    const { values, proof } = decision
    for (let i = 0; i < dropped.length; i++) removeHeader(ctx.headers, dropped[i] as string)
    for (let i = 0; i < names.length; i++) {
      const name = names[i] as string
      const value = values[i] as string | null
      if (value !== null) setHeader(ctx.headers, name, value)
      // Nobody took away what the client sent here.
      else if (clientFields.has(name)) removeHeader(ctx.headers, name)
    }
    if (proof !== null && ctx.consumer === null) ctx.consumer = consumerOf(proof, known)
    return undefined
  }
}
