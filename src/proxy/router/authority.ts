const authorityPattern = /^(?:\[[0-9a-f:.]+\]|[a-z0-9\-._~%!$&'()*+,;=]+)(?::[0-9]{1,5})?$/

/** Hostnames by authority as sent: hosts are few, parsing them once is enough. Bounded, for clients choose the keys. */
const hostnames = new Map<string, string>()

/** Lower-case host without port and trailing dot, or `''` when `authority` is not one (RFC 9110 §7.2). */
export function hostnameOf(authority: string): string {
  let hostname = hostnames.get(authority)
  if (hostname === undefined) {
    if (hostnames.size >= 1024) hostnames.clear()
    hostname = parseHostname(authority)
    hostnames.set(authority, hostname)
  }
  return hostname
}

function parseHostname(authority: string): string {
  const lower = authority.toLowerCase()
  if (lower.length > 261 || !authorityPattern.test(lower)) return ''
  const port = lower.startsWith('[') ? lower.indexOf(':', lower.indexOf(']')) : lower.indexOf(':')
  const host = port === -1 ? lower : lower.slice(0, port)
  return host.endsWith('.') ? host.slice(0, -1) : host
}
