import { z } from 'zod'
import { address } from './address.ts'
import { hostPattern } from './host.ts'
import { size } from './units.ts'

const certificate = z.strictObject({
  cert: z.string().min(1).describe('PEM file with the certificate, followed by the intermediate ones.'),
  key: z.string().min(1).describe('PEM file with its private key, not encrypted.'),
  hosts: z
    .array(hostPattern)
    .prefault([])
    .describe('Names (SNI) that get this certificate; empty: everybody whom no other certificate names.'),
})

const minVersion = z
  .union([z.enum(['1.2', '1.3']), z.literal([1.2, 1.3])], { error: 'must be "1.2" or "1.3"' })
  .transform((version) => String(version) as '1.2' | '1.3')

const tls = z.strictObject({
  certificates: z.array(certificate).min(1).describe('Certificates, chosen by the name that the client asks for.'),
  min_version: minVersion.prefault('1.2').describe('Oldest version of TLS that is spoken.'),
})

export const listener = z.strictObject({
  address: address.describe('Host and port to listen on. Port 0 takes a free one.'),
  tls: tls.optional().describe('Terminates HTTPS. Without it the listener speaks plain HTTP.'),
  path_policy: z
    .enum(['normalize', 'reject'])
    .default('normalize')
    .describe(
      'What becomes of paths with dot segments, empty segments or needless escapes: made plain, or answered 400.',
    ),
  proxy_protocol: z
    .boolean()
    .default(false)
    .describe('Expects the PROXY protocol in front of every connection and takes the client address from it.'),
  body_size: size({ off: true })
    .optional()
    .describe('Most bytes of a request body here; goes before `limits.body_size`.'),
})
