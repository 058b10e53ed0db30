import { isAddressBlock } from '../../core/address-set.ts'
import type { Candidate, Entry } from './candidate.ts'
import { compareEntries } from './candidate.ts'
import { parseHost } from './host.ts'
import { parsePath } from './pattern.ts'
import type { FieldSource, Predicate } from './predicate.ts'
import { ClientIpDemand, ContentTypeDemand, compileField, parseMediaType } from './predicate.ts'
import type { FieldPredicate, RouteRule } from './rule.ts'
import { RuleError } from './rule.ts'
import { parseDropPrefix, segmentsBeforeLastLiteral } from './strip.ts'

/** Every route by every path at every host, in match order. Throws a `RuleError` that names the route and the value. */
export function compileEntries<R>(rules: readonly RouteRule<R>[]): Entry<R>[] {
  const entries: Entry<R>[] = []
  rules.forEach((rule, ruleIndex) => {
    const faults: RuleFault[] = []
    entries.push(...compileRule(rule, ruleIndex, faults))
    const [fault] = faults
    if (fault !== undefined) throw new RuleError(`route "${rule.name}": ${fault.path.join('.')}: ${fault.message}`)
  })
  return entries.sort(compareEntries)
}

/** Something in a rule that can't be compiled. */
export interface RuleFault {
  /** Leads to the value, from the route in the configuration: `['paths', 0]`, `['headers', 'x-version']`. */
  readonly path: readonly (string | number)[]
  readonly message: string
}

/** Every fault of a rule; when there is none, `compileRouter` takes it. */
export function ruleFaults(rule: RouteRule<unknown>): RuleFault[] {
  const faults: RuleFault[] = []
  compileRule(rule, 0, faults)
  return faults
}

const noPredicates: readonly Predicate[] = Object.freeze([])
const catchAll: readonly string[] = ['/*']

function parseRange(text: string): string {
  if (!isAddressBlock(text)) throw new RuleError('is not an IP address or CIDR range')
  return text
}

/** The entries of a rule. What can't be compiled is left out and noted in `faults`. */
function compileRule<R>(rule: RouteRule<R>, ruleIndex: number, faults: RuleFault[]): Entry<R>[] {
  const each = <T>(key: string, values: readonly string[], parse: (value: string) => T): T[] =>
    values.flatMap((value, index) => attempt(faults, [key, index], () => parse(value)))
  const fields = (key: string, source: FieldSource, values: readonly FieldPredicate[]): Predicate[] =>
    values.flatMap((value) => attempt(faults, [key, value.name], () => compileField(source, value)))

  const paths = each('paths', rule.paths.length === 0 ? catchAll : rule.paths, parsePath)
  const hosts = rule.hosts.length === 0 ? [null] : each('hosts', rule.hosts, parseHost)
  const headers = [...fields('headers', 'header', rule.headers), ...fields('cookies', 'cookie', rule.cookies)]
  const contentTypes = each('content_types', rule.contentTypes, parseMediaType)
  if (contentTypes.length > 0) headers.push(new ContentTypeDemand(contentTypes))
  const clientIps = each('client_ips', rule.clientIps, parseRange)
  if (clientIps.length > 0) headers.push(new ClientIpDemand(clientIps))
  const query = fields('query', 'query', rule.query)
  const [dropPrefix = ''] = attempt(faults, ['strip_path'], () => parseDropPrefix(rule.stripPath))

  const methods = statedMethods(rule.methods)
  const predicates = headers.length + query.length === 0 ? noPredicates : [...headers, ...query]
  return paths.flatMap((path, pathIndex) => {
    const candidate: Candidate<R> = {
      route: rule.route,
      pattern: path.text,
      paramNames: path.paramNames,
      dropSegments: rule.stripPath === true ? segmentsBeforeLastLiteral(path) : 0,
      dropPrefix,
      methods,
      predicates,
      paramSegments: parameterSegments(path.segments),
      regex: path.regex,
    }
    return hosts.map((host) => ({
      rule,
      host,
      path,
      candidate,
      headerPredicates: headers.length,
      queryPredicates: query.length,
      ruleIndex,
      pathIndex,
    }))
  })
}

function attempt<T>(faults: RuleFault[], path: RuleFault['path'], compile: () => T): [T] | [] {
  try {
    return [compile()]
  } catch (error) {
    if (!(error instanceof RuleError)) throw error
    faults.push({ path, message: error.message })
    return []
  }
}

function statedMethods(methods: readonly string[]): readonly string[] | null {
  if (methods.length === 0) return null
  return methods.includes('GET') && !methods.includes('HEAD') ? [...methods, 'HEAD'] : methods
}

const noSegments: readonly number[] = Object.freeze([])

function parameterSegments(segments: readonly (string | null)[]): readonly number[] {
  const indexes = segments.flatMap((segment, index) => (segment === null ? [index] : []))
  return indexes.length === 0 ? noSegments : indexes
}
