import { readFileSync } from 'node:fs'
import { connect as connectTcp, isIP, type LookupFunction, type Socket } from 'node:net'
import { type ConnectionOptions, checkServerIdentity, connect as connectTls, createSecureContext } from 'node:tls'
import type { RejectionCode } from '../../core/errors.ts'
import type { ClientSettings, ClientTls } from './client.ts'
import type { Resolver } from './resolver.ts'

/** Why a connection could not be opened. */
export interface OpeningFailure {
  readonly code: RejectionCode
  readonly detail: string
}

/** Opens sockets to one target. `opened` and `failed` come later, one of them once, unless the socket is destroyed. */
export type Connector = (opened: (http2: boolean) => void, failed: (failure: OpeningFailure) => void) => Socket

/** Probes of an idle connection find out that the other side is gone. Milliseconds. */
const probeDelay = 60_000

/** Makes the connector of a target. Reads the certificate files; throws when one can't be read or used. */
export function createConnector(settings: ClientSettings, resolver: Resolver): Connector {
  const { host, port, tls, http2 } = settings
  const address = {
    host,
    port,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: probeDelay,
    lookup: lookupWith(resolver),
  }
  const secure = tls === null ? null : secureOptions(tls, http2)
  let session: Buffer | undefined

  return (opened, failed) => {
    let reached = false
    const socket =
      secure === null
        ? connectTcp(address)
        : connectTls({ ...address, ...secure, ...(session === undefined ? undefined : { session }) })
    const onError = (err: NodeJS.ErrnoException): void => failed(openingFailure(err, reached && secure !== null))
    socket.once('connect', () => {
      reached = true
    })
    socket.on('error', onError)
    socket.once(secure === null ? 'connect' : 'secureConnect', () => {
      socket.off('error', onError)
      // Without TLS there is nothing to negotiate by: HTTP/2 asked for means that the target is known to speak it.
      opened(secure === null ? http2 : (socket as { alpnProtocol?: unknown }).alpnProtocol === 'h2')
    })
    // The ticket saves the next connection the costly half of a handshake.
    if (secure !== null) socket.on('session', (ticket: Buffer) => (session = ticket))
    return socket
  }
}

/** Node tries the addresses in order, a second family beside the first when that one hesitates (RFC 8305). */
function lookupWith(resolver: Resolver): LookupFunction {
  return (host, options, settle) => {
    const answer = (addresses: readonly string[]): void => {
      if (options.all === true) settle(null, addresses.map(withFamily))
      else settle(null, addresses[0] as string, isIP(addresses[0] as string))
    }
    Promise.resolve(resolver.resolve(host)).then(answer, (err: NodeJS.ErrnoException) => settle(err, ''))
  }
}

function withFamily(address: string): { address: string; family: number } {
  return { address, family: isIP(address) }
}

function secureOptions({ serverName, verify, ca, cert, key }: ClientTls, http2: boolean): ConnectionOptions {
  return {
    secureContext: createSecureContext({
      ...(ca === null ? undefined : { ca: readFileSync(ca) }),
      ...(cert === null ? undefined : { cert: readFileSync(cert) }),
      ...(key === null ? undefined : { key: readFileSync(key) }),
    }),
    // An address has no place in SNI (RFC 6066 §3); the certificate is checked against it all the same.
    servername: isIP(serverName) === 0 ? serverName : '',
    checkServerIdentity: (_host, certificate) => checkServerIdentity(serverName, certificate),
    rejectUnauthorized: verify,
    ALPNProtocols: http2 ? ['h2', 'http/1.1'] : ['http/1.1'],
  }
}

function openingFailure(err: NodeJS.ErrnoException, handshaking: boolean): OpeningFailure {
  const detail = err.code ?? err.name
  if (handshaking) return { code: 'upstream_tls_failed', detail }
  if (detail === 'ENOTFOUND' || detail.startsWith('EAI_')) return { code: 'upstream_name_not_resolved', detail }
  if (detail === 'ETIMEDOUT') return { code: 'upstream_connect_timeout', detail }
  return { code: 'upstream_connection_refused', detail }
}
