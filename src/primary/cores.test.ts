import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { countCores, readQuota } from './cores.ts'

test('reads the CPU quota of a container', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-'))
  const file = join(folder, 'cpu.max')
  const quota = (text: string): number => {
    writeFileSync(file, text)
    return readQuota(file)
  }
  expect(quota('200000 100000\n')).toBe(2)
  expect(quota('150000 100000\n')).toBe(2)
  expect(quota('10000 100000\n')).toBe(1)
  expect(quota('max 100000\n')).toBe(Infinity)
  expect(quota('')).toBe(Infinity)
  expect(readQuota(join(folder, 'absent'))).toBe(Infinity)
  rmSync(folder, { recursive: true })
})

test('counts at least one core', () => {
  expect(countCores()).toBeGreaterThanOrEqual(1)
})
