import type { Explained, ExplainedIdentity, ExplainedPlugin, ExplainedUpstream } from './explain.ts'
import { columns, type Output, styled } from './output.ts'

/** Candidates that are listed whatever became of them; of longer tables only those whose host and path match. */
const fewCandidates = 20

/** Writes an explanation for people. */
export function writeExplanation(explained: Explained, output: Output): void {
  const { request, dropped, answer } = explained
  const bold = (text: string): string => styled(output, 'bold', text)
  const query = request.query === '' ? '' : `?${request.query}`
  output.out(`${bold(`${request.method} ${request.host}${request.path}${query}`)}\n\n`)

  const facts: string[][] = []
  if (dropped.length > 0) facts.push(['dropped', `${dropped.join(', ')} (taken out of every request)`])
  if (answer !== null) {
    const allow = answer.allow.length === 0 ? '' : `, Allow: ${answer.allow.join(', ')}`
    facts.push(['answer', `${answer.status} ${answer.code}${allow}`])
  } else {
    facts.push(['route', `${explained.route} (by ${explained.pattern})`])
    for (const [name, value] of Object.entries(explained.params)) facts.push(['param', `${name} = ${value}`])
    if (explained.identity !== null) facts.push(['callers', callersText(explained.identity)])
    if (explained.upstream !== null) facts.push(['sends', `${request.method} ${explained.upstream.target}`])
  }
  output.out(columns(facts))
  writeCandidates(explained, output, bold)
  if (answer !== null) return
  output.out(`\n${bold('plugins, in order')}\n${pluginLines(explained.plugins)}`)
  output.out(`\n${bold('upstream')}\n${upstreamLines(explained.upstream)}`)
}

function callersText({ required, by, match, anonymous }: ExplainedIdentity): string {
  if (by.length === 0) return 'anybody'
  const plugins = by.join(match === 'all' ? ' and ' : ' or ')
  if (anonymous !== null) return `known by ${plugins}, without credentials as ${anonymous}`
  return required ? `known by ${plugins}` : `known by ${plugins}, or anybody`
}

function writeCandidates(
  { candidates, route, pattern }: Explained,
  output: Output,
  bold: (text: string) => string,
): void {
  if (candidates.length === 0) return
  const isNear = (failed: string | null): boolean => failed === null || !/^(?:host|path):/.test(failed)
  const shown = candidates.length <= fewCandidates ? candidates : candidates.filter(({ failed }) => isNear(failed))
  const taken = candidates.findIndex((one) => one.failed === null && one.route === route && one.path === pattern)
  const rows = shown.map((one) => {
    const isTaken = one === candidates[taken]
    const why = isTaken ? 'takes it' : (one.failed ?? `would match, but comes after ${route}`)
    return [isTaken ? '✓' : one.failed === null ? '·' : '✗', one.route, one.path, why]
  })
  output.out(`\n${bold('candidates, in the order in which they are tried')}\n${columns(rows, '  ')}`)
  const rest = candidates.length - shown.length
  if (rest > 0) output.out(`  and ${rest} more whose host or path does not match\n`)
}

function pluginLines(plugins: readonly ExplainedPlugin[]): string {
  if (plugins.length === 0) return '  none\n'
  return plugins
    .map(({ name, origin, use, timeout, on_timeout, config }) => {
      const module = use === null ? '' : `, ${use}`
      const limit = timeout === null ? '' : `, at most ${timeout} ms, else ${on_timeout}`
      return `  ${name} (${origin}${module}${limit})\n${settingLines(config)}`
    })
    .join('')
}

function settingLines(config: unknown): string {
  if (typeof config !== 'object' || config === null) return ''
  return columns(
    Object.entries(config).map(([key, value]) => [key, JSON.stringify(value) ?? String(value)]),
    '    ',
  )
}

function upstreamLines(upstream: ExplainedUpstream | null): string {
  if (upstream === null) return '  none: a plugin answers\n'
  const { name, protocol, client, targets } = upstream
  const sum = targets.reduce((total, { weight }) => total + weight, 0)
  const rows = targets.map(({ target, weight }) => [
    target,
    `weight ${weight}`,
    `${Math.round((weight / sum) * 1000) / 10} %`,
  ])
  return `  ${name} (${protocol}, ${client} client)\n${columns(rows, '    ')}`
}
