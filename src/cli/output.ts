import { styleText } from 'node:util'

/** Where a command writes. */
export interface Output {
  out(text: string): void
  err(text: string): void
  /** What goes out may be coloured. */
  readonly color: boolean
  /** A person reads along. */
  readonly terminal: boolean
}

/** The process's own streams. Colour only on a terminal, and not where `NO_COLOR` is set. */
export function processOutput(): Output {
  // Whoever reads may have seen enough: `sluice routes | head`.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))
  const terminal = process.stdout.isTTY === true
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    color: terminal && (process.env['NO_COLOR'] ?? '') === '',
    terminal,
  }
}

export type Style = Parameters<typeof styleText>[0]

export function styled({ color }: Output, style: Style, text: string): string {
  return color ? styleText(style, text) : text
}

/** Columns side by side, each as wide as its widest cell; the last one as it is. No blanks at the end of a line. */
export function columns(rows: readonly (readonly string[])[], indent = ''): string {
  const widths: number[] = []
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)))
  return rows
    .map(
      (row) =>
        `${indent}${row
          .map((cell, i) => cell.padEnd(widths[i] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('')
}

/** `1 route`, `2 routes`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}
