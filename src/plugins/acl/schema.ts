import { z } from 'zod'
import { identityText, scopeText } from '../fields.ts'

const names = z.array(identityText).default([])

const lists = z
  .strictObject({
    consumers: names.describe('Ids of consumers.'),
    groups: names.describe('Groups that the consumer is in.'),
    roles: names.describe('Roles that it has.'),
    scopes: z.array(scopeText).default([]).describe('Scopes of its credential.'),
  })
  .refine(
    ({ consumers, groups, roles, scopes }) => consumers.length + groups.length + roles.length + scopes.length > 0,
    'must name consumers, groups, roles or scopes',
  )

export type Lists = z.output<typeof lists>

const rule = z.union(
  [
    lists,
    z
      .array(identityText)
      .min(1)
      .transform((groups): Lists => ({ consumers: [], groups, roles: [], scopes: [] })),
  ],
  { error: 'must be a list of groups, or a mapping with "consumers", "groups", "roles" and "scopes"' },
)

export const schema = z
  .strictObject({
    allow: rule
      .optional()
      .describe(
        'Who may come in: whoever is on one of the lists `consumers`, `groups`, `roles` and `scopes`. A bare list is one of ' +
          'groups, as with Kong. Without it, all who are not denied.',
      ),
    deny: rule.optional().describe('Who may not, whatever `allow` says; written the same way.'),
    scopes: z.array(scopeText).default([]).describe('Scopes that are needed besides.'),
    scopes_match: z.enum(['all', 'any']).default('all').describe('Whether all of `scopes` are needed, or any.'),
  })
  .refine(
    ({ allow, deny, scopes }) => allow !== undefined || deny !== undefined || scopes.length > 0,
    'needs "allow", "deny" or "scopes"',
  )

export type Config = z.output<typeof schema>
