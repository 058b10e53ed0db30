import { generateKeyPairSync, type JsonWebKey, type KeyObject } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { startUpstream, type TestUpstream, type UpstreamHandler } from './upstream.ts'

export interface PublishedKey {
  readonly jwk: JsonWebKey
}

/** A signing key of an issuer, and what the issuer publishes of it. */
export interface IssuerKey extends PublishedKey {
  readonly kid: string
  readonly privateKey: KeyObject
}

export function issuerKey(kid: string, algorithm: 'ES256' | 'RS256' = 'ES256'): IssuerKey {
  const { privateKey, publicKey } =
    algorithm === 'ES256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('rsa', { modulusLength: 2048 })
  return { kid, privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg: algorithm, use: 'sig' } }
}

/**
 * An issuer's JWKS endpoint that can rotate, stall and lie. Stops with `stopUpstreams`.
 */
export class JwksServer {
  readonly #server: TestUpstream
  #handler: UpstreamHandler
  #waiting: { readonly count: number; readonly done: () => void }[] = []

  private constructor(server: TestUpstream, handler: UpstreamHandler) {
    this.#server = server
    this.#handler = handler
  }

  static async start(
    keys: readonly PublishedKey[] = [],
    headers: Readonly<Record<string, string>> = {},
  ): Promise<JwksServer> {
    const server = await startUpstream((req, res) => {
      jwks.#handler(req, res)
      jwks.#wake()
    })
    const jwks = new JwksServer(server, publishing(keys, headers))
    return jwks
  }

  get url(): string {
    return `${this.#server.url}/.well-known/jwks.json`
  }

  get origin(): string {
    return this.#server.url
  }

  /** Requests so far. */
  get requests(): number {
    return this.#server.requests
  }

  /** Publishes these keys from now on. */
  publish(keys: readonly PublishedKey[], headers: Readonly<Record<string, string>> = {}): void {
    this.#handler = publishing(keys, headers)
  }

  /** Answers otherwise from now on. */
  answer(handler: UpstreamHandler): void {
    this.#handler = handler
  }

  /** Answers with this text from now on. */
  answerText(status: number, text: string, headers: Readonly<Record<string, string>> = {}): void {
    this.#handler = (_req, res) => void res.writeHead(status, headers).end(text)
  }

  /** Holds requests from now on; what is returned lets them go on with the keys. */
  hold(): (keys: readonly PublishedKey[]) => void {
    const held: ServerResponse[] = []
    this.#handler = (_req, res) => void held.push(res)
    return (keys) => {
      this.publish(keys)
      for (const res of held.splice(0)) send(res, keys, {})
    }
  }

  /** Resolves when so many requests have come in all. */
  async seen(count: number): Promise<void> {
    if (this.requests >= count) return
    await new Promise<void>((done) => this.#waiting.push({ count, done }))
  }

  close(): Promise<void> {
    return this.#server.close()
  }

  #wake(): void {
    const due = this.#waiting.filter(({ count }) => this.requests >= count)
    this.#waiting = this.#waiting.filter(({ count }) => this.requests < count)
    for (const { done } of due) done()
  }
}

function publishing(keys: readonly PublishedKey[], headers: Readonly<Record<string, string>>): UpstreamHandler {
  return (_req, res) => send(res, keys, headers)
}

function send(res: ServerResponse, keys: readonly PublishedKey[], headers: Readonly<Record<string, string>>): void {
  res.writeHead(200, { 'content-type': 'application/json', ...headers })
  res.end(JSON.stringify({ keys: keys.map(({ jwk }) => jwk) }))
}
