/**
 * Writes what can be told from the code: docs/, the README of every plugin, and the tables between markers in
 * README.md. `--check` writes nothing and exits 1 when a file differs. Reads dist/: build first.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { configJsonSchema } from '../dist/config/json-schema.js'
import { referenceTables, schemaTable } from '../dist/config/reference.js'
import { rejections } from '../dist/core/errors.js'
import { plugins } from '../dist/plugins/index.js'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const note = '<!-- Written by `npm run docs`: change the code, not this file. -->'

const pages = new Map([
  ['README.md', readme()],
  ['docs/configuration.md', configuration()],
  ['docs/sluice.schema.json', `${JSON.stringify(configJsonSchema(), null, 2)}\n`],
  ...plugins.map((plugin) => [`src/plugins/${plugin.name}/README.md`, pluginPage(plugin)]),
])

const differing = [...pages].filter(([file, text]) => read(file) !== text).map(([file]) => file)
if (process.argv.includes('--check')) {
  for (const file of differing) console.error(`${file} is not what the code says: run npm run docs`)
  process.exit(differing.length === 0 ? 0 : 1)
}
for (const file of differing) {
  mkdirSync(dirname(join(root, file)), { recursive: true })
  writeFileSync(join(root, file), pages.get(file))
  console.log(`wrote ${file}`)
}

function readme() {
  return between(between(read('README.md'), 'plugins', pluginTable()), 'errors', errorTable())
}

/** The text with what stands between `<!-- name -->` and `<!-- /name -->` replaced. */
function between(text, name, content) {
  const [open, close] = [`<!-- ${name} -->`, `<!-- /${name} -->`]
  const [start, end] = [text.indexOf(open), text.indexOf(close)]
  if (start === -1 || end < start) throw new Error(`README.md has no place for ${name}`)
  return `${text.slice(0, start + open.length)}\n${content}${text.slice(end)}`
}

function pluginTable() {
  const rows = plugins.map(({ name, summary, priority }) => [
    `[${name}](src/plugins/${name}/README.md)`,
    summary,
    priority,
  ])
  return table(['plugin', '', 'in Kong'], rows)
}

function errorTable() {
  const rows = Object.values(rejections).map(({ status, code, source, message, close }) => [
    status,
    `\`${code}\``,
    source,
    message,
    close ? 'closed' : '',
  ])
  return table(['status', 'code', 'fault of', 'message', ''], rows)
}

function configuration() {
  const sections = referenceTables().map(
    ({ path, description, table: rows }) =>
      `## ${path === '' ? 'Top level' : `\`${path}\``}\n\n${path === '' ? '' : `${description}\n\n`}${rows}`,
  )
  return `${note}

# Configuration

Every setting of the configuration file. README has [the same by example](../README.md#configuration), each plugin its own page: ${plugins
    .map(({ name }) => `[${name}](../src/plugins/${name}/README.md)`)
    .join(', ')}.

Durations are \`50ms\`, \`10s\`, \`1m\`, \`1h\`, \`1d\` or a number of seconds; sizes are \`512\`, \`64kb\`, \`1mb\` in powers of 1024. \`\${env:NAME}\`, \`\${env:NAME:-default}\` and \`\${file:path}\` may stand anywhere in a value. Relative paths start in the folder of the file.

${sections.join('\n')}`
}

function pluginPage({ name, summary, class: kind, priority, schema }) {
  const settings = schemaTable(schema)
  const example = read(`src/plugins/${name}/example.yaml`)
  const failure =
    kind === 'security'
      ? 'when it fails or takes too long, the request is refused, whatever `on_timeout` says'
      : 'when it takes too long, `on_timeout` decides what becomes of the request'
  return `${note}

# ${name}

${summary}

Class ${kind}: ${failure}. Its number in Kong is ${priority}; [README](../../../README.md#plugins) has all plugins in their order.

## Settings

${settings === '' ? 'None.\n' : settings}
## Example

\`\`\`yaml
${example}\`\`\`
`
}

function table(head, rows) {
  const line = (cells) => `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |\n`
  return line(head) + line(head.map(() => '---')) + rows.map(line).join('')
}

/** `''` for a file that isn't there. */
function read(file) {
  return existsSync(join(root, file)) ? readFileSync(join(root, file), 'utf8') : ''
}
