import { RequestContext } from '../../src/core/context.ts'
import { normalizePath } from '../../src/proxy/router/path.ts'
import type { RouteRule, Router } from '../../src/proxy/router/trie.ts'
import { compileRouter } from '../../src/proxy/router/trie.ts'

const variants = 1024

function rule(index: number, change: Partial<RouteRule<number>>): RouteRule<number> {
  return {
    name: `route-${index}`,
    hosts: [],
    paths: [],
    methods: [],
    headers: [],
    query: [],
    cookies: [],
    contentTypes: [],
    clientIps: [],
    stripPath: false,
    route: index,
    ...change,
  }
}

function rules(count: number, change: (index: number) => Partial<RouteRule<number>>): RouteRule<number>[] {
  return Array.from({ length: count }, (_, index) => rule(index, change(index)))
}

/** A flat string of its own, as the listener makes one for each request: no cached hash, not interned. */
function fresh(text: string): string {
  return Buffer.from(text).toString('latin1')
}

/** Matches requests for different paths in turns, so that no one's cache line or hash stays warm. */
function matching(router: Router<number>, pathOf: (index: number) => string, hit = true): () => void {
  const requests = Array.from({ length: variants }, (_, index) => {
    const request = new RequestContext()
    request.method = 'GET'
    request.path = fresh(pathOf(index * 7))
    request.hostname = fresh('api.example.com')
    request.clientIp = '192.0.2.1'
    request.headers = ['accept', '*/*', 'user-agent', 'bench', 'x-version', 'v2']
    return request
  })
  let turn = 0
  return () => {
    const request = requests[turn] as RequestContext
    turn = (turn + 1) % variants
    if ((router.match(request) !== null) !== hit) throw new Error(`${request.path}: expected ${hit ? 'a' : 'no'} match`)
  }
}

function normalizing(raw: string): () => void {
  const paths = Array.from({ length: variants }, () => fresh(raw))
  let turn = 0
  return () => {
    const path = paths[turn] as string
    turn = (turn + 1) % variants
    if (normalizePath(path, 'normalize').charCodeAt(0) !== 0x2f) throw new Error(`${path} was refused`)
  }
}

const statics = (index: number) => ({ paths: [`/api/service-${index}/items`] })
const prefixes = (index: number) => ({ paths: [`/api/service-${index}/*`] })
const params = (index: number) => ({ paths: [`/api/service-${index}/items/{id}/parts/{part}`] })
const hosts = (index: number) => ({
  hosts: [`tenant-${index}.example.com`, 'api.example.com'],
  paths: [`/t${index}/*`],
})
const headers = (index: number) => ({
  paths: ['/api/*'],
  headers: [{ name: 'x-version', values: [`v${index}`], pattern: null }],
})
const regexes = (index: number) => ({ paths: [`~^/v[0-9]+/service-${index}/[a-z]+$`] })

const tenThousand = compileRouter(rules(10_000, prefixes))

/** Cases are single operations; a fresh request path each, so that a hash computed once can't flatter. */
export const suite = {
  name: 'trie',
  cases: {
    'static, 1 route': matching(compileRouter(rules(1, statics)), () => '/api/service-0/items'),
    'static, 100 routes': matching(compileRouter(rules(100, statics)), (i) => `/api/service-${i % 100}/items`),
    'static, 10,000 routes': matching(compileRouter(rules(10_000, statics)), (i) => `/api/service-${i % 10_000}/items`),
    'prefix, 1 route': matching(compileRouter(rules(1, prefixes)), () => '/api/service-0/items/1'),
    'prefix, 100 routes': matching(compileRouter(rules(100, prefixes)), (i) => `/api/service-${i % 100}/items/1`),
    'prefix, 10,000 routes': matching(tenThousand, (i) => `/api/service-${i % 10_000}/items/1`),
    'two params, 1 route': matching(compileRouter(rules(1, params)), () => '/api/service-0/items/42/parts/7'),
    'two params, 10,000 routes': matching(
      compileRouter(rules(10_000, params)),
      (i) => `/api/service-${i % 10_000}/items/42/parts/7`,
    ),
    'host and prefix, 10,000 hosts': matching(compileRouter(rules(10_000, hosts)), (i) => `/t${i % 10_000}/items/1`),
    'header predicate, second of 3 routes': matching(compileRouter(rules(3, headers)), () => '/api/items/1'),
    'regex, last of 10': matching(compileRouter(rules(10, regexes)), () => '/v2/service-9/items'),
    'miss, 1 route': matching(compileRouter(rules(1, prefixes)), () => '/other/service-0/items', false),
    'miss in the last segment, 10,000 routes': matching(tenThousand, (i) => `/api/service-${i % 10_000}x/items`, false),
    'normalizePath, ordinary': normalizing('/api/service-0/items/42/parts/7'),
    'normalizePath, encoded space': normalizing('/api/service-0/items/a%20b'),
    'normalizePath, dot segments and slashes': normalizing('/api/./service-0//x/../items/%7Euser'),
  } satisfies Record<string, () => void>,
  /** Single figures, measured once: needs `--expose-gc`. */
  figures: {
    'bytes per route, 10,000 prefix routes': () => bytesPerRoute(prefixes),
    'bytes per route, 10,000 parameter routes': () => bytesPerRoute(params),
    'milliseconds to compile 10,000 routes': () => {
      const table = rules(10_000, params)
      const start = performance.now()
      compileRouter(table)
      return performance.now() - start
    },
  } satisfies Record<string, () => number>,
}

/** Heap that the compiled router holds beyond the rules it was compiled from. */
function bytesPerRoute(change: (index: number) => Partial<RouteRule<number>>): number {
  const collect = globalThis.gc
  if (collect === undefined) throw new Error('run with --expose-gc')
  const table = rules(10_000, change)
  collect()
  const before = process.memoryUsage().heapUsed
  const router = compileRouter(table)
  collect()
  const held = process.memoryUsage().heapUsed - before
  // Both are still needed here, so that neither was collected.
  if (router.match(new RequestContext()) !== null || table.length === 0) throw new Error('matched an empty path')
  return held / table.length
}
