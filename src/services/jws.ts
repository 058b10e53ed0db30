import { isUtf8 } from 'node:buffer'
import { type Claims, TokenFault, type TokenHeader } from '../core/services/tokens.ts'
import { tokenFaults } from './token-faults.ts'

/** A signed token, read and not yet believed. */
export interface Jws {
  readonly header: TokenHeader
  readonly claims: Claims
}

/** Nothing that people sign nests deeper, and what counts members may recurse. */
const maxDepth = 32

/** Media types that a token may have (RFC 7519 §5.1, RFC 9068 §2.1); `application/` may be left out (RFC 7515 §4.1.9). */
const types: ReadonlySet<string> = new Set(['jwt', 'at+jwt', 'application/jwt', 'application/at+jwt'])

/**
 * Reads a JWS in compact serialization (RFC 7515 §7.1) whose payload is a claims set. Stricter than the RFC where leniency would let
 * two texts mean the same token: base64url must be canonical, members must not repeat. Keys that a token brings along or points to
 * (`jwk`, `jku`, `x5c`, `x5u`) are never looked at.
 */
export function readJws(token: string): Jws | TokenFault {
  const first = token.indexOf('.')
  const second = token.indexOf('.', first + 1)
  if (first === -1 || second === -1 || token.indexOf('.', second + 1) !== -1) return tokenFaults.malformed
  if (!isCanonical(token.slice(second + 1))) return tokenFaults.malformed
  const members = readObject(token.slice(0, first))
  if (members instanceof TokenFault) return members
  const header = readHeader(members)
  if (header instanceof TokenFault) return header
  const claims = readObject(token.slice(first + 1, second))
  return claims instanceof TokenFault ? claims : { header, claims }
}

/** Whether text is base64url as an encoder writes it: without padding, foreign characters or stray bits at the end. */
function isCanonical(part: string): boolean {
  return part !== '' && Buffer.from(part, 'base64url').toString('base64url') === part
}

function readHeader(members: Readonly<Record<string, unknown>>): TokenHeader | TokenFault {
  const { alg, kid, typ, crit, b64 } = members
  if (crit !== undefined || (b64 !== undefined && b64 !== true)) return tokenFaults.extensionNotSupported
  if (typeof alg !== 'string' || (kid !== undefined && typeof kid !== 'string')) return tokenFaults.malformed
  if (typ !== undefined && typ !== 'JWT') {
    if (typeof typ !== 'string') return tokenFaults.malformed
    if (!types.has(typ.toLowerCase())) return tokenFaults.typeNotAllowed
  }
  return { alg, kid: kid ?? null, typ: typ ?? null }
}

function readObject(part: string): Readonly<Record<string, unknown>> | TokenFault {
  const bytes = Buffer.from(part, 'base64url')
  if (part === '' || bytes.toString('base64url') !== part || !isUtf8(bytes)) return tokenFaults.malformed
  const text = bytes.toString()
  const written = countWritten(text)
  if (written === -1) return tokenFaults.malformed
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return tokenFaults.malformed
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return tokenFaults.malformed
  // JSON.parse keeps the last of two members with one name; another reader may keep the first.
  return countMembers(value) === written ? (value as Record<string, unknown>) : tokenFaults.duplicateMember
}

const [quote, backslash, colon] = [0x22, 0x5c, 0x3a]

/** How many members JSON text writes, over all its objects: each has one colon outside of strings. -1: it nests too deep. */
function countWritten(text: string): number {
  let count = 0
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === quote) {
      for (i++; i < text.length && text.charCodeAt(i) !== quote; i++) if (text.charCodeAt(i) === backslash) i++
    } else if (code === colon) {
      count++
    } else if (code === 0x7b || code === 0x5b) {
      if (++depth > maxDepth) return -1
    } else if (code === 0x7d || code === 0x5d) {
      depth--
    }
  }
  return count
}

function countMembers(value: object): number {
  let count = 0
  const isList = Array.isArray(value)
  for (const name in value) {
    if (!isList) count++
    const member = (value as Record<string, unknown>)[name]
    if (typeof member === 'object' && member !== null) count += countMembers(member)
  }
  return count
}
