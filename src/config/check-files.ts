import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Path } from './fault.ts'
import { reasonOf } from './fill.ts'
import type { Report } from './report.ts'
import type { Listener, Upstream } from './schema.ts'

/** Certificates of listeners: there, readable, fitting their keys, and one for each name. */
export function checkListenerTls(listeners: readonly Listener[], report: Report): void {
  listeners.forEach(({ tls }, i) => {
    const hosts = new Map<string, number>()
    tls?.certificates.forEach((certificate, j) => {
      const place: Path = ['listeners', i, 'tls', 'certificates', j]
      const first = checkPair(certificate.cert, certificate.key, place, report)
      const names = certificate.hosts.length === 0 ? [''] : certificate.hosts
      names.forEach((host, k) => {
        if (hosts.has(host)) {
          const words =
            host === ''
              ? 'needs "hosts": another certificate is the default one already'
              : `"${host}" has a certificate already`
          report.fault(host === '' ? place : [...place, 'hosts', k], words)
        }
        hosts.set(host, j)
        if (host !== '' && first !== null && !covers(first, host)) {
          report.warn([...place, 'hosts', k], `the certificate is not for "${host}"`)
        }
      })
    })
  })
}

/** Certificates for connections that the gateway makes, to an upstream or to Redis. */
export function checkClientTls(tls: Upstream['tls'], place: Path, report: Report): void {
  if (tls.ca !== null) {
    const text = read(tls.ca, [...place, 'tls', 'ca'], report)
    if (text !== null) parseCertificate(text, [...place, 'tls', 'ca'], report)
  }
  if (tls.cert !== null && tls.key !== null) checkPair(tls.cert, tls.key, [...place, 'tls'], report)
}

function checkPair(cert: string, key: string, place: Path, report: Report): X509Certificate | null {
  const certPlace = [...place, 'cert']
  const keyPlace = [...place, 'key']
  const certText = read(cert, certPlace, report)
  const keyText = read(key, keyPlace, report)
  const certificate = certText === null ? null : parseCertificate(certText, certPlace, report)
  const privateKey = keyText === null ? null : parseKey(keyText, keyPlace, report)
  if (certificate === null) return null
  if (privateKey !== null && !certificate.checkPrivateKey(privateKey))
    report.fault(keyPlace, 'is not the key of this certificate')
  const end = new Date(certificate.validTo)
  if (end.getTime() < Date.now())
    report.warn(certPlace, `the certificate is out of date since ${end.toISOString().slice(0, 10)}`)
  return certificate
}

function read(file: string, place: Path, report: Report): Buffer | null {
  report.files.add(file)
  try {
    return readFileSync(file)
  } catch (error) {
    report.fault(place, `the file ${file} can't be read: ${reasonOf(error)}`)
    return null
  }
}

function parseCertificate(text: Buffer, place: Path, report: Report): X509Certificate | null {
  try {
    return new X509Certificate(text)
  } catch {
    report.fault(place, 'must be a PEM file with a certificate')
    return null
  }
}

function parseKey(text: Buffer, place: Path, report: Report): KeyObject | null {
  try {
    return createPrivateKey(text)
  } catch {
    report.fault(place, 'must be a PEM file with a private key that is not encrypted')
    return null
  }
}

/** The file of revocations appears with the first one: its folder must be there. */
export function checkRevocationsFile(file: string | null, report: Report): void {
  if (file === null || statSync(dirname(file), { throwIfNoEntry: false })?.isDirectory() === true) return
  report.fault(['security', 'revocations', 'file'], `the folder ${dirname(file)} does not exist`)
}

/** Wildcards are asked for by a name that they cover. */
function covers(certificate: X509Certificate, host: string): boolean {
  return certificate.checkHost(host.startsWith('*.') ? `any${host.slice(1)}` : host) !== undefined
}
