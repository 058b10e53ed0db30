import type { Row } from './rounds.ts'
import type { Series } from './workloads/workload.ts'

/** Charts as SVG text. Colours come from the page. */

const width = 1000
const barHeight = 18
const gap = 8
const nameWidth = 200
const valueWidth = 210

/** A bar a row, as long as the median, with a line from the slowest to the fastest round. */
export function barChart(rows: readonly Row[]): string {
  const most = Math.max(...rows.flatMap((row) => row.rounds.map(({ perSecond }) => perSecond)), 1)
  const space = width - nameWidth - valueWidth
  const x = (value: number): string => (nameWidth + (value / most) * space).toFixed(1)
  const bars = rows.map((row, i) => {
    const y = i * (barHeight + gap)
    const middle = y + barHeight / 2
    const speeds = row.rounds.map(({ perSecond }) => perSecond)
    const label = `${thousands(row.perSecond)} · ${row.processorTime.toFixed(1)} µs cpu`
    const kind = row.name.startsWith('sluice') ? 'own' : 'other'
    return `<text x="${nameWidth - 10}" y="${middle + 4}" text-anchor="end">${row.name}</text>
<rect class="${kind}" x="${nameWidth}" y="${y}" width="${((row.perSecond / most) * space).toFixed(1)}" height="${barHeight}" rx="2"/>
<line class="range" x1="${x(Math.min(...speeds))}" x2="${x(Math.max(...speeds))}" y1="${middle}" y2="${middle}"/>
<text class="soft" x="${nameWidth + space + 10}" y="${middle + 4}">${label}</text>`
  })
  return `<svg viewBox="0 0 ${width} ${rows.length * (barHeight + gap)}" role="img">${bars.join('\n')}</svg>`
}

function thousands(value: number): string {
  return Math.round(value).toLocaleString('en')
}

/** A figure over time, from zero. */
export function lineChart({ points, unit }: Series): string {
  const [left, height, bottom] = [70, 240, 24]
  const last = Math.max(points.at(-1)?.[0] ?? 1, 1)
  const most = Math.max(...points.map(([, value]) => value), 1) * 1.15
  const x = (seconds: number): string => (left + (seconds / last) * (width - left - 10)).toFixed(1)
  const y = (value: number): string => ((1 - value / most) * (height - bottom)).toFixed(1)
  const step = 10 ** Math.floor(Math.log10(most)) / (most / 10 ** Math.floor(Math.log10(most)) < 3 ? 2 : 1)
  const marks = Array.from({ length: Math.floor(most / step) + 1 }, (_, i) => i * step)
  const lines = marks.map(
    (value) => `<line class="grid" x1="${left}" x2="${width - 10}" y1="${y(value)}" y2="${y(value)}"/>
<text class="soft" x="${left - 8}" y="${Number(y(value)) + 4}" text-anchor="end">${value} ${unit}</text>`,
  )
  const times = [0, 0.25, 0.5, 0.75, 1].map(
    (share) =>
      `<text class="soft" x="${x(share * last)}" y="${height - 4}" text-anchor="${share === 1 ? 'end' : 'middle'}">${Math.round(share * last)} s</text>`,
  )
  const curve = points.map(([seconds, value]) => `${x(seconds)},${y(value)}`).join(' ')
  return `<svg viewBox="0 0 ${width} ${height}" role="img">${lines.join('')}${times.join('')}<polyline class="curve" points="${curve}"/></svg>`
}
