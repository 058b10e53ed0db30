import { randomUUID } from 'node:crypto'
import type { AccessContext, ResponseContext } from '../../core/context.ts'
import { type HeaderList, setHeader } from '../../core/headers.ts'
import { definePlugin } from '../../core/plugin.ts'
import { type Config, schema } from './schema.ts'

/** What an id may consist of: it goes into logs, headers and queries of whoever is behind us. */
const sane = /^[\w.:;,=+/@#-]{1,128}$/

/** Keeps the correlation id that a client sends when it is sane, else makes one; the upstream always gets one. */
export const correlationId = definePlugin<Config>({
  name: 'correlation-id',
  summary: 'Gives every request an id that the upstream, and the client, can be asked by.',
  class: 'observability',
  priority: 1,
  phases: ['access', 'response'],
  schema,

  create({ header_name: name, generator, echo_downstream: echo }) {
    // Every request has this one anyway, in both directions.
    if (name === 'x-request-id') return {}

    const generate = generators[generator]()
    const access = (ctx: AccessContext): undefined => {
      const id = saneValue(ctx.headers, name) ?? generate(ctx)
      setHeader(ctx.headers, name, id)
      if (echo) ctx.addResponseHeader(name, id)
    }
    return echo ? { access, response: (ctx: ResponseContext) => keepLast(ctx.responseHeaders, name) } : { access }
  },
})

function saneValue(headers: Readonly<HeaderList>, name: string): string | undefined {
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i] === name && sane.test(headers[i + 1] as string)) return headers[i + 1]
  }
  return undefined
}

/** Our id was added behind whatever the upstream sent under that name. */
function keepLast(headers: HeaderList, name: string): void {
  let isOurs = true
  for (let i = headers.length - 2; i >= 0; i -= 2) {
    if (headers[i] !== name) continue
    if (!isOurs) headers.splice(i, 2)
    isOurs = false
  }
}

const generators: Record<Config['generator'], () => (ctx: AccessContext) => string> = {
  uuid: () => () => randomUUID(),

  'uuid#counter': () => {
    const prefix = `${randomUUID()}#`
    let counter = 0
    return () => prefix + ++counter
  },

  tracker: () => {
    const { pid } = process
    let counter = 0
    return (ctx) => `${ctx.port}-${pid}-${++counter}-${(Date.now() / 1000).toFixed(3)}`
  },
}
