/** Where something stands in the configuration: keys and list indexes from the root. */
export type Path = readonly (string | number)[]

/** Something in the configuration that can't be worked with (or, among warnings, that is probably not meant). */
export interface Fault {
  /** The file as the user named it. */
  readonly file: string
  /** From 1; 0 when there is no place to point at (the file can't be read). */
  readonly line: number
  readonly column: number
  /** `routes[2].plugins[0].config.limit`; `''` for the whole file. */
  readonly path: string
  readonly message: string
}

const plainKey = /^[\w-]+$/

/** `['routes', 2, 'headers', 'X-A b']` → `routes[2].headers["X-A b"]`. */
export function formatPath(path: Path): string {
  let text = ''
  for (const segment of path) {
    if (typeof segment === 'number') text += `[${segment}]`
    else if (!plainKey.test(segment)) text += `[${JSON.stringify(segment)}]`
    else text += text === '' ? segment : `.${segment}`
  }
  return text
}

/** `sluice.yaml:12:9 routes[2].plugins[0].config.limit: must be a positive integer (got "ten")`. */
export function formatFault({ file, line, column, path, message }: Fault): string {
  const place = line === 0 ? file : `${file}:${line}:${column}`
  return path === '' ? `${place}: ${message}` : `${place} ${path}: ${message}`
}

/** In the order of the file; what stands at the same place keeps its order. Repeated faults are dropped. */
export function sortFaults(faults: readonly Fault[]): Fault[] {
  const seen = new Set<string>()
  return faults
    .filter((fault) => {
      const line = formatFault(fault)
      if (seen.has(line)) return false
      seen.add(line)
      return true
    })
    .sort((a, b) => a.line - b.line || a.column - b.column)
}
