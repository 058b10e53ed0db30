import type { HeaderList } from '../core/headers.ts'
import type { Exchange } from './exchange.ts'
import type { SharedFields } from './upstream/client.ts'

/** The pseudonym in `Via` (RFC 9110 §7.6.3). */
const ownVia = '1.1 sluice'

/** See `sharedFields`. */
class GatewayFields implements SharedFields {
  readonly headers: Readonly<HeaderList>
  readonly block: string
  readonly #scheme: string
  readonly #host: string
  readonly #port: number
  readonly #via: string

  constructor(scheme: string, host: string, port: number, via: string) {
    this.#scheme = scheme
    this.#host = host
    this.#port = port
    this.#via = via
    const wholeVia = via === '' ? ownVia : via + ', ' + ownVia
    const portText = String(port)
    this.headers = [
      'x-forwarded-proto',
      scheme,
      'x-forwarded-host',
      host,
      'x-forwarded-port',
      portText,
      'via',
      wholeVia,
    ]
    const forwarded = '\r\nx-forwarded-proto: ' + scheme + '\r\nx-forwarded-host: ' + host
    this.block = forwarded + '\r\nx-forwarded-port: ' + portText + '\r\nvia: ' + wholeVia
    // Reading a character makes the engine put the pieces together: once here instead of in every head that holds them.
    this.block.charCodeAt(0)
  }

  are(scheme: string, host: string, port: number, via: string): boolean {
    return this.#scheme === scheme && this.#host === host && this.#port === port && this.#via === via
  }
}

let last = new GatewayFields('http', '', 0, '')

/**
 * What the gateway tells the upstream of how it was reached. Made anew only when something differs from the request before:
 * most requests of a gateway come to the same name (native-notes/costs.md).
 */
export function sharedFields({ scheme, forwardedHost, port, via }: Exchange): SharedFields {
  if (!last.are(scheme, forwardedHost, port, via)) last = new GatewayFields(scheme, forwardedHost, port, via)
  return last
}
