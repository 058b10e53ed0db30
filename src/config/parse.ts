import type { ConfigSchema } from '../core/plugin.ts'
import { formatPath, type Path } from './fault.ts'
import { type Finding, findingsOf, type Issue, issueWords, valueAt } from './issue.ts'
import type { Report } from './report.ts'

export type Parsed<T> = { readonly value: T } | { readonly issues: readonly Issue[] }

/** As zod has it, of whatever version. */
interface SafeParser<T> {
  safeParse(
    input: unknown,
    settings: object,
  ): { success: true; data: T } | { success: false; error: { issues: Issue[] } }
}

/**
 * Parses what stands at `place`; what is wrong with it goes into the report, in our words.
 *
 * A number or a boolean that was filled in (`${env:WORKERS}`) is text at first: it becomes one where the schema says so.
 */
export function parseAt<T>(schema: ConfigSchema<T>, input: unknown, place: Path, report: Report): Parsed<T> {
  let result = parseOnce(schema, input)
  if ('issues' in result && convertFilled(result.issues, input, place, report)) result = parseOnce(schema, input)
  if ('issues' in result) for (const finding of findingsOf(result.issues, input)) report.finding(place, finding)
  return result
}

function parseOnce<T>(schema: ConfigSchema<T>, input: unknown): Parsed<T> {
  try {
    if (!hasSafeParse(schema)) return { value: schema.parse(input) }
    const result = schema.safeParse(input, { error: issueWords })
    return result.success ? { value: result.data } : { issues: result.error.issues }
  } catch (error) {
    const { issues, path, message } = error as { issues?: Issue[]; path?: Finding['path']; message?: string }
    if (Array.isArray(issues)) return { issues }
    return { issues: [{ code: 'custom', path: Array.isArray(path) ? path : [], message: message ?? String(error) }] }
  }
}

function hasSafeParse<T>(schema: ConfigSchema<T>): schema is ConfigSchema<T> & SafeParser<T> {
  return 'safeParse' in schema && typeof schema.safeParse === 'function'
}

/** Gives filled-in text the type that the schema wants. Whether there was any. */
function convertFilled(issues: readonly Issue[], input: unknown, place: Path, report: Report): boolean {
  let converted = false
  for (const { expected, path: raw } of typeIssues(issues, [])) {
    const path = raw as (string | number)[]
    const text = valueAt(input, path)
    if (typeof text !== 'string' || !report.document.filled.has(formatPath([...place, ...path]))) continue
    const value = typed(text, expected)
    const parent = valueAt(input, path.slice(0, -1)) as Record<string | number, unknown>
    if (value === undefined || path.length === 0) continue
    parent[path.at(-1) as string | number] = value
    converted = true
  }
  return converted
}

function typed(text: string, expected: string | undefined): number | boolean | undefined {
  if (expected === 'boolean') return text === 'true' ? true : text === 'false' ? false : undefined
  if (expected !== 'number' && expected !== 'int') return undefined
  return /^-?\d+(?:\.\d+)?$/.test(text) ? Number(text) : undefined
}

/** Every complaint about a type, those within unions with their whole path. */
function typeIssues(issues: readonly Issue[], outer: readonly PropertyKey[]): Issue[] {
  return issues.flatMap((issue) => {
    const path = [...outer, ...issue.path]
    if (issue.code === 'invalid_union') return (issue.errors ?? []).flatMap((branch) => typeIssues(branch, path))
    return issue.code === 'invalid_type' ? [{ ...issue, path }] : []
  })
}
