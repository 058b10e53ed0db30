import type { Objective, Result, Verdict } from '../verdict/objective.ts'

const words: Readonly<Record<Result, string>> = {
  pass: 'pass',
  fail: 'FAIL',
  told: 'told only',
  unfair: 'NO VERDICT: the machine or the load was too busy',
  unseen: 'not seen',
}

/** Whether a run passes: what was not seen of somebody else's gateway, and what is only told, decides nothing. */
export function passes(verdicts: readonly Verdict[]): boolean {
  return verdicts.every(({ result }) => result !== 'fail' && result !== 'unfair')
}

export function conclusionOf(verdicts: readonly Verdict[]): string {
  if (passes(verdicts)) return 'passed'
  return verdicts.some(({ result }) => result === 'fail') ? 'FAILED' : 'NO VERDICT: run it again on a quiet machine'
}

/** `objective | wanted | seen | result`, one line each. */
export function tableOf(verdicts: readonly Verdict[]): string[] {
  const rows = verdicts.map(({ objective, seen, unit, result }) => [
    objective.name,
    wantedOf(objective, unit),
    textOf(seen, unit),
    words[result],
  ])
  const table = [['objective', 'wanted', 'seen', 'result'], ...rows]
  const widths = [0, 1, 2].map((column) => Math.max(...table.map((row) => (row[column] ?? '').length)))
  return table.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd())
}

function wantedOf({ atLeast, atMost }: Objective, unit: string): string {
  if (atLeast === atMost) return textOf(atLeast, unit)
  const parts = [
    ...(atLeast === null ? [] : [`≥ ${textOf(atLeast, unit)}`]),
    ...(atMost === null ? [] : [`≤ ${textOf(atMost, unit)}`]),
  ]
  return parts.join(', ')
}

function textOf(value: number | null, unit: string): string {
  if (value === null) return '-'
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'none' : 'never'
  const digits = Math.abs(value) >= 100 || Number.isInteger(value) ? 0 : 2
  return `${value.toFixed(digits)}${unit === '' ? '' : ` ${unit}`}`
}
