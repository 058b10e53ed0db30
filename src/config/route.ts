import { z } from 'zod'
import { isToken } from '../core/headers.ts'
import { headerName, routeAccessLog } from './access-log.ts'
import { cidr } from './cidr.ts'
import { hostPattern } from './host.ts'
import { patternFault } from './pattern.ts'
import { pluginEntries } from './plugin-entry.ts'
import { valuePredicate } from './predicate.ts'
import { routeTimeouts } from './timeouts.ts'
import { size } from './units.ts'
import { entityName, inlineUpstream } from './upstream.ts'

const method = z
  .string()
  .refine(isToken, 'must be the name of a method')
  .transform((name, context) => {
    const upper = name.toUpperCase()
    if (upper !== 'TRACE' && upper !== 'CONNECT') return upper
    context.addIssue('must be a method that the gateway serves, which TRACE and CONNECT are not')
    return z.NEVER
  })

/** Syntax is the router's business; here only what clients could stall it with. */
const path = z.string().superRefine((text, context) => {
  const fault = text.startsWith('~') ? patternFault(text.slice(1)) : null
  if (fault !== null) context.addIssue(fault)
})

const fieldName = z.string().min(1)

const match = z.literal(['all', 'any'])

const auth = z.union(
  [
    match.transform((chosen) => ({ match: chosen, anonymous: undefined })),
    z.strictObject({
      match: match.default('all').describe('Whether each of them, or any, must accept a request.'),
      anonymous: entityName
        .optional()
        .describe('Consumer that callers without credentials are; bad credentials are refused all the same.'),
    }),
  ],
  { error: 'must be all, any, or a mapping with "match" and "anonymous"' },
)

export const route = z.strictObject({
  name: entityName.optional().describe('What logs and metrics call it; made from host and path when not given.'),
  hosts: z.array(hostPattern).prefault([]).describe('`api.example.com`, `*.example.org`; none: every host.'),
  paths: z
    .array(path)
    .min(1)
    .prefault(['/*'])
    .describe('Exact (`/a`), parameter (`/users/{id}`), prefix (`/api/*`), regular expression (`~^/v[0-9]+/`).'),
  methods: z.array(method).prefault([]).describe('None: every method. GET takes HEAD, too.'),
  headers: z.record(headerName, valuePredicate).prefault({}).describe('Header fields that the request must have.'),
  query: z.record(fieldName, valuePredicate).prefault({}).describe('Query parameters that it must have.'),
  cookies: z.record(fieldName, valuePredicate).prefault({}).describe('Cookies that it must have.'),
  content_types: z
    .array(z.string())
    .prefault([])
    .describe('Media types, one of which its body must have: `application/json`, `image/*`.'),
  client_ips: z.array(cidr).prefault([]).describe('Addresses and blocks, one of which it must come from.'),
  strip_path: z
    .union([z.boolean(), z.string()], { error: 'must be true, false, or the prefix to drop' })
    .default(false)
    .describe(
      '`true` drops what stands before the last literal segment of the path; a string drops exactly that prefix.',
    ),
  preserve_host: z
    .boolean()
    .default(false)
    .describe("Sends the client's Host field on instead of the name of the target."),
  upstream: z
    .union([z.string().min(1), inlineUpstream], { error: 'must be the name of an upstream, a URL, or a mapping' })
    .optional()
    .describe('Name of an entry of `upstreams`, a URL, or an upstream in place. None where a plugin always answers.'),
  auth: auth
    .prefault({})
    .describe(
      'How several authenticating plugins work together: `all` (each must accept the request) or `any`; as a mapping also with `anonymous`.',
    ),
  public: z.boolean().default(false).describe('Anybody may use it, although `security.require_auth` is set.'),
  timeouts: routeTimeouts.prefault({}).describe('What differs from the top level.'),
  body_size: size({ off: true }).optional().describe('Most bytes of a request body; else `limits.body_size`.'),
  access_log: routeAccessLog.optional().describe('`off`, or how many requests are logged; else as at the top level.'),
  plugins: pluginEntries.describe('Plugins on this route.'),
})

export type RouteSettings = z.output<typeof route>
