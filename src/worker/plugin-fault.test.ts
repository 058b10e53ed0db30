import { expect, test } from 'vitest'
import { PluginFaults } from './plugin-fault.ts'

function recorder(now?: () => number) {
  const lines: [string, Record<string, unknown> | undefined][] = []
  const counted: string[] = []
  const error = (message: string, fields?: Record<string, unknown>) => void lines.push([message, fields])
  const faults = new PluginFaults({ info() {}, warn() {}, error }, (...fault) => counted.push(fault.join(' ')), now)
  return { faults, lines, counted }
}

test('counts every fault and logs the first of each sort', () => {
  const { faults, lines, counted } = recorder()
  for (let i = 0; i < 1000; i++) faults.report('api', 'a', 'access', 'error', new Error('broken'))
  faults.report('api', 'a', 'access', 'timeout', null)
  faults.report('other', 'b', 'access', 'error', 'text')
  expect(counted.length).toBe(1002)
  expect(counted[0]).toBe('a access error')
  expect(lines.length).toBe(3)
  expect(lines[0]).toEqual([
    'a plugin failed',
    { plugin: 'a', phase: 'access', route: 'api', error: expect.stringContaining('Error: broken') },
  ])
  expect(lines[1]).toEqual(['a plugin exceeded its time limit', { plugin: 'a', phase: 'access', route: 'api' }])
  expect(lines[2]?.[1]).toMatchObject({ plugin: 'b', route: 'other', error: "'text'" })
})

test('says after a while how often a fault came again', () => {
  let now = 0
  const { faults, lines } = recorder(() => now)
  for (now = 0; now <= 25_000; now += 1000) faults.report('api', 'a', 'log', 'slow', null)
  expect(lines.map(([, fields]) => fields?.['repeated'])).toEqual([undefined, 9, 9])
})
