import { barChart, lineChart } from './charts.ts'
import { cellsOf, groupNotes, machineText, type Report, type Section } from './report.ts'
import type { Group } from './rounds.ts'

/** The report as a page of its own: charts are SVG, nothing is loaded from anywhere. */
export function htmlOf(report: Report): string {
  const { machine, sections, goals, notes, startedAt, plan } = report
  const facts = [
    machineText(machine),
    `${startedAt.slice(0, 16).replace('T', ' ')} UTC · ${plan.rounds} rounds of ${plan.seconds} s in turns, ${plan.connections} connections`,
    ...notes,
  ]
  const links = sections.map(({ name, title }) => `<a href="#${name}">${escaped(title)}</a>`)
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sluice bench, ${startedAt.slice(0, 10)}</title>
<style>${style}</style>
<main>
<h1>Sluice bench</h1>
<p class="facts">${facts.map(escaped).join('<br>').replaceAll('\n', '<br>')}</p>
${plan.quick ? '<p class="quick">A quick run: shows that everything works, and says nothing about speed.</p>' : ''}
<nav>${links.join(' ')}</nav>
${goals.length === 0 ? '' : `<h2>Goals</h2>\n${goalsTable(report)}`}
${sections.map(sectionOf).join('\n')}
</main>
</html>
`
}

function goalsTable({ goals }: Report): string {
  const rows = goals.map(({ what, value, wanted, isMet }) => {
    const verdict = isMet ? '<td class="met">met</td>' : '<td class="missed">missed</td>'
    return `<tr><td>${escaped(what)}</td><td>${escaped(value)}</td><td>${escaped(wanted)}</td>${verdict}</tr>`
  })
  return `<table><tr><th>goal</th><th>measured</th><th>wanted</th><th></th></tr>${rows.join('')}</table>`
}

function sectionOf({ name, title, about, groups, notes = [], series, text }: Section): string {
  return `<section id="${name}">
<h2>${escaped(title)}</h2>
<p>${escaped(about)}</p>
<div class="groups">${groups.map(groupOf).join('\n')}</div>
${series === undefined ? '' : `<figure><figcaption>${escaped(series.title)}</figcaption>${lineChart(series)}</figure>`}
${text === undefined ? '' : markdown(text)}
${notes.map((note) => `<p class="note">${escaped(note)}</p>`).join('\n')}
</section>`
}

function groupOf(group: Group): string {
  const { head, rows } = cellsOf(group)
  return `<figure>
<figcaption>${escaped(group.title)} <small>${escaped(group.generator)}, ${escaped(group.unit)}</small></figcaption>
${barChart(group.rows)}
<div class="wide">${tableOf(head, rows)}</div>
${groupNotes(group)
  .map((note) => `<p class="note">${escaped(note)}</p>`)
  .join('')}
</figure>`
}

function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[], tag: string): string =>
    `<tr>${cells.map((cell) => `<${tag}>${escaped(cell)}</${tag}>`).join('')}</tr>`
  return `<table>${line(head, 'th')}${rows.map((cells) => line(cells, 'td')).join('')}</table>`
}

/** Tables and paragraphs: what the sections with tables of their own write. */
function markdown(text: string): string {
  return text
    .split('\n\n')
    .flatMap((block) => {
      const lines = block.split('\n')
      const table = lines.filter((line) => line.startsWith('|'))
      const rest = lines.filter((line) => !line.startsWith('|'))
      const cells = table.map((line) =>
        line
          .slice(1, -1)
          .split(' | ')
          .map((cell) => cell.trim()),
      )
      const [head, , ...rows] = cells
      return [
        head === undefined ? '' : `<div class="wide">${tableOf(head, rows)}</div>`,
        ...rest.map((line) => `<p class="note">${escaped(line)}</p>`),
      ]
    })
    .join('\n')
}

export function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}

const style = `
:root { color-scheme: light dark; --text: #1c2430; --soft: #5b6675; --line: #dfe4ea; --page: #fff; --own: #0b7285; --other: #a9b4c2; --good: #2b8a3e; --bad: #c92a2a }
@media (prefers-color-scheme: dark) { :root { --text: #e6e9ee; --soft: #98a2b0; --line: #303844; --page: #14181e; --own: #3bc9db; --other: #566273; --good: #69db7c; --bad: #ff8787 } }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif }
main { max-width: 68rem; margin: 0 auto; padding: 2rem 1.5rem 4rem }
h1 { font-size: 1.6rem; margin: 0 0 .3rem }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .3rem; padding-top: .6rem; border-top: 1px solid var(--line) }
p { max-width: 48rem; margin: .3rem 0 }
.facts, .note, small { color: var(--soft); font-size: .85rem; font-weight: 400 }
.quick { color: var(--bad) }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: 1rem 0 }
a { color: var(--own) }
figure { margin: 1.2rem 0 0; min-width: 0 }
figcaption { font-weight: 600 }
svg { display: block; width: 100%; height: auto }
svg text { font: 12px system-ui, sans-serif; fill: var(--text) }
svg .soft { fill: var(--soft) }
svg .own { fill: var(--own) }
svg .other { fill: var(--other) }
svg .grid { stroke: var(--line) }
svg .range { stroke: var(--text); stroke-opacity: .55 }
svg .curve { fill: none; stroke: var(--own); stroke-width: 1.5 }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: .8rem; font-variant-numeric: tabular-nums; margin: .4rem 0 }
th, td { text-align: right; padding: .15rem .55rem; border-bottom: 1px solid var(--line); white-space: nowrap }
th { color: var(--soft); font-weight: 500 }
th:first-child, td:first-child { text-align: left; padding-left: 0 }
.met { color: var(--good) }
.missed { color: var(--bad) }
`
