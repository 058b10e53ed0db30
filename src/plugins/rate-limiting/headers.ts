import type { ResponseContext } from '../../core/context.ts'
import type { HeaderList } from '../../core/headers.ts'
import type { ResponseStep } from '../../core/plugin.ts'
import { type Admission, type Limit, titleOf } from '../../core/services/limits.ts'
import type { HeaderStyle } from './schema.ts'

/**
 * The response step that tells clients about their limits, those that were checked before the route was matched included.
 * What the upstream says of limits of its own goes: two voices would confuse.
 */
export function limitHeaders(styles: readonly HeaderStyle[]): ResponseStep | undefined {
  if (styles.length === 0) return undefined
  const writers = styles.map((style) => writerOf(style))
  const [only] = writers
  if (only !== undefined && writers.length === 1) {
    return (ctx) => {
      removeLimitHeaders(ctx.responseHeaders)
      if (findTightest(ctx)) only(ctx.responseHeaders, ctx)
    }
  }
  return (ctx) => {
    removeLimitHeaders(ctx.responseHeaders)
    if (!findTightest(ctx)) return
    for (let i = 0; i < writers.length; i++) (writers[i] as Writer)(ctx.responseHeaders, ctx)
  }
}

type Writer = (headers: HeaderList, ctx: ResponseContext) => void

function writerOf(style: HeaderStyle): Writer {
  switch (style) {
    case 'x-ratelimit':
      return writeTightest
    case 'per-limit':
      return perLimitWriter()
    case 'ietf':
      return ietfWriter()
    case 'legacy':
      return writeLegacy
  }
}

// What findTightest found. Variables and no object: a request asks once and uses it at once.
let capacity = 0
let remaining = 0
let resetAt = 0
let tightest: Limit | null = null

/**
 * Finds the limit that is next to refuse, or has refused. False when there is nothing to tell: no limit was checked, the store
 * could not say, or those that were refuse nothing.
 *
 * `concurrency` says nothing of the requests that a client may send, so it counts only where there is nothing else.
 */
function findTightest(ctx: ResponseContext): boolean {
  let found: Admission | null = null
  let foundAt = -1
  let isLast = false
  for (let admission = ctx.admission; admission !== null; admission = admission.previous) {
    if (!isKnown(admission)) continue
    const { refusedBy, limits } = admission
    if (refusedBy !== -1) {
      found = admission
      foundAt = refusedBy
      break
    }
    for (let i = 0; i < limits.length; i++) {
      const limit = limits[i] as Limit
      if (limit.observe) continue
      const isSlots = limit.algorithm === 'concurrency'
      if (found !== null && isSlots && !isLast) continue
      const isTighter =
        found === null ||
        (isLast && !isSlots) ||
        (admission.remaining[i] as number) < (found.remaining[foundAt] as number)
      if (!isTighter) continue
      found = admission
      foundAt = i
      isLast = isSlots
    }
  }
  if (found === null) return false
  const limit = found.limits[foundAt] as Limit
  capacity = capacityOf(limit)
  remaining = Math.floor(found.remaining[foundAt] as number)
  resetAt = found.resetAt[foundAt] as number
  tightest = limit
  return true
}

function isKnown(admission: Admission): boolean {
  return admission.decidedBy === 'store' || admission.decidedBy === 'node'
}

/** How many can come at once. */
export function capacityOf(limit: Limit): number {
  if (limit.algorithm === 'token_bucket') return limit.burst
  return limit.algorithm === 'leaky_bucket' ? limit.burst + 1 : limit.limit
}

function writeTightest(headers: HeaderList): void {
  headers.push(
    'x-ratelimit-limit',
    String(capacity),
    'x-ratelimit-remaining',
    String(remaining),
    'x-ratelimit-reset',
    String(Math.ceil(resetAt / 1000)),
  )
}

function writeLegacy(headers: HeaderList): void {
  headers.push(
    'ratelimit-limit',
    String(capacity),
    'ratelimit-remaining',
    String(remaining),
    'ratelimit-reset',
    secondsUntil(resetAt),
  )
}

function secondsUntil(moment: number): string {
  return String(Math.max(0, Math.ceil((moment - Date.now()) / 1000)))
}

/** `X-RateLimit-Limit-Minute`, `X-RateLimit-Remaining-Minute`. */
function perLimitWriter(): Writer {
  const names = new Map<string, readonly [limit: string, remaining: string]>()
  return (headers, ctx) => {
    for (let admission = ctx.admission; admission !== null; admission = admission.previous) {
      if (!isKnown(admission)) continue
      const { limits } = admission
      for (let i = 0; i < limits.length; i++) {
        const limit = limits[i] as Limit
        if (limit.observe) continue
        let pair = names.get(limit.name)
        if (pair === undefined) {
          const name = titleOf(limit).toLowerCase()
          pair = [`x-ratelimit-limit-${name}`, `x-ratelimit-remaining-${name}`]
          names.set(limit.name, pair)
        }
        const left = String(Math.floor(admission.remaining[i] as number))
        headers.push(pair[0], String(capacityOf(limit)), pair[1], left)
      }
    }
  }
}

/** `RateLimit` and `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-10. */
function ietfWriter(): Writer {
  const policies = new WeakMap<readonly Limit[], string>()
  return (headers, ctx) => {
    let policy = ''
    for (let admission = ctx.admission; admission !== null; admission = admission.previous) {
      let text = policies.get(admission.limits)
      if (text === undefined) {
        text = policyOf(admission.limits)
        policies.set(admission.limits, text)
      }
      policy = policy === '' ? text : text === '' ? policy : `${policy}, ${text}`
    }
    const title = tightest === null ? '' : titleOf(tightest)
    const now = `"${title}";r=${remaining};t=${secondsUntil(resetAt)}`
    headers.push('ratelimit-policy', policy, 'ratelimit', now)
  }
}

function policyOf(limits: readonly Limit[]): string {
  return limits
    .filter(({ observe }) => !observe)
    .map((limit) => {
      const quota = `"${titleOf(limit)}";q=${limit.limit}`
      if (limit.algorithm === 'concurrency') return `${quota};qu="concurrent-requests"`
      return `${quota};w=${Math.max(1, Math.round(limit.window / 1000))}`
    })
    .join(', ')
}

function removeLimitHeaders(headers: HeaderList): void {
  let kept = 0
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    if (isLimitHeader(name)) continue
    if (kept !== i) {
      headers[kept] = name
      headers[kept + 1] = headers[i + 1] as string
    }
    kept += 2
  }
  if (kept !== headers.length) headers.length = kept
}

function isLimitHeader(name: string): boolean {
  if (name.startsWith('x-ratelimit-')) return true
  return name.startsWith('ratelimit') && (name.length === 'ratelimit'.length || name[9] === '-')
}
