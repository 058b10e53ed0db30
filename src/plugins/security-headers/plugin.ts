import { type HeaderList, hasHeader, removeHeader, setHeader } from '../../core/headers.ts'
import { definePlugin } from '../../core/plugin.ts'
import { type Config, schema } from './schema.ts'

/** Fields that tell browsers to be careful, and none that tell attackers what runs here. */
export const securityHeaders = definePlugin<Config>({
  name: 'security-headers',
  summary: 'Sets the headers by which browsers protect their users, and hides what the upstream runs on.',
  class: 'security',
  priority: 790,
  phases: ['response'],
  schema,

  create(config) {
    const everywhere = fieldsOf(config)
    const overHttps = [...everywhere, ...hstsOf(config)]
    const removed = [...(config.hide_server ? ['server', 'x-powered-by'] : []), ...config.remove]
    const write = config.override ? setHeader : addHeader

    return {
      response(ctx) {
        const headers = ctx.responseHeaders
        for (let i = 0; i < removed.length; i++) removeHeader(headers, removed[i] as string)
        // Over HTTP the field means nothing (RFC 6797 §7.2).
        const fields = ctx.scheme === 'https' ? overHttps : everywhere
        for (let i = 0; i < fields.length; i += 2) write(headers, fields[i] as string, fields[i + 1] as string)
      },
    }
  },
})

function addHeader(list: HeaderList, name: string, value: string): void {
  if (!hasHeader(list, name)) list.push(name, value)
}

function fieldsOf(config: Config): HeaderList {
  const fields: [string, string | false][] = [
    ['x-content-type-options', config.content_type_options && 'nosniff'],
    ['x-frame-options', config.frame_options],
    ['referrer-policy', config.referrer_policy],
    ['content-security-policy', config.content_security_policy],
    ['permissions-policy', config.permissions_policy],
    ['cross-origin-opener-policy', config.cross_origin_opener_policy],
    ['cross-origin-resource-policy', config.cross_origin_resource_policy],
  ]
  // Response fields hold one character per byte.
  return fields.flatMap(([name, value]) => (value === false ? [] : [name, Buffer.from(value).toString('latin1')]))
}

function hstsOf({ hsts }: Config): HeaderList {
  if (hsts === false) return []
  const subdomains = hsts.include_subdomains ? '; includeSubDomains' : ''
  return ['strict-transport-security', `max-age=${hsts.max_age}${subdomains}${hsts.preload ? '; preload' : ''}`]
}
