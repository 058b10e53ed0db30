import { z } from 'zod'
import { parseTarget } from './address.ts'
import { pluginEntries } from './plugin-entry.ts'
import { duration, size } from './units.ts'

/** The name of a route or an upstream: it stands in logs and metrics. */
export const entityName = z
  .string()
  .regex(
    /^[\w.:/-](?:[\w .:/-]{0,126}[\w.:/-])?$/,
    'must be a name of letters, digits, blanks and . _ - : /, at most 128 long',
  )

/** What `http://users.internal:3000/base` says. */
export interface UpstreamUrl {
  readonly protocol: 'http' | 'https'
  readonly host: string
  readonly port: number
  readonly path: string
}

export function isUrl(text: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(text)
}

/** The parts of an upstream's URL, or the words for what is wrong with it. */
export function parseUpstreamUrl(text: string): UpstreamUrl | string {
  const match = /^(https?):\/\/([^/?#]*)([^?#]*)(.*)$/i.exec(text)
  if (match === null) return 'must be a URL that begins with http:// or https://'
  const [, scheme = '', authority = '', path = '', rest] = match
  if (authority.includes('@')) return 'must be a URL without user name and password'
  if (rest !== '') return 'must be a URL without query and fragment'
  // eslint-disable-next-line no-control-regex
  if (/[\u0000-\u0020\u007f-\uffff\\]|\/\/|\/\.{1,2}(?:\/|$)/.test(path)) return 'must be a URL with a plain path'
  const protocol = scheme.toLowerCase() as 'http' | 'https'
  const target = parseTarget(authority, protocol === 'http' ? 80 : 443)
  if (target === null) return 'must be a URL with a valid host and port'
  return { protocol, ...target, path: path.replace(/\/$/, '') }
}

const url = z.string().transform((text, context) => {
  const parsed = parseUpstreamUrl(text)
  if (typeof parsed !== 'string') return parsed
  context.addIssue(parsed)
  return z.NEVER
})

const target = z.strictObject({
  target: z
    .string()
    .refine((text) => parseTarget(text, 80) !== null, 'must be a host and port such as users.internal:3000')
    .describe('Host and port; the port may be left out (80, or 443 with `protocol: https`).'),
  weight: z
    .int()
    .min(0)
    .max(65_535)
    .default(100)
    .describe('Share of the requests, in proportion to the other targets; 0: none.'),
})

const tls = z.strictObject({
  server_name: z.string().min(1).optional().describe('Name to ask for and to verify; else the host of the target.'),
  verify: z.boolean().default(true).describe('Whether the certificate must be valid.'),
  ca: z.string().min(1).optional().describe('PEM file with the authorities to trust instead of the built-in ones.'),
  cert: z.string().min(1).optional().describe('PEM file with the certificate that the gateway shows.'),
  key: z.string().min(1).optional().describe('PEM file with the private key of `cert`.'),
})

const keepalive = z.strictObject({
  idle_timeout: duration()
    .prefault('60s')
    .describe('An unused connection is closed after this; keep it below the limit of the upstream.'),
  max_idle: z.int().min(0).default(256).describe('Unused connections kept per worker and target.'),
  max_requests: z.int().min(0).default(0).describe('A connection is closed after this many requests; 0: never.'),
})

const fields = {
  url: url
    .optional()
    .describe('Where it is: `http://users.internal:3000`, `https://…`. A path is put before that of every request.'),
  targets: z.array(target).min(1).optional().describe('Several addresses instead of `url`, used in turns by weight.'),
  protocol: z.enum(['http', 'https']).optional().describe('What `targets` speak; http when not given.'),
  client: z
    .enum(['socket', 'undici'])
    .optional()
    .describe(
      'Who speaks to it: `socket` is fastest and the default for http; `undici` is there for https and HTTP/2.',
    ),
  pipelining: z
    .int()
    .min(1)
    .max(64)
    .default(1)
    .describe(
      'Most GET, HEAD and OPTIONS requests that wait for their answers on one connection; 1: no pipelining. Only for an upstream of your own: one that mixes up answers gives them to the wrong clients.',
    ),
  http2: z.boolean().default(false).describe('Speak HTTP/2 where the target offers it (https only).'),
  tls: tls.optional().describe('Settings for https.'),
  max_connections: z.int().min(1).default(1024).describe('Most connections per worker and target.'),
  max_waiting: z
    .int()
    .min(0)
    .default(1024)
    .describe('Most requests that wait for a connection; one more is answered 503.'),
  keepalive: keepalive.prefault({}).describe('Connections between requests.'),
  max_head_size: size({ max: [1024 ** 2, '1mb'] })
    .prefault('64kb')
    .describe('Most bytes that the head of a response may have.'),
  plugins: pluginEntries.describe('Plugins on every route to this upstream.'),
}

/** An entry of `upstreams`. */
export const upstream = z.strictObject({ name: entityName.describe('What routes call it.'), ...fields })

/** The same within a route, where the name may be left out. */
export const inlineUpstream = z.strictObject({ name: entityName.optional().describe('What logs call it.'), ...fields })

export type UpstreamSettings = z.output<typeof inlineUpstream>
