import { z } from 'zod'
import { hopByHopHeaders, isToken } from '../core/headers.ts'
import type { CredentialSource } from './credential.ts'

/** The name of a header that may hold a credential. */
export const credentialHeader = z
  .string()
  .refine(
    (name) => isToken(name) && !hopByHopHeaders.has(name.toLowerCase()),
    'must be the name of an end-to-end header',
  )

/** The name of a cookie that may. */
export const credentialCookie = z.string().refine(isToken, 'must be the name of a cookie')

/** One entry of a `from` list: where a credential may stand. */
export const credentialSource = z
  .strictObject({
    header: credentialHeader.optional().describe('A header field.'),
    scheme: z
      .string()
      .refine(isToken, 'must be an authentication scheme such as Bearer')
      .nullable()
      .optional()
      .describe(
        'What stands before it in `header`; `null`: nothing. Else `Bearer` for Authorization, nothing for others.',
      ),
    cookie: credentialCookie.optional().describe('A cookie.'),
    query: z
      .string()
      .min(1)
      .optional()
      .describe('A query parameter. URLs end up in logs and histories: a last resort.'),
  })
  .superRefine(({ header, scheme, cookie, query }, context) => {
    if ([header, cookie, query].filter((one) => one !== undefined).length !== 1)
      context.addIssue('must have exactly one of "header", "cookie" and "query"')
    else if (header === undefined && scheme !== undefined)
      context.addIssue({ code: 'custom', path: ['scheme'], message: 'means nothing without a "header"' })
  })

/** What such an entry means. */
export function credentialSourceOf({
  header,
  scheme,
  cookie,
  query,
}: z.output<typeof credentialSource>): CredentialSource {
  if (cookie !== undefined) return { in: 'cookie', name: cookie, scheme: null }
  if (query !== undefined) return { in: 'query', name: query, scheme: null }
  const name = (header ?? '').toLowerCase()
  const before = scheme === undefined ? (name === 'authorization' ? 'bearer' : null) : scheme
  return { in: 'header', name, scheme: before?.toLowerCase() ?? null }
}
