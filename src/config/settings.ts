import type { Path } from './fault.ts'
import { flatten, type Issue } from './issue.ts'
import { laterKeys } from './later.ts'
import { parseAt } from './parse.ts'
import type { Report } from './report.ts'
import { type Settings, schema } from './schema.ts'

/** What a file says, as far as it could be understood. */
export interface ReadSettings {
  readonly settings: Settings
  /** Index in the file of each route and upstream of `settings`: those that make no sense at all are missing. */
  readonly routes: readonly number[]
  readonly upstreams: readonly number[]
  /** Keys with faults, which have their default in `settings`: `routes 2 plugins`. */
  readonly left: ReadonlySet<string>
}

/**
 * Parses the data of a file. Every fault goes into the report; what has one is left out, so that the rest can be checked
 * all the same. `null` when nothing is left.
 */
export function readSettings(report: Report): ReadSettings | null {
  const input = report.document.value
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    report.fault([], 'the file must be a mapping with keys such as "listeners", "routes" and "upstreams"')
    return null
  }
  const root = input as Record<string, unknown>
  for (const key of laterKeys) {
    if (!Object.hasOwn(root, key)) continue
    report.fault([key], 'is not available in this version')
    delete root[key]
  }

  const parsed = parseAt(schema, root, [], report)
  if ('value' in parsed) {
    const { routes, upstreams } = parsed.value
    return { settings: parsed.value, routes: [...routes.keys()], upstreams: [...upstreams.keys()], left: new Set() }
  }
  return readRest(structuredClone(root), parsed.issues)
}

/** The keys that were left out of a route or an upstream, unknown ones included. */
export function leftOut(left: ReadonlySet<string>, list: 'routes' | 'upstreams', index: number): Set<string> {
  const start = `${list} ${index} `
  return new Set([...left].filter((key) => key.startsWith(start)).map((key) => key.slice(start.length)))
}

/** More rounds than nesting of keys that can be left out. */
const rounds = 8

function readRest(root: Record<string, unknown>, found: readonly Issue[]): ReadSettings | null {
  const left = new Set<string>()
  const kept = { routes: indexesOf(root['routes']), upstreams: indexesOf(root['upstreams']) }
  let issues = found
  for (let round = 0; round < rounds; round++) {
    const gone = { routes: new Set<number>(), upstreams: new Set<number>() }
    for (const issue of flatten(issues)) {
      for (const path of placesOf(issue)) leaveOut(root, path, kept, gone, left)
    }
    for (const list of ['routes', 'upstreams'] as const) {
      if (!Array.isArray(root[list])) continue
      root[list] = (root[list] as unknown[]).filter((_, index) => !gone[list].has(index))
      kept[list] = kept[list].filter((_, index) => !gone[list].has(index))
    }
    const result = schema.safeParse(root)
    if (result.success) return { settings: result.data, ...kept, left }
    issues = result.error.issues
  }
  return null
}

/** Takes out the smallest part around `path` without which the rest still makes sense. */
function leaveOut(
  root: Record<string, unknown>,
  path: Path,
  kept: Record<'routes' | 'upstreams', number[]>,
  gone: Record<'routes' | 'upstreams', Set<number>>,
  left: Set<string>,
): void {
  const [list, index, key] = path
  if ((list !== 'routes' && list !== 'upstreams') || typeof index !== 'number') {
    delete root[String(list)]
    left.add(String(list))
    return
  }
  const item = (root[list] as unknown[] | undefined)?.[index] as Record<string, unknown> | null | undefined
  if (key !== undefined && typeof item === 'object' && item !== null && Object.hasOwn(item, key)) {
    delete item[key]
    left.add(`${list} ${kept[list][index]} ${key}`)
  } else if (Array.isArray(root[list])) {
    gone[list].add(index)
  }
}

function placesOf({ path, code, keys }: Issue): Path[] {
  const place = path as Path
  return code === 'unrecognized_keys' ? (keys ?? []).map((key) => [...place, key]) : [place]
}

function indexesOf(value: unknown): number[] {
  return Array.isArray(value) ? [...value.keys()] : []
}
