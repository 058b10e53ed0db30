import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createFolder, isInstalled } from '../processes.ts'
import { launch } from '../servers.ts'
import type { Peer } from './peer.ts'

export const haproxy: Peer = {
  name: 'haproxy',
  isHere: isInstalled('haproxy'),
  install: 'apt-get install haproxy',
  chain: 'verifies each token anew, counts in a stick table, logs',
  looksUp: true,
  start({ origin, tls, chain, prefixes }) {
    return launch({
      name: 'haproxy',
      command: 'haproxy',
      args: (path) => ['-db', '-f', path],
      config: chain === undefined ? 'haproxy.cfg' : 'haproxy-fullchain.cfg',
      values: {
        origin: String(origin),
        tls: tls === undefined ? '' : `ssl crt ${tls.both}`,
        route: prefixes === undefined ? 'default_backend backend' : `use_backend %[path,map_beg(${mapOf(prefixes)})]`,
        key: join(chain?.folder ?? '', 'public.pem'),
      },
      secure: tls !== undefined,
      credential: chain?.credential ?? null,
    })
  },
}

/** A file that says which backend a prefix belongs to. */
function mapOf(prefixes: readonly string[]): string {
  const file = join(createFolder(), 'routes.map')
  writeFileSync(file, prefixes.map((prefix) => `${prefix} backend\n`).join(''))
  return file
}
