import { z } from 'zod'
import { isFieldValue } from '../core/headers.ts'
import type { KnownConsumer } from '../core/plugin.ts'
import { valueAt } from './issue.ts'
import type { Report } from './report.ts'

/** What upstreams are told in header fields, and logs and metrics show: visible on every side. */
const word = z
  .string()
  .min(1)
  .max(256)
  .refine(
    (text) => isFieldValue(text) && text.trim() === text,
    'must not begin or end with space, or hold control characters',
  )

/** Headers list them with commas between. */
const listed = word.refine((text) => !text.includes(','), 'must not hold a comma')

/** As OAuth has them (RFC 6749 §3.3): headers and tokens list them with spaces between. */
const scope = word.refine(
  (text) => /^[!#-[\]-~]+$/.test(text),
  'must be a scope: visible ASCII characters without space',
)

function listOf(item: typeof word) {
  return z
    .array(item)
    .superRefine((list, context) => {
      list.forEach((name, i) => {
        if (list.indexOf(name) < i) context.addIssue({ code: 'custom', path: [i], message: `"${name}" is there twice` })
      })
    })
    .default([])
}

export const consumer = z.strictObject({
  id: word.describe('What credentials, limits and logs call it.'),
  name: word.optional().describe('What people call it.'),
  tier: word.optional().describe('Class of service, by which limits may differ.'),
  tenant: word.optional().describe('Customer or organisation that it belongs to.'),
  groups: listOf(listed).describe('Groups, for `acl`.'),
  roles: listOf(listed).describe('Roles, for `acl` and upstreams.'),
  scopes: listOf(scope).describe('Scopes, where its credential names none.'),
})

/** The consumers of a file, each id once. */
export function resolveConsumers(settings: readonly z.output<typeof consumer>[], report: Report): KnownConsumer[] {
  const seen = new Set<string>()
  // Those with faults count, too.
  const written = valueAt(report.document.value, ['consumers'])
  if (Array.isArray(written)) {
    written.forEach((_, i) => {
      const id = valueAt(written, [i, 'id'])
      if (typeof id !== 'string') return
      if (seen.has(id)) report.fault(['consumers', i, 'id'], `consumer "${id}" is there twice`)
      seen.add(id)
    })
  }
  return settings.map(({ name = null, tier = null, tenant = null, ...rest }) => ({ ...rest, name, tier, tenant }))
}
