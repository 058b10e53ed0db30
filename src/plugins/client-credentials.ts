import { z } from 'zod'

/** Fields by which plugins say how the gateway proves to an identity provider who it is (RFC 6749 §2.3). */

const visible = z.string().regex(/^[ -~]+$/, 'must be visible ASCII characters')

/** Spread into a `z.strictObject`, together with `checkClientCredentials`. */
export const clientCredentialFields = {
  client_id: visible.describe('Name of the gateway at the provider.'),
  client_secret: visible.optional().describe('Its secret. Keep it out of this file: `${file:/run/secrets/gateway}`.'),
  client_auth: z
    .enum(['basic', 'post', 'none'])
    .default('basic')
    .describe(
      'How the gateway proves who it is: `basic` (Authorization field), `post` (in the body), or `none`: with the certificate in `tls` (RFC 8705), or not at all.',
    ),
}

export interface ClientCredentials {
  readonly client_id: string
  readonly client_secret?: string | undefined
  readonly client_auth: 'basic' | 'post' | 'none'
}

export function checkClientCredentials(config: ClientCredentials, context: z.RefinementCtx): void {
  const { client_secret, client_auth } = config
  const fault = (message: string): void => context.addIssue({ code: 'custom', path: ['client_secret'], message })
  if (client_auth !== 'none' && client_secret === undefined) fault('must be there, unless "client_auth" is none')
  if (client_auth === 'none' && client_secret !== undefined) fault('means nothing when "client_auth" is none')
}

/** The fixed parts of every request to a provider. */
export interface PreparedForm {
  readonly headers: readonly string[]
  /** Begins the body; more is added behind `&`. Never empty. */
  readonly start: string
}

/** Prepares requests with `parameters` and the credentials of the gateway. */
export function prepareForm(
  { client_id, client_secret = '', client_auth }: ClientCredentials,
  parameters: readonly (readonly [name: string, value: string])[],
): PreparedForm {
  const headers = ['accept', 'application/json', 'accept-encoding', 'identity']
  headers.push('content-type', 'application/x-www-form-urlencoded')
  const form = new URLSearchParams(parameters.map(([name, value]): [string, string] => [name, value]))
  if (client_auth === 'basic') {
    // Both halves are form-encoded first (RFC 6749 §2.3.1).
    const pair = `${formEncoded(client_id)}:${formEncoded(client_secret)}`
    headers.push('authorization', `Basic ${Buffer.from(pair).toString('base64')}`)
  } else {
    form.append('client_id', client_id)
    if (client_auth === 'post') form.append('client_secret', client_secret)
  }
  return { headers, start: form.toString() }
}

/** As `application/x-www-form-urlencoded` writes a value. */
export function formEncoded(value: string): string {
  return new URLSearchParams({ v: value }).toString().slice(2)
}
