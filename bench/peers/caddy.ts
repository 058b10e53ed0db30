import { isInstalled } from '../processes.ts'
import { launch } from '../servers.ts'
import { kept, type Peer } from './peer.ts'

export const caddy: Peer = {
  name: 'caddy',
  isHere: isInstalled('caddy'),
  install: 'apt-get install caddy',
  chain: 'log, no tokens, no limit',
  looksUp: false,
  start(setup) {
    const { origin, tls, chain } = setup
    return launch({
      name: 'caddy',
      command: 'caddy',
      args: (path) => ['run', '--adapter', 'caddyfile', '--config', path],
      config: 'Caddyfile',
      values: {
        origin: String(origin),
        kept: String(setup.kept ?? kept),
        scheme: tls === undefined ? 'http' : 'https',
        tls: tls === undefined ? '' : `tls ${tls.cert} ${tls.key}`,
        log: chain === undefined ? '' : 'log',
        level: chain === undefined ? 'ERROR' : 'INFO',
      },
      // One core, one thread of Go code: more would take turns on it.
      env: { GOMAXPROCS: '1', HOME: '/tmp', XDG_DATA_HOME: '/tmp', XDG_CONFIG_HOME: '/tmp' },
      secure: tls !== undefined,
      credential: chain?.credential ?? null,
    })
  },
}
