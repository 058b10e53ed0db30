import { z } from 'zod'
import { isFieldValue } from '../../core/headers.ts'
import { duration, gatewayFields, headerName } from '../fields.ts'
import { httpServiceFields } from '../http-service.ts'

/** What the gateway writes itself, in requests and in answers. */
const framing: ReadonlySet<string> = new Set([...gatewayFields, 'content-encoding', 'date'])

const passedHeader = headerName.superRefine((name, context) => {
  if (framing.has(name)) context.addIssue(`must not be "${name}": the gateway sets that itself`)
})

const askedHeader = headerName.superRefine((name, context) => {
  if (gatewayFields.has(name) && name !== 'x-request-id')
    context.addIssue(`must not be "${name}": the gateway sets that itself`)
})

const consumer = z.strictObject({
  id: passedHeader.describe('Field with the id of the consumer. An answer that allows must have it.'),
  name: passedHeader.optional().describe('Field with its name.'),
  tier: passedHeader.optional().describe('Field with its tier.'),
  tenant: passedHeader.optional().describe('Field with its tenant.'),
  groups: passedHeader.optional().describe('Field with its groups, commas between them.'),
  roles: passedHeader.optional().describe('Field with its roles, commas between them.'),
  scopes: passedHeader.optional().describe('Field with its scopes, spaces or commas between them.'),
})

const cache = z.strictObject({
  ttl: duration().describe('How long an answer that allows is used again.'),
  scope: z
    .enum(['request', 'caller'])
    .default('request')
    .describe(
      'What must be the same for that, besides the fields sent and the address of the client: `request`: method, host, path and query, too; `caller`: nothing else.',
    ),
  entries: z.int().min(1).max(1_000_000).default(10_000).describe('Most answers that a worker remembers.'),
})

export const schema = z
  .strictObject({
    ...httpServiceFields,
    url: httpServiceFields.url.describe('Where the authorization service is: `http://auth.internal:8080/validate`.'),
    method: z.enum(['GET', 'HEAD', 'POST']).default('GET').describe('Method of the call. A body is never sent.'),
    request_headers: z
      .array(askedHeader)
      .default(['authorization', 'cookie', 'x-api-key'])
      .describe(
        'Fields of the request that the service gets. X-Forwarded-Method, -Uri, -Host, -Proto and -For are always sent.',
      ),
    required_headers: z
      .array(askedHeader)
      .default([])
      .describe('Fields of which one must be there; else 401 without a call.'),
    challenge: z
      .string()
      .min(1)
      .refine(isFieldValue, 'must not hold control characters')
      .default('Bearer')
      .describe('`WWW-Authenticate` of that 401.'),
    response_headers: z
      .array(passedHeader)
      .default([])
      .describe(
        'Fields of an answer that allows which the upstream gets. Those that clients send are taken away on every route (but of `Authorization`, `Cookie` and the like, only here).',
      ),
    client_headers: z
      .array(passedHeader)
      .default(['www-authenticate', 'location', 'set-cookie', 'content-type', 'cache-control', 'retry-after'])
      .describe('Fields of an answer that refuses (401, 403, a redirect) which the client gets, with status and body.'),
    consumer: consumer.optional().describe('Fields of an answer that allows which say who calls.'),
    forward_credentials: z
      .boolean()
      .default(false)
      .describe(
        'Whether the upstream gets `Authorization` and `X-API-Key`, too, when the service was asked about them.',
      ),
    trust_forward_header: z
      .boolean()
      .default(false)
      .describe(
        'Whether X-Forwarded-Method and X-Forwarded-Uri that come with a request are passed on instead of our own: only where every client is a proxy of yours. Who is believed in X-Forwarded-For, -Host and -Proto is said by `trusted_proxies`.',
      ),
    cache: cache.optional().describe('Uses answers that allow again. Else the service is asked about every request.'),
  })
  .superRefine(({ required_headers, request_headers }, context) => {
    required_headers.forEach((name, i) => {
      if (request_headers.includes(name)) return
      context.addIssue({
        code: 'custom',
        path: ['required_headers', i],
        message: `"${name}" must stand in "request_headers", too: the service decides about it`,
      })
    })
  })

export type Config = z.output<typeof schema>
