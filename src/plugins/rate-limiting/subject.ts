import { z } from 'zod'
import { isToken } from '../../core/headers.ts'

/** What a request is counted by. Several together make a compound key. */
export type Subject =
  | { readonly kind: 'global' | 'ip' | 'consumer' | 'credential' | 'tenant' | 'route' | 'method' | 'upstream' }
  | { readonly kind: 'header'; readonly name: string }
  | { readonly kind: 'claim'; readonly path: string }
  /** Requests for this path together, all others by address: Kong's `limit_by: path`. */
  | { readonly kind: 'path'; readonly path: string }

const words =
  'must be ip, consumer, credential, tenant, route, route+method, upstream, global, header:NAME, claim:NAME, or a list of these'

const plain = ['ip', 'consumer', 'credential', 'tenant', 'route', 'upstream', 'global'] as const

function parseSubject(text: string): Subject[] | null {
  for (const kind of plain) if (text === kind) return [{ kind }]
  if (text === 'route+method') return [{ kind: 'route' }, { kind: 'method' }]
  if (text.startsWith('header:')) {
    const name = text.slice('header:'.length)
    return isToken(name) ? [{ kind: 'header', name: name.toLowerCase() }] : null
  }
  if (text.startsWith('claim:') && text.length > 'claim:'.length) {
    return [{ kind: 'claim', path: text.slice('claim:'.length) }]
  }
  return null
}

const one = z.union(
  [
    z
      .string()
      .regex(/^(ip|consumer|credential|tenant|route|route\+method|upstream|global|header:.+|claim:.+)$/, words)
      .transform((text, context): Subject[] => {
        const subjects = parseSubject(text)
        if (subjects !== null) return subjects
        context.addIssue('must be the name of a header field')
        return z.NEVER
      }),
    z
      .strictObject({ header: z.string().refine(isToken, 'must be the name of a header field') })
      .transform(({ header }): Subject[] => [{ kind: 'header', name: header.toLowerCase() }]),
    z.strictObject({ claim: z.string().min(1) }).transform(({ claim }): Subject[] => [{ kind: 'claim', path: claim }]),
  ],
  { error: words },
)

/** `consumer`, `header:X-Org`, `{ header: X-Org }`, `[tenant, route]`. */
export const subjects = z
  .union([one, z.array(one).min(1).max(6)], { error: words })
  .transform((parsed): Subject[] => parsed.flat())
  .superRefine((all, context) => {
    const names = all.map(subjectName)
    const twice = names.find((name, i) => names.indexOf(name) !== i)
    if (twice !== undefined) context.addIssue(`has "${twice}" twice`)
    if (all.length > 1 && names.includes('global')) context.addIssue('counts everybody: "global" stands alone')
  })

/** For names of limits. */
export function subjectName(subject: Subject): string {
  if (subject.kind === 'header') return subject.name
  return subject.kind === 'claim' ? subject.path : subject.kind
}
