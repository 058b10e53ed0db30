import { z } from 'zod'
import type { KnownConsumer } from '../core/plugin.ts'
import { identityText, scopeText } from '../plugins/fields.ts'
import { valueAt } from './issue.ts'
import type { Report } from './report.ts'

/** Headers list them with commas between. */
const listed = identityText.refine((text) => !text.includes(','), 'must not hold a comma')

function listOf(item: typeof identityText) {
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
  id: identityText.describe('What credentials, limits and logs call it.'),
  name: identityText.optional().describe('What people call it.'),
  tier: identityText.optional().describe('Class of service, by which limits may differ.'),
  tenant: identityText.optional().describe('Customer or organisation that it belongs to.'),
  groups: listOf(listed).describe('Groups, for `acl`.'),
  roles: listOf(listed).describe('Roles, for `acl` and upstreams.'),
  scopes: listOf(scopeText).describe('Scopes, where its credential names none.'),
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
