import { rejections } from '../../core/errors.ts'
import type { HeaderList } from '../../core/headers.ts'
import { definePlugin } from '../../core/plugin.ts'
import { type Config, payloadSize, schema } from './schema.ts'

/**
 * Limits request bodies. A length that is known beforehand is refused at once; a body that comes in chunks is counted
 * by the proxy, which gets the limit by `bodyLimit`.
 */
export const requestSizeLimiting = definePlugin<Config>({
  name: 'request-size-limiting',
  summary: 'Limits the size and the content types of request bodies.',
  class: 'traffic',
  priority: 951,
  phases: ['access'],
  schema,

  create(config) {
    const limit = payloadSize(config)
    const needsLength = config.require_content_length
    const accepts = config.allowed_content_types.length > 0 ? compileTypes(config.allowed_content_types) : null

    return {
      access(ctx) {
        const length = ctx.bodyLength
        if (length === 0) return undefined
        if (length > limit) return rejections.body_too_large
        if (length === -1 && needsLength) return rejections.length_required
        if (accepts !== null && !accepts(ctx.headers)) return rejections.unsupported_media_type
        if (ctx.bodyLimit === 0 || limit < ctx.bodyLimit) ctx.bodyLimit = limit
        return undefined
      },
    }
  },
})

/** Whether the one Content-Type of a request is among `types`. A body without, or with several, is not. */
function compileTypes(types: readonly string[]): (headers: Readonly<HeaderList>) => boolean {
  const exact = new Set(types)
  const ranges = types.filter((type) => type.includes('*')).map(pattern)

  return (headers) => {
    let field: string | null = null
    for (let i = 0; i < headers.length; i += 2) {
      if (headers[i] !== 'content-type') continue
      if (field !== null) return false
      field = headers[i + 1] as string
    }
    if (field === null) return false
    const end = field.indexOf(';')
    const type = (end === -1 ? field : field.slice(0, end)).trim().toLowerCase()
    if (exact.has(type)) return true
    for (let i = 0; i < ranges.length; i++) if ((ranges[i] as RegExp).test(type)) return true
    return false
  }
}

function pattern(range: string): RegExp {
  const source = range.split('*').map((part) => part.replace(/[.+^$]/g, '\\$&'))
  return new RegExp(`^${source.join('[\\w!#$&^.+-]+')}$`)
}
