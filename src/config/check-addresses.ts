import { isLoopback } from './address.ts'
import type { Path } from './fault.ts'
import type { Report } from './report.ts'
import type { Config } from './schema.ts'

/** Listeners and admin port: each address once, and nothing open that must not be. */
export function checkAddresses({ listeners, admin }: Config, report: Report): void {
  const taken: { readonly host: string; readonly port: number; readonly words: string }[] = []
  const claim = (host: string, port: number, words: string, place: Path): void => {
    const other = taken.find(
      (one) => port !== 0 && one.port === port && (one.host === host || isAny(one.host) || isAny(host)),
    )
    if (other !== undefined) report.fault(place, `${other.words} listens there already`)
    taken.push({ host, port, words })
  }
  listeners.forEach(({ host, port }, i) => claim(host, port, `listeners[${i}]`, ['listeners', i, 'address']))
  if (admin === null) return
  claim(admin.host, admin.port, 'the admin port', ['admin', 'address'])
  if (!isLoopback(admin.host) && admin.token === null) {
    report.fault(
      ['admin', 'address'],
      'anybody could reach the admin port there: it needs a "token", or an address on loopback',
    )
  }
}

function isAny(host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}
