import type { RejectionCode } from '../../core/errors.ts'
import { hexValue } from './text.ts'

/**
 * What becomes of a path that can be read in more than one way: `normalize` gives it the one reading that is then both
 * matched and forwarded, `reject` refuses it.
 */
export type PathPolicy = 'normalize' | 'reject'

/** Why a path is refused: a code of the catalogue. */
export type PathFault = Extract<RejectionCode, 'bad_path' | 'ambiguous_path'>

const badPath: PathFault = 'bad_path'
const ambiguousPath: PathFault = 'ambiguous_path'

const percent = 0x25
const dot = 0x2e
const slash = 0x2f
const semicolon = 0x3b
const backslash = 0x5c

/** 1 for a character that means itself wherever it stands, 0 for one that needs a closer look or is refused. */
const plain = new Uint8Array(0x80)
for (let c = 0x21; c < 0x7f; c++) plain[c] = '#%./;?\\'.includes(String.fromCharCode(c)) ? 0 : 1

/** 1 for the unreserved characters (RFC 3986 §2.3): the same with and without percent-encoding. */
const unreserved = new Uint8Array(0x80)
for (const c of Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~')) unreserved[c] = 1

const upperHex = Buffer.from('0123456789ABCDEF')

/** Rewritten paths are built here; the rewritten form is never longer than the raw one. */
let scratch = Buffer.allocUnsafe(16_384)

/**
 * The path that is both matched and forwarded, or the `PathFault` for which the request is refused: a path begins with
 * `/`, a fault does not (`isPathFault`). `raw` is the path of the request target, without the query.
 *
 * `bad_path`: does not begin with `/`; anything but visible ASCII; `#` or `?`; a `%` without two hexadecimal digits; an
 * encoded control character.
 *
 * `normalize`: `\`, `%5c` and `%2f` become `/`; encoded unreserved characters are decoded, other triplets get
 * upper-case digits (RFC 3986 §6.2.2); runs of `/` collapse; dot segments are removed (§5.2.4). `reject` does what
 * leaves the segments as they are, and answers `ambiguous_path` to the rest.
 *
 * `ambiguous_path` under both: a path that climbs above the root; a segment that is empty or a dot segment once its
 * `;parameters` are gone (`/..;/`: servlet containers strip them first); `.`, `/` and `\` encoded twice or more
 * (`%252e`) or as overlong UTF-8 (`%c0%af`).
 *
 * Normalising a result again changes nothing.
 */
export function normalizePath(raw: string, policy: PathPolicy): string {
  const length = raw.length
  if (length === 0 || raw.charCodeAt(0) !== slash) return badPath
  let afterSlash = true
  // The ordinary path is scanned once and returned as it is. Whatever may need a change goes to `rewrite`, which alone
  // knows the rules (bench/micro/trie.bench.ts: normalizePath).
  for (let i = 1; i < length; i++) {
    const c = raw.charCodeAt(i)
    if (c < 0x80 && plain[c] === 1) afterSlash = false
    else if (c === slash) {
      if (afterSlash) return rewrite(raw, policy)
      afterSlash = true
    } else if (c === dot || c === semicolon) {
      if (afterSlash && (c === semicolon || plain[raw.charCodeAt(i + 1)] !== 1)) return rewrite(raw, policy)
      afterSlash = false
    } else return rewrite(raw, policy)
  }
  return raw
}

/** Whether `normalizePath` answered with a fault. */
export function isPathFault(result: string): result is PathFault {
  return result.charCodeAt(0) !== slash
}

/** Whether a raw query (without `?`) holds visible ASCII only and no `#`. What it encodes is up to the upstream. */
export function validQuery(raw: string): boolean {
  for (let i = 0; i < raw.length; i++) {
    const c = raw.charCodeAt(i)
    if (c < 0x21 || c > 0x7e || c === 0x23) return false
  }
  return true
}

function rewrite(raw: string, policy: PathPolicy): string {
  if (scratch.length < raw.length) scratch = Buffer.allocUnsafe(raw.length)
  const out = scratch
  const rejecting = policy === 'reject'
  out[0] = slash
  let length = 1
  let segment = 1
  let i = 1
  while (i < raw.length) {
    let c = raw.charCodeAt(i)
    let separator = c === slash
    if (c === percent) {
      c = hexValue(raw.charCodeAt(i + 1)) * 16 + hexValue(raw.charCodeAt(i + 2))
      // NaN (a missing digit) fails the comparison too.
      if (!(c > 0x1f) || c === 0x7f) return badPath
      i += 3
      if (c === slash || c === backslash) {
        if (rejecting) return ambiguousPath
        separator = true
      } else if (unreserved[c] !== 1) {
        out[length++] = percent
        out[length++] = upperHex[c >> 4] as number
        out[length++] = upperHex[c & 15] as number
        continue
      }
    } else {
      if (c < 0x21 || c > 0x7e || c === 0x23 || c === 0x3f) return badPath
      i++
      if (c === backslash) {
        if (rejecting) return ambiguousPath
        separator = true
      }
    }
    if (!separator) {
      out[length++] = c
      continue
    }
    const end = closeSegment(out, segment, length)
    if (end < 0 || (rejecting && (end !== length || end === segment))) return ambiguousPath
    // An emptied segment leaves the slash that stands before it; a further one would double it.
    if (end === length && end > segment) out[length++] = slash
    else length = end
    segment = length
  }
  const end = closeSegment(out, segment, length)
  if (end < 0 || (rejecting && end !== length)) return ambiguousPath
  return out.toString('latin1', 0, end)
}

/**
 * Ends the segment `[start, end)`. Returns where writing goes on, which is before `end` when it was a dot segment, or
 * -1 when it can be read in more than one way.
 */
function closeSegment(out: Uint8Array, start: number, end: number): number {
  if (start === end) return end
  let name = start
  while (name < end && name < start + 2 && out[name] === dot) name++
  if (name === end) {
    if (end === start + 1) return start
    return start === 1 ? -1 : previousSegment(out, start)
  }
  if (out[name] === semicolon || isTriplet(out, name, 0x33, 0x42)) return -1
  for (let i = start; i + 4 < end; i++) {
    if (out[i] === percent && hidesSeparator(out, i, end)) return -1
  }
  return end
}

function previousSegment(out: Uint8Array, start: number): number {
  let i = start - 1
  while (out[i - 1] !== slash) i--
  return i
}

/** Whether the triplet at `i` wraps a `.`, `/` or `\` that is encoded twice or more, or begins overlong UTF-8. */
function hidesSeparator(out: Uint8Array, i: number, end: number): boolean {
  if (isTriplet(out, i, 0x32, 0x35)) {
    let hidden = i + 3
    while (out[hidden] === 0x32 && out[hidden + 1] === 0x35 && hidden + 2 < end) hidden += 2
    if (hidden + 1 >= end) return false
    const byte = hexValue(out[hidden] as number) * 16 + hexValue(out[hidden + 1] as number)
    return byte === dot || byte === slash || byte === backslash
  }
  if (out[i + 3] !== percent) return false
  const lead = hexValue(out[i + 1] as number) * 16 + hexValue(out[i + 2] as number)
  const next = hexValue(out[i + 4] as number) * 16 + hexValue(out[i + 5] as number)
  if (next < 0x80 || next > 0xbf) return false
  return lead === 0xc0 || lead === 0xc1 || (lead === 0xe0 && next < 0xa0) || (lead === 0xf0 && next < 0x90)
}

function isTriplet(out: Uint8Array, i: number, high: number, low: number): boolean {
  return out[i] === percent && out[i + 1] === high && out[i + 2] === low
}
