import type { IncomingMessage, ServerResponse } from 'node:http'
import { startUpstream, type TestUpstream, type UpstreamHandler } from './upstream.ts'

/** A request that came to a provider, read. */
export interface ProviderCall {
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly form: URLSearchParams
}

/** What the gateway proves who it is with, unless a test says otherwise. */
export const gatewayClient = { client_id: 'gateway', client_secret: 'hush+hush' }

const exchangeGrant = 'urn:ietf:params:oauth:grant-type:token-exchange'

/**
 * An OAuth provider: `/introspect` (RFC 7662) tells what was put into `tokens`, `/token` (RFC 8693) exchanges those tokens. Knows
 * one client, the gateway. Stops with `stopUpstreams`.
 */
export class IdentityProvider {
  /** What introspection says of a token; of others that they are not active. */
  readonly tokens = new Map<string, Record<string, unknown>>()
  /** Every call so far. */
  readonly calls: ProviderCall[] = []
  #server: TestUpstream | null = null
  #instead: UpstreamHandler | null = null
  #issued = 0

  static async start(): Promise<IdentityProvider> {
    const provider = new IdentityProvider()
    provider.#server = await startUpstream((req, res) => provider.#serve(req, res))
    return provider
  }

  get origin(): string {
    return this.#server?.url ?? ''
  }

  get introspection(): string {
    return `${this.origin}/introspect`
  }

  get token(): string {
    return `${this.origin}/token`
  }

  /** Answers otherwise from now on; `null`: as it should. */
  answer(handler: UpstreamHandler | null): void {
    this.#instead = handler
  }

  answerText(status: number, text: string, headers: Readonly<Record<string, string>> = {}): void {
    this.#instead = (_req, res) => void res.writeHead(status, headers).end(text)
  }

  close(): Promise<void> {
    return this.#server?.close() ?? Promise.resolve()
  }

  #serve(req: IncomingMessage, res: ServerResponse): void {
    let body = ''
    req.setEncoding('utf8')
    req.on('data', (chunk) => (body += String(chunk)))
    req.on('end', () => {
      const call = { path: req.url ?? '', headers: req.headers, form: new URLSearchParams(body) }
      this.calls.push(call)
      if (this.#instead !== null) return this.#instead(req, res)
      const answer = this.#decide(req, call)
      res.writeHead(answer.status, { 'content-type': 'application/json', 'cache-control': 'no-store' })
      res.end(JSON.stringify(answer.body))
    })
  }

  #decide({ method }: IncomingMessage, call: ProviderCall): { status: number; body: object } {
    if (method !== 'POST') return { status: 405, body: {} }
    if (!isGateway(call)) return { status: 401, body: { error: 'invalid_client' } }
    if (call.path === '/introspect') {
      return { status: 200, body: this.tokens.get(call.form.get('token') ?? '') ?? { active: false } }
    }
    if (call.form.get('grant_type') !== exchangeGrant) return { status: 400, body: { error: 'unsupported_grant_type' } }
    const subject = call.form.get('subject_token') ?? ''
    if (!this.tokens.has(subject)) return { status: 400, body: { error: 'invalid_request' } }
    this.#issued += 1
    return {
      status: 200,
      body: {
        access_token: `issued-${this.#issued}-for-${subject}`,
        issued_token_type: call.form.get('requested_token_type'),
        token_type: 'Bearer',
        expires_in: 300,
        scope: call.form.get('scope') ?? undefined,
      },
    }
  }
}

/** By the Authorization field, or by the body. */
function isGateway({ headers, form }: ProviderCall): boolean {
  const { client_id, client_secret } = gatewayClient
  const basic = `${client_id}:${encodeURIComponent(client_secret)}`
  if (headers.authorization !== undefined)
    return headers.authorization === `Basic ${Buffer.from(basic).toString('base64')}`
  return form.get('client_id') === client_id && form.get('client_secret') === client_secret
}
