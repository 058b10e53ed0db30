import { z } from 'zod'
import { injectedHeader } from './fields.ts'

/** Fields by which plugins say what claims of a token mean, and how they refuse who has not what they want. */

const text = z.string().min(1)

/** One or several. */
export const texts = z.union([text, z.array(text).min(1)], { error: 'must be a string or a list of strings' })

const claim = z.union([z.string(), z.number(), z.boolean()], { error: 'must be text, a number or a boolean' })

/** Spread into a `z.strictObject`. */
export const claimFields = {
  claims: z
    .record(text, z.union([claim, z.array(claim).min(1)], { error: 'must be a value or a list of values' }))
    .default({})
    .describe(
      'Claims that must have one of these values: `{ email_verified: true, "realm_access.roles": [admin, ops] }`. A list must hold one of them.',
    ),
  match: z.enum(['all', 'any']).default('all').describe('Whether `claims` must all be as stated, or any.'),
  scopes: z
    .array(
      z
        .string()
        .regex(/^[!#-[\]-~]+$/, 'must be a scope: visible ASCII characters without space, quotes and backslashes'),
    )
    .default([])
    .describe('Scopes that the token must have, all of them; else 403 with `insufficient_scope`.'),
  claims_to_headers: z
    .record(text, injectedHeader)
    .optional()
    .describe(
      'Claims that the upstream is told, and in which headers. Else X-User-Id, X-User-Role (`role`), X-User-Roles, X-User-Scopes and X-Tenant-Id, as far as they are known.',
    ),
  tenant_claim: texts.default('tenant_id').describe('Claim with the tenant.'),
  roles_claim: texts
    .default(['roles', 'role'])
    .describe(
      'Claim with the roles: a list, or text with spaces between. `realm_access.roles` is a member of an object.',
    ),
  groups_claim: texts.default('groups').describe('Claim with the groups.'),
  scope_claim: texts.default(['scope', 'scp']).describe('Claim with the scopes.'),
  forward_token: z.boolean().default(false).describe('Whether the upstream gets the token, too.'),
  optional: z
    .boolean()
    .default(false)
    .describe('Lets requests without a token pass. Bad tokens are refused all the same.'),
  realm: z
    .string()
    .regex(/^[ !#-[\]-~]+$/, 'must be visible ASCII characters without quotes and backslashes')
    .default('api')
    .describe('What `WWW-Authenticate` calls the place that the token is for.'),
  status: z.int().min(400).max(499).default(401).describe('Status when the token is missing or not valid.'),
  message: text.optional().describe('What that refusal says in place of the usual sentence.'),
}
