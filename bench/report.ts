import type { Machine } from './machine.ts'
import { type Choice, full, type Group, type Plan, type Row, ratioBetween } from './rounds.ts'
import type { Findings } from './workloads/workload.ts'

/** What `--json` writes. Absent sections were not asked for. */
export interface Report {
  readonly startedAt: string
  readonly machine: Machine
  readonly plan: Plan & { readonly quick: boolean; readonly choice: Choice }
  readonly sections: readonly Section[]
  readonly goals: readonly Goal[]
  readonly notes: readonly string[]
}

/** What is promised, and what was measured. */
export interface Goal {
  readonly what: string
  readonly value: string
  readonly wanted: string
  readonly isMet: boolean
}

/** A workload and what it found. */
export interface Section extends Findings {
  readonly name: string
  readonly title: string
  readonly about: string
  /** How long it took. */
  readonly seconds: number
}

export function machineText({ processor, cores, memory, kernel, pinned, versions }: Machine): string {
  const list = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
  const pinning = pinned ? 'gateway on core 0, load and origin on core 1' : 'not pinned to cores'
  return `${processor}, ${cores} cores, ${memory}, ${kernel}\n${list.join(' · ')}\n${pinning}`
}

export function sectionText({ title, about, seconds, groups, notes = [], text }: Section): string {
  const parts = [
    `## ${title} (${seconds} s)`,
    about,
    ...groups.map(groupText),
    ...(text === undefined ? [] : [text]),
    ...notes,
  ]
  return parts.join('\n\n')
}

export function groupText(group: Group): string {
  const { head, rows } = cellsOf(group)
  return [`**${group.title}** (${group.generator})\n`, table(head, rows), ...groupNotes(group)].join('\n')
}

/** The table of a group. Ratios are the first row's figures by those of the row, round by round. */
export function cellsOf({ rows, unit }: Group): { head: string[]; rows: string[][] } {
  const figures = Object.keys(rows[0]?.figures ?? {})
  const [first] = rows
  return {
    head: [
      'proxy',
      unit,
      'spread',
      'p50 ms',
      'p99 ms',
      'core',
      `cpu µs`,
      ...figures,
      'failed',
      'ratio',
      'of rounds',
      'cpu ratio',
    ],
    rows: rows.map((row) => {
      const { median, least, most } = ratioBetween(first as Row, row)
      return [
        row.name,
        row.perSecond.toFixed(0),
        percent(row.spread),
        row.p50.toFixed(2),
        row.p99.toFixed(2),
        `${percent(row.busy)}${row.busy < full ? ' *' : ''}`,
        row.processorTime.toFixed(1),
        ...figures.map((name) => figure(row.figures[name] as number)),
        String(row.failed),
        ...(row === first
          ? ['', '', '']
          : [
              median.toFixed(2),
              `${least.toFixed(2)}–${most.toFixed(2)}`,
              (first as Row).processorTime === 0 ? '' : (row.processorTime / (first as Row).processorTime).toFixed(2),
            ]),
      ]
    }),
  }
}

/** What has to be known to read the table. */
export function groupNotes({ rows, generator }: Group): string[] {
  const isLimited = rows.some(({ busy }) => busy < full)
  const broken = rows.filter(({ failed, rounds }) => failed > 0.01 * rounds.reduce((sum, one) => sum + one.requests, 0))
  return [
    ...(isLimited ? [`* ${generator} and the origin, on their core, were the limit: compare the processor time.`] : []),
    ...broken.map(({ name }) => `${name}: too many requests failed for its figures to mean anything.`),
  ]
}

function figure(value: number): string {
  return Math.abs(value) < 10 ? value.toFixed(2) : value.toFixed(0)
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}

export function goalsText(goals: readonly Goal[]): string {
  if (goals.length === 0) return ''
  const cells = goals.map(({ what, value, wanted, isMet }) => [what, value, wanted, isMet ? 'met' : 'missed'])
  return `## Goals\n\n${table(['goal', 'measured', 'wanted', ''], cells)}`
}

/** A table of Markdown, its columns aligned. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((cell, i) => Math.max(cell.length, ...rows.map((row) => (row[i] as string).length)))
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i] as number)).join(' | ')} |`
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n')
}
