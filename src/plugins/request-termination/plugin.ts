import { STATUS_CODES } from 'node:http'
import { unescape } from 'node:querystring'
import type { AccessContext } from '../../core/context.ts'
import { hasHeader } from '../../core/headers.ts'
import { definePlugin, type LocalReply } from '../../core/plugin.ts'
import { bodiless, type Config, schema } from './schema.ts'

/** Answers in place of an upstream, always the same. */
export const requestTermination = definePlugin<Config>({
  name: 'request-termination',
  summary: 'Answers by itself: a health page, a maintenance notice, a blocked path.',
  class: 'traffic',
  priority: 2,
  phases: ['access'],
  schema,

  create(config) {
    const reply = replyOf(config)
    if (config.trigger === undefined) return { access: () => reply }
    const isTriggered = compileTrigger(config.trigger)
    return { access: (ctx) => (isTriggered(ctx) ? reply : undefined) }
  },
})

function replyOf({ status_code: status, message, body, content_type, headers }: Config): LocalReply {
  const fields = Object.entries(headers).flatMap(([name, value]) => [name.toLowerCase(), bytes(value)])
  if (bodiless.has(status)) return { status, headers: fields, body: '' }
  const type = bytes(content_type ?? 'application/json; charset=utf-8')
  const text = body ?? JSON.stringify({ message: message ?? STATUS_CODES[status] ?? 'Unknown' })
  return { status, headers: ['content-type', type, ...fields], body: text }
}

/** Response fields hold one character per byte. */
function bytes(text: string): string {
  return Buffer.from(text).toString('latin1')
}

function compileTrigger(name: string): (ctx: AccessContext) => boolean {
  const header = name.toLowerCase()
  return (ctx) => hasHeader(ctx.headers, header) || (ctx.query !== '' && hasParameter(ctx.query, name))
}

function hasParameter(query: string, name: string): boolean {
  return query.split('&').some((parameter) => {
    const equals = parameter.indexOf('=')
    return unescape((equals === -1 ? parameter : parameter.slice(0, equals)).replaceAll('+', ' ')) === name
  })
}
