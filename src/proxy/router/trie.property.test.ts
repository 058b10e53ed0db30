import fc from 'fast-check'
import { expect, it } from 'vitest'
import { RequestContext } from '../../core/context.ts'
import { explainMatch } from './explain.ts'
import type { FieldPredicate, RouteRule } from './trie.ts'
import { compileRouter } from './trie.ts'

/**
 * The router against the contract's rules written down as plainly as possible: every route by every path at every host,
 * those whose every predicate holds, sorted. Shares no code with the router.
 */

interface Outcome {
  route: string
  pattern: string
  params: Record<string, string>
}

function reference(
  rules: readonly RouteRule<string>[],
  request: RequestContext,
): { match: Outcome | null; allowed: string[] } {
  const found: { key: (number | string)[]; outcome: Outcome; methods: readonly string[] }[] = []
  rules.forEach((rule, ruleIndex) => {
    if (!everyPredicateHolds(rule, request)) return
    const headers =
      rule.headers.length + rule.cookies.length + Math.sign(rule.contentTypes.length) + Math.sign(rule.clientIps.length)
    rule.paths.forEach((pattern, pathIndex) => {
      const path = readPath(pattern)
      const groups = path.regex.exec(request.path)
      if (groups === null) return
      for (const host of rule.hosts.length === 0 ? [null] : rule.hosts) {
        const hostKey = hostKeyOf(host, request.hostname)
        if (hostKey === null) continue
        const place = [ruleIndex, pathIndex]
        const stated = rule.methods.length === 0 ? 1 : 0
        found.push({
          key: [
            ...hostKey,
            ...path.key,
            ...(pattern.startsWith('~') ? place : []),
            stated,
            -headers,
            -rule.query.length,
            ...place,
          ],
          outcome: {
            route: rule.route,
            pattern,
            params: Object.fromEntries(path.names.map((name, index) => [name, groups[index + 1] ?? ''])),
          },
          methods: rule.methods,
        })
      }
    })
  })
  found.sort((a, b) => compareKeys(a.key, b.key))
  const allows = (methods: readonly string[]) =>
    methods.length === 0 || methods.includes(request.method) || (request.method === 'HEAD' && methods.includes('GET'))
  const allowed = found.flatMap(({ methods }) => (methods.includes('GET') ? [...methods, 'HEAD'] : methods))
  return { match: found.find(({ methods }) => allows(methods))?.outcome ?? null, allowed: [...new Set(allowed)].sort() }
}

function hostKeyOf(host: string | null, hostname: string): number[] | null {
  const name = hostname.replace(/\.$/, '')
  if (host === null) return [2, 0]
  if (!host.startsWith('*')) return host === name ? [0, 0] : null
  return name.endsWith(host.slice(1)) && name.length >= host.length ? [1, -host.length] : null
}

function readPath(pattern: string): { regex: RegExp; names: string[]; key: (number | string)[] } {
  if (pattern === '/*') return { regex: /^/, names: [], key: [4] }
  const names = [...pattern.matchAll(/\{(\w+)\}|\?<(\w+)>/g)].map((found) => found[1] ?? found[2] ?? '')
  if (pattern.startsWith('~')) return { regex: new RegExp(pattern.slice(1)), names, key: [3] }
  const prefix = pattern.endsWith('/*')
  const segments = pattern.replace(/\/\*$/, '').slice(1).split('/')
  const source = segments.map((segment) => (segment.startsWith('{') ? '/([^/]+)' : `/${segment}`)).join('')
  const shape = segments.map((segment) => (segment.startsWith('{') ? 'p' : 'l')).join('')
  return {
    regex: new RegExp(`^${source}${prefix ? '(?:/.*)?' : ''}$`),
    names,
    key: prefix ? [2, -segments.length, shape] : [names.length === 0 ? 0 : 1, 0, shape],
  }
}

function compareKeys(a: (number | string)[], b: (number | string)[]): number {
  const at = a.findIndex((part, index) => part !== b[index])
  return at < 0 ? 0 : (a[at] as number) < (b[at] as number) ? -1 : 1
}

function everyPredicateHolds(rule: RouteRule<string>, request: RequestContext): boolean {
  const fields = request.headers.flatMap((name, i) =>
    i % 2 === 0 ? [[name, request.headers[i + 1] ?? ''] as const] : [],
  )
  const valuesOf = (name: string) => fields.filter((field) => field[0] === name).map((field) => field[1])
  const cookies = valuesOf('cookie').flatMap((line) =>
    line.split('; ').map((pair) => pair.split('=') as [string, string]),
  )
  const query = [...new URLSearchParams(request.query)]
  const takes = ({ values, pattern }: FieldPredicate, sent: string[]) =>
    sent.some(
      (value) => values.includes(value) || (pattern === null ? values.length === 0 : new RegExp(pattern).test(value)),
    )
  const named = (pairs: (readonly [string, string])[], name: string) =>
    pairs.filter(([key]) => key === name).map(([, value]) => value)
  const type = valuesOf('content-type')[0]?.split(';')[0]?.toLowerCase()
  return (
    rule.headers.every((header) => takes(header, valuesOf(header.name))) &&
    rule.cookies.every((cookie) => takes(cookie, named(cookies, cookie.name))) &&
    rule.query.every((parameter) => takes(parameter, named(query, parameter.name))) &&
    (rule.contentTypes.length === 0 ||
      rule.contentTypes.some((wanted) =>
        wanted.endsWith('*') ? type?.startsWith(wanted.slice(0, -1)) : type === wanted,
      )) &&
    (rule.clientIps.length === 0 ||
      rule.clientIps.some((range) => request.clientIp.startsWith(range.replace(/\.0.*/, ''))))
  )
}

const literal = fc.constantFrom('a', 'b', 'c')
const shapes = fc.array(fc.oneof({ weight: 2, arbitrary: literal }, { weight: 1, arbitrary: fc.constant('{}') }), {
  minLength: 1,
  maxLength: 4,
})
const plainPath = fc.tuple(shapes, fc.constantFrom('', '', '', '/', '/*', '/*')).map(([segments, tail]) => {
  const path = segments.map((segment, index) => (segment === '{}' ? `{p${index}}` : segment)).join('/')
  return `/${path}${tail}`
})
const path = fc.oneof(
  { weight: 8, arbitrary: plainPath },
  {
    weight: 1,
    arbitrary: fc.constantFrom('/*', '/', '~^/a', '~b$', '~/c/', '~^/(?<first>[ab])/(?<rest>.*)$', '~^/(?<x>d)?'),
  },
)
const fields = (names: string[]) =>
  fc.array(
    fc.record({
      name: fc.constantFrom(...names),
      values: fc.constantFrom([], ['1'], ['1', '2']),
      pattern: fc.constantFrom(null, null, '^1', '2$'),
    }),
    { maxLength: 2 },
  )
const seldom = <T>(arbitrary: fc.Arbitrary<T[]>): fc.Arbitrary<T[]> =>
  fc.oneof({ weight: 4, arbitrary: fc.constant<T[]>([]) }, { weight: 1, arbitrary })

const rule = fc.record({
  hosts: fc.oneof(
    { weight: 2, arbitrary: fc.constant([]) },
    {
      weight: 1,
      arbitrary: fc.uniqueArray(fc.constantFrom('x.org', 'a.x.org', '*.x.org', '*.a.x.org', '*.org'), {
        minLength: 1,
        maxLength: 3,
      }),
    },
  ),
  paths: fc.uniqueArray(path, { minLength: 1, maxLength: 3 }),
  methods: fc.oneof(fc.constant([]), fc.uniqueArray(fc.constantFrom('GET', 'POST', 'HEAD', 'PUT'), { maxLength: 2 })),
  headers: seldom(fields(['h', 'i'])),
  query: seldom(fields(['q', 'r s'])),
  cookies: seldom(fields(['k'])),
  contentTypes: seldom(fc.constantFrom(['text/plain'], ['text/*'], ['application/json', 'text/html'])),
  clientIps: seldom(fc.constantFrom(['10.0.0.0/8'], ['192.168.0.0/16', '10.0.0.0/8'])),
})

const request = fc.record({
  method: fc.constantFrom('GET', 'GET', 'POST', 'HEAD', 'PUT', 'get'),
  path: fc
    .tuple(fc.array(fc.constantFrom('a', 'b', 'c', 'd', 'ab'), { maxLength: 5 }), fc.constantFrom('', '', '/'))
    .map(([segments, tail]) => `/${segments.join('/')}${segments.length === 0 ? '' : tail}`),
  hostname: fc.constantFrom('x.org', 'a.x.org', 'b.a.x.org', 'c.b.a.x.org', 'y.org', 'org', 'ax.org', 'x.org.', ''),
  query: fc.constantFrom('', 'q=1', 'q=2&q=12', 'r+s=1', 'r%20s', '%71=%31&x', 'q', 'qq=1&q='),
  headers: fc
    .subarray([
      'h=1',
      'h=2',
      'i=12',
      'i=1',
      'cookie=k=1; l=2',
      'cookie=l=1; k=12',
      'content-type=text/plain; charset=utf-8',
      'content-type=Application/JSON',
    ])
    .map((lines) => lines.flatMap((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)])),
  clientIp: fc.constantFrom('10.1.2.3', '192.168.7.7', '9.9.9.9'),
})

it('matches as the plain reading of the contract does, over random tables and requests', () => {
  let matched = 0
  let refused = 0
  fc.assert(
    fc.property(
      fc.array(rule, { minLength: 1, maxLength: 12 }),
      fc.array(request, { minLength: 8, maxLength: 8 }),
      (table, requests) => {
        const rules = table.map((one, index) => ({ ...one, name: `r${index}`, stripPath: false, route: `r${index}` }))
        const router = compileRouter(rules)
        for (const facts of requests) {
          const context = Object.assign(new RequestContext(), facts)
          const { match, allowed } = reference(rules, context)
          const found = router.match(context)
          const params = Object.fromEntries(context.paramNames.map((name, index) => [name, context.params[index]]))
          expect(found === null ? null : { route: found.route, pattern: found.pattern, params }).toEqual(match)
          if (match === null) expect([...(router.allowedMethods(context) ?? [])].sort()).toEqual(allowed)
          if (match !== null) matched++
          else if (allowed.length > 0) refused++
        }
      },
    ),
    { numRuns: 4000 },
  )
  // The generators are worth something only while all three outcomes are frequent.
  expect(matched).toBeGreaterThan(5000)
  expect(refused).toBeGreaterThan(500)
})

it('explains what it matches', () => {
  fc.assert(
    fc.property(fc.array(rule, { minLength: 1, maxLength: 8 }), request, (table, facts) => {
      const rules = table.map((one, index) => ({ ...one, name: `r${index}`, stripPath: false, route: `r${index}` }))
      const explanation = explainMatch(rules, facts)
      const { match } = reference(rules, Object.assign(new RequestContext(), facts))
      const first = explanation.candidates.find(({ failed }) => failed === null)
      expect(explanation.route).toBe(match?.route ?? null)
      expect(first?.route).toBe(match?.route)
      expect(first?.path).toBe(match?.pattern)
      expect(explanation.candidates).toHaveLength(rules.reduce((sum, { paths }) => sum + paths.length, 0))
    }),
    { numRuns: 1500 },
  )
})
