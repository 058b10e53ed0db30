import { definePlugin } from '../../core/plugin.ts'
import { type EditKind, editHeaders, type HeaderEdit, splitPair } from '../header-edit.ts'
import { type Config, schema } from './schema.ts'

/** Changes the header fields of answers: the upstream's, local replies and errors alike. */
export const responseTransformer = definePlugin<Config>({
  name: 'response-transformer',
  summary: 'Changes header fields of the answer that goes to the client.',
  class: 'transformation',
  priority: 800,
  phases: ['response'],
  schema,

  create(config) {
    const { edits, values } = compileEdits(config)
    if (edits.length === 0) return {}
    const statuses = compileStatuses(config.if_status)

    return {
      response(ctx) {
        if (statuses !== null && statuses[ctx.status] !== 1) return
        editHeaders(ctx.responseHeaders, edits, values)
      },
    }
  },
})

const order: readonly EditKind[] = ['remove', 'rename', 'replace', 'set', 'add', 'append']

function compileEdits(config: Config): { edits: HeaderEdit[]; values: string[] } {
  const edits: HeaderEdit[] = []
  const values: string[] = []
  for (const kind of order) {
    for (const entry of config[kind].headers) {
      const [name, text] = kind === 'remove' ? [entry, ''] : splitPair(entry)
      const edit = { kind, name: name.toLowerCase(), to: '', slot: -1 }
      if (kind === 'remove') edits.push(edit)
      else if (kind === 'rename') edits.push({ ...edit, to: text.toLowerCase() })
      else {
        edits.push({ ...edit, slot: values.length })
        // Response fields hold one character per byte.
        values.push(Buffer.from(text).toString('latin1'))
      }
    }
  }
  return { edits, values }
}

/** 1 at each status that is meant; `null` when all are. */
function compileStatuses(ranges: readonly string[]): Uint8Array | null {
  if (ranges.length === 0) return null
  const statuses = new Uint8Array(600)
  for (const range of ranges) {
    const [first, last = first] = range.split('-').map(Number) as [number, number?]
    statuses.fill(1, first, last + 1)
  }
  return statuses
}
