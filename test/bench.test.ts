import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { goalsOf } from '../bench/goals.ts'
import { htmlOf } from '../bench/html.ts'
import { barOf } from '../bench/progress.ts'
import { groupText, type Report, type Section } from '../bench/report.ts'
import { type Group, type Round, rowOf } from '../bench/rounds.ts'
import { ratioOf } from '../bench/statistics.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'sluice-test-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function rounds(speeds: readonly number[], busy = 1): Round[] {
  return speeds.map((perSecond) => ({ requests: 1000, perSecond, p50: 1, p99: 2, failed: 0, processorTime: 20, busy }))
}

function section(name: string, group: Group): Section {
  return { name, title: name, about: 'a < b', groups: [group], seconds: 1 }
}

const group: Group = {
  title: 'Pass-through',
  generator: 'wrk',
  unit: 'req/s',
  rows: [rowOf('sluice', rounds([100, 40, 120])), rowOf('haproxy', rounds([50, 40, 80], 0.5))],
}

describe('bench', () => {
  it('divides round by round', () => {
    expect(ratioOf([100, 40, 120], [50, 40, 80])).toEqual({ median: 1.5, least: 1, most: 2 })
  })

  it('marks who was not the limit, and says why', () => {
    const text = groupText(group)
    expect(text).toMatch(/haproxy .* 50 % \* .* 1\.50 +\| 1\.00–2\.00/)
    expect(text).toContain('* wrk and the origin, on their core, were the limit')
    expect(groupText({ ...group, rows: group.rows.slice(0, 1) })).not.toContain('*wrk')
  })

  it('tells when too much failed', () => {
    const broken = rowOf('nginx', [{ ...(rounds([9])[0] as Round), failed: 900 }])
    expect(groupText({ ...group, rows: [broken] })).toContain('nginx: too many requests failed')
  })

  it('holds figures against the goals, and only those that were measured', () => {
    expect(goalsOf([section('passthrough', group)])).toEqual([
      {
        what: 'Pass-through: sluice by haproxy (wrk)',
        value: '1.50 (1.00–2.00)',
        wanted: 'at least 1',
        isMet: true,
      },
    ])
    const slower = { ...group, rows: [rowOf('sluice', rounds([30])), rowOf('haproxy', rounds([50]))] }
    expect(goalsOf([section('passthrough', slower)])[0]?.isMet).toBe(false)
  })

  it('draws a bar that stays within its width', () => {
    expect(barOf(0.5, 4)).toBe('[##--]  50 %')
    expect(barOf(1.2, 4)).toContain('[####]')
  })

  it('runs, and writes tables, JSON and a page that needs no network', () => {
    const [json, html] = [join(folder, 'bench.json'), join(folder, 'bench.html')]
    const args = ['--quick', '--only', 'passthrough', '--peers', 'http-proxy', '--json', json, '--html', html]
    const { status, stdout, stderr } = spawnSync(process.execPath, ['bench/run.mjs', ...args], {
      cwd: root,
      encoding: 'utf8',
    })
    expect(stderr).toContain('round 1/1: sluice')
    expect(status).toBe(0)
    expect(stdout).toContain('| http-proxy')
    const report = JSON.parse(readFileSync(json, 'utf8')) as Report
    for (const row of report.sections[0]?.groups[0]?.rows ?? []) {
      expect(row.perSecond, row.name).toBeGreaterThan(0)
      expect(row.failed, row.name).toBe(0)
    }
    expect(report.sections[0]?.groups[0]?.rows.map(({ name }) => name)).toEqual([
      'sluice',
      'sluice, pipelining',
      'http-proxy',
    ])
    const page = readFileSync(html, 'utf8')
    expect(page).toContain('<svg')
    expect(page).not.toMatch(/(?:src|href)="(?!#)/)
    expect(htmlOf({ ...report, sections: [section('x', group)] })).toContain('a &lt; b')
  }, 120_000)

  it('knows what it is asked for', () => {
    const { status, stderr } = spawnSync(process.execPath, ['bench/run.mjs', '--only', 'everything'], {
      cwd: root,
      encoding: 'utf8',
    })
    expect(status).toBe(1)
    expect(stderr).toContain('--only: what is everything?')
  }, 60_000)
})
