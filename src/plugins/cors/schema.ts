import { z } from 'zod'
import { isToken } from '../../core/headers.ts'
import { seconds } from '../fields.ts'
import { matchesEveryOrigin, originFault } from './origin.ts'

const origin = z.string().superRefine((text, context) => {
  const fault = originFault(text)
  if (fault !== null) context.addIssue(fault)
})

const fieldName = z.string().refine(isToken, 'must be the name of a header field')

export const schema = z
  .strictObject({
    origins: z
      .array(origin)
      .min(1)
      .default(['*'])
      .describe(
        'Origins that may read answers: `https://app.example.com`, `*` for all, or `~` and a regular expression that ' +
          'the whole origin must match.',
      ),
    methods: z
      .array(
        z
          .string()
          .refine(isToken, 'must be a method')
          .transform((method) => method.toUpperCase()),
      )
      .min(1)
      .default(['GET', 'HEAD', 'PUT', 'PATCH', 'POST', 'DELETE', 'OPTIONS'])
      .describe('Methods that preflights are told.'),
    headers: z
      .array(fieldName)
      .default([])
      .describe('Request headers that preflights are told. Empty or `*`: those that the preflight asks for.'),
    exposed_headers: z.array(fieldName).default([]).describe('Response headers that scripts may read.'),
    credentials: z
      .boolean()
      .default(false)
      .describe('Whether cookies and credentials may be sent. Not with `*` as origin.'),
    max_age: seconds.optional().describe('How long a browser may remember a preflight.'),
    preflight_continue: z
      .boolean()
      .default(false)
      .describe(
        'Whether the upstream answers preflights. What it says then goes to the client, unless the origin is not allowed.',
      ),
    private_network: z
      .boolean()
      .default(false)
      .describe('Whether public sites may reach this one when it stands in a private network.'),
  })
  .superRefine(({ credentials, origins, exposed_headers }, context) => {
    if (!credentials) return
    origins.forEach((text, i) => {
      if (!matchesEveryOrigin(text)) return
      context.addIssue({
        code: 'custom',
        path: ['origins', i],
        message: 'must name the origins when credentials are allowed, or every site could act for its visitors',
      })
    })
    if (exposed_headers.includes('*')) {
      context.addIssue({
        code: 'custom',
        path: ['exposed_headers'],
        message: 'must name the headers when credentials are allowed: browsers then take "*" for a name',
      })
    }
  })

export type Config = z.output<typeof schema>
