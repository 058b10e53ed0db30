import { z } from 'zod'
import { headerName, headerValue, seconds } from '../fields.ts'

const referrerPolicies = [
  'no-referrer',
  'no-referrer-when-downgrade',
  'origin',
  'origin-when-cross-origin',
  'same-origin',
  'strict-origin',
  'strict-origin-when-cross-origin',
  'unsafe-url',
] as const

const openerPolicies = ['same-origin', 'same-origin-allow-popups', 'noopener-allow-popups', 'unsafe-none'] as const
const resourcePolicies = ['same-origin', 'same-site', 'cross-origin'] as const

const off = z.literal(false)

const hsts = z
  .strictObject({
    max_age: seconds.default(31_536_000).describe('How long browsers must use HTTPS. `0` makes them forget.'),
    include_subdomains: z.boolean().default(true).describe('Whether that holds for all subdomains.'),
    preload: z
      .boolean()
      .default(false)
      .describe('Consents to being put on the lists that browsers come with. Hard to undo.'),
  })
  .superRefine(({ max_age, include_subdomains, preload }, context) => {
    if (!preload || (include_subdomains && max_age >= 31_536_000)) return
    context.addIssue({
      code: 'custom',
      path: ['preload'],
      message: 'must come with include_subdomains and a max_age of at least 365d: the lists demand both',
    })
  })

export const schema = z.strictObject({
  hsts: z
    .union([off, hsts])
    .prefault({})
    .describe('`Strict-Transport-Security`, on answers over HTTPS only; `false`: none.'),
  content_type_options: z.boolean().default(true).describe('`X-Content-Type-Options: nosniff`.'),
  frame_options: z
    .union([off, z.enum(['DENY', 'SAMEORIGIN'])])
    .default('DENY')
    .describe('`X-Frame-Options`: `DENY`, `SAMEORIGIN`, or `false`.'),
  referrer_policy: z
    .union([off, z.enum(referrerPolicies)])
    .default('no-referrer')
    .describe('`Referrer-Policy`, or `false`.'),
  content_security_policy: z
    .union([off, headerValue.min(1)])
    .default("frame-ancestors 'none'")
    .describe('`Content-Security-Policy`, or `false`. The default fits APIs and leaves pages their scripts.'),
  permissions_policy: z
    .union([off, headerValue.min(1)])
    .default(false)
    .describe('`Permissions-Policy`, or `false`.'),
  cross_origin_opener_policy: z
    .union([off, z.enum(openerPolicies)])
    .default('same-origin')
    .describe('`Cross-Origin-Opener-Policy`, or `false`.'),
  cross_origin_resource_policy: z
    .union([off, z.enum(resourcePolicies)])
    .default('same-origin')
    .describe('`Cross-Origin-Resource-Policy`, or `false`. Requests that CORS allows are not bound by it.'),
  hide_server: z.boolean().default(true).describe('Takes away `Server` and `X-Powered-By`.'),
  remove: z.array(headerName).default([]).describe('Further headers to take away, e.g. `X-AspNet-Version`.'),
  override: z
    .boolean()
    .default(false)
    .describe('Whether all this replaces what the upstream set itself. An application knows its own policy best.'),
})

export type Config = z.output<typeof schema>
