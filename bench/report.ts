import type { FloodRow } from './flood.ts'
import type { JwtRow } from './jwt.ts'
import type { Machine } from './machine.ts'
import type { MicroRow } from './micro.ts'
import type { Row } from './rounds.ts'
import type { RoutesResult } from './routes.ts'

/** What `--json` writes. Absent sections were not asked for. */
export interface Report {
  readonly startedAt: string
  readonly machine: Machine
  readonly plan: Readonly<Record<string, unknown>>
  micro?: readonly MicroRow[]
  jwt?: readonly JwtRow[]
  flood?: readonly FloodRow[]
  passthrough?: readonly Row[]
  fullchain?: readonly Row[]
  routes?: RoutesResult
}

export function machineText({ processor, cores, memory, kernel, pinned, versions }: Machine): string {
  const list = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
  const pinning = pinned ? 'gateway on core 0, load and origin on core 1' : 'not pinned to cores'
  return `${processor}, ${cores} cores, ${memory}, ${kernel}\n${list.join(' · ')}\n${pinning}`
}

export function microText(rows: readonly MicroRow[]): string {
  return table(
    ['suite', 'case', 'ns/op', 'bytes/op'],
    rows.map((row) => [row.suite, row.case, row.nanoseconds.toFixed(1), String(row.bytes)]),
  )
}

export function jwtText(rows: readonly JwtRow[]): string {
  return table(
    ['algorithm', 'signatures checked by', 'µs/token', 'event loop µs', 'cpu µs'],
    rows.map((row) => [row.algorithm, row.way, row.elapsed.toFixed(1), row.loop.toFixed(1), row.processor.toFixed(1)]),
  )
}

export function floodText(rows: readonly FloodRow[]): string {
  return table(
    [
      'algorithm',
      'p50 ms alone',
      'flooded',
      'p99 ms alone',
      'flooded',
      'p99 ratio',
      'bad tokens',
      'a second',
      'failed',
    ],
    rows.map((row) => [
      row.algorithm,
      row.alone.p50.toFixed(2),
      row.flooded.p50.toFixed(2),
      row.alone.p99.toFixed(2),
      row.flooded.p99.toFixed(2),
      row.ratio.toFixed(2),
      String(row.badTokens),
      row.badPerSecond.toFixed(0),
      String(row.failed),
    ]),
  )
}

/** The ratios are the first row's figures divided by those of the row, for each generator. */
export function rowsText(rows: readonly Row[]): string {
  return table(
    [
      'load',
      'proxy',
      'req/s',
      'spread',
      'p50 ms',
      'p99 ms',
      'cpu µs/req',
      'failed',
      'req/s ratio',
      'p99 ratio',
      'cpu ratio',
    ],
    rows.map((row) => {
      const first = rows.find(({ generator }) => generator === row.generator) as Row
      return [
        row.generator,
        row.name,
        row.perSecond.toFixed(0),
        `${(row.spread * 100).toFixed(1)} %`,
        row.p50.toFixed(2),
        row.p99.toFixed(2),
        row.processorTime.toFixed(1),
        String(row.failed),
        (first.perSecond / row.perSecond).toFixed(2),
        (first.p99 / row.p99).toFixed(2),
        (first.processorTime / row.processorTime).toFixed(2),
      ]
    }),
  )
}

export function routesText({ routes, rows, readyAfter, bytesPerRoute }: RoutesResult): string {
  const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(2)} s`
  return `${rowsText(rows)}
ready after ${seconds(readyAfter.one)} with 1 route, ${seconds(readyAfter.many)} with ${routes}
${Math.round(bytesPerRoute)} bytes of resident memory a route`
}

/** A table of Markdown, its columns aligned. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((cell, i) => Math.max(cell.length, ...rows.map((row) => (row[i] as string).length)))
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i] as number)).join(' | ')} |`
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n')
}
