import type { AccessContext, Consumer } from '../core/context.ts'
import { type HeaderList, hasHeader, isFieldValue } from '../core/headers.ts'
import type { KnownConsumer } from '../core/plugin.ts'

/** What a credential says of who sent it. What is left out or `null` it does not say. */
export interface Proof {
  readonly id: string
  readonly name?: string | null
  readonly tier?: string | null
  readonly tenant?: string | null
  readonly groups?: readonly string[] | null
  readonly roles?: readonly string[] | null
  readonly scopes?: readonly string[] | null
  /** The id of an API key, a user name; never a secret. */
  readonly credential?: string | null
}

const none: readonly string[] = Object.freeze([])

/** Who sent a credential: what the credential itself does not say, a consumer of that id in the configuration does. */
export function consumerOf(proof: Proof, known: ReadonlyMap<string, KnownConsumer>): Consumer {
  const consumer = known.get(proof.id)
  return {
    id: proof.id,
    name: proof.name ?? consumer?.name ?? null,
    tier: proof.tier ?? consumer?.tier ?? null,
    tenant: proof.tenant ?? consumer?.tenant ?? null,
    groups: proof.groups ?? consumer?.groups ?? none,
    roles: proof.roles ?? consumer?.roles ?? none,
    scopes: proof.scopes ?? consumer?.scopes ?? none,
    credential: proof.credential ?? null,
    anonymous: false,
  }
}

/**
 * Adds a field that tells a service who calls. Lists are joined with commas, objects written as JSON; of what is `null`, `undefined`
 * or empty nothing is added. False, and nothing is added, when the value can't stand in a field as it is: the caller must refuse the
 * request, for a service must not see somebody else, or nobody, in its place.
 */
export function addIdentity(headers: HeaderList, name: string, value: unknown): boolean {
  const text = textOf(value)
  if (text === '') return true
  // Space at the ends is no part of a field's value (RFC 9110 §5.5): " root" would arrive as "root".
  if (!isFieldValue(text) || text.trim() !== text || loneSurrogate.test(text)) return false
  headers.push(name, text)
  return true
}

/**
 * Puts identity headers that are ready (flat, made by `addIdentity`) into the request. Of two plugins that accept it the first says
 * who it is: what it has put in stays. Call it before `ctx.consumer` is written.
 */
export function injectIdentity(ctx: Pick<AccessContext, 'headers' | 'consumer'>, identity: Readonly<HeaderList>): void {
  const { headers } = ctx
  const isFirst = ctx.consumer === null
  for (let i = 0; i < identity.length; i += 2) {
    const name = identity[i] as string
    if (isFirst || !hasHeader(headers, name)) headers.push(name, identity[i + 1] as string)
  }
}

/** Half a character: it would arrive as U+FFFD, like any other half. */
const loneSurrogate = /\p{Surrogate}/u

function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (value === null || value === undefined) return ''
  if (!Array.isArray(value) || value.some(isNested)) return JSON.stringify(value)
  return value.map((item) => listItem(textOf(item))).join(',')
}

function isNested(item: unknown): boolean {
  return typeof item === 'object' && item !== null
}

/** One role must not look like two: a comma in it is written as `%2C` (and a percent sign as `%25`). */
function listItem(text: string): string {
  return text.includes(',') || text.includes('%') ? text.replaceAll('%', '%25').replaceAll(',', '%2C') : text
}
