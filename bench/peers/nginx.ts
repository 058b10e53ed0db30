import { isInstalled, openFiles } from '../processes.ts'
import { launch } from '../servers.ts'
import { kept, type Peer } from './peer.ts'

export const nginx: Peer = {
  name: 'nginx',
  isHere: isInstalled('nginx'),
  install: 'apt-get install nginx',
  chain: 'limit and log, no tokens',
  looksUp: true,
  start(setup) {
    const { origin, tls, chain, prefixes = ['/api/'] } = setup
    return launch({
      name: 'nginx',
      command: 'nginx',
      args: (path, folder) => ['-p', folder, '-c', path, '-e', 'stderr'],
      config: chain === undefined ? 'nginx.conf' : 'nginx-fullchain.conf',
      values: {
        origin: String(origin),
        kept: String(setup.kept ?? kept),
        files: String(openFiles()),
        connections: String(Math.min(16_384, openFiles())),
        secure: tls === undefined ? '' : 'ssl',
        tls:
          tls === undefined
            ? ''
            : `ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate ${tls.cert}; ssl_certificate_key ${tls.key};`,
        locations: prefixes.map((prefix) => `location ${prefix} { proxy_pass http://backend; }`).join('\n    '),
      },
      secure: tls !== undefined,
      credential: chain?.credential ?? null,
    })
  },
}
