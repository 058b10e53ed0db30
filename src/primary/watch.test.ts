import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type Watch, watchFiles } from './watch.ts'

let folder: string
let file: string
let watch: Watch | null = null
let changes = 0

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-'))
  file = join(folder, 'sluice.yaml')
  writeFileSync(file, 'one')
  changes = 0
})

afterEach(() => {
  watch?.close()
  rmSync(folder, { recursive: true })
})

const start = (files = [file], interval = 60_000): void => {
  watch = watchFiles(files, () => (changes += 1), { quiet: 30, interval })
}
const changed = (count: number): Promise<boolean> =>
  vi.waitUntil(() => changes === count, { timeout: 10_000, interval: 5 })

test('notices a file that is written in place, once for several writes', async () => {
  start()
  writeFileSync(file, 'two')
  writeFileSync(file, 'three')
  await changed(1)
  writeFileSync(file, 'four!')
  await changed(2)
})

test('notices a file that an editor replaces, again and again', async () => {
  start()
  for (let round = 1; round <= 3; round++) {
    writeFileSync(join(folder, '.sluice.yaml.swp'), `round ${round}`)
    renameSync(join(folder, '.sluice.yaml.swp'), file)
    await changed(round)
  }
})

test('notices that Kubernetes swaps the link above it', async () => {
  const mount = (generation: string): void => {
    mkdirSync(join(folder, generation))
    writeFileSync(join(folder, generation, 'mounted.yaml'), generation)
    symlinkSync(generation, join(folder, '..data_tmp'))
    renameSync(join(folder, '..data_tmp'), join(folder, '..data'))
  }
  mount('..2024_01')
  const mounted = join(folder, 'mounted.yaml')
  symlinkSync(join('..data', 'mounted.yaml'), mounted)
  start([mounted])
  mount('..2024_02')
  rmSync(join(folder, '..2024_01'), { recursive: true })
  await changed(1)
  mount('..2024_03')
  rmSync(join(folder, '..2024_02'), { recursive: true })
  await changed(2)
})

test('notices a change behind a link into another folder', async () => {
  const elsewhere = join(folder, 'elsewhere')
  mkdirSync(elsewhere)
  writeFileSync(join(elsewhere, 'real.yaml'), 'one')
  const link = join(folder, 'link.yaml')
  symlinkSync(join(elsewhere, 'real.yaml'), link)
  start([link])
  writeFileSync(join(elsewhere, 'real.yaml'), 'two, in place')
  await changed(1)

  const further = join(folder, 'further')
  mkdirSync(further)
  writeFileSync(join(further, 'real.yaml'), 'three')
  symlinkSync(join(further, 'real.yaml'), join(folder, 'new'))
  renameSync(join(folder, 'new'), link)
  await changed(2)
  writeFileSync(join(further, 'real.yaml'), 'four, in place')
  await changed(3)
})

test('does not mind other files in the folder', async () => {
  start()
  for (let line = 0; line < 20; line++) writeFileSync(join(folder, 'access.log'), `${line}\n`, { flag: 'a' })
  // What comes last is noticed, so all before it has been looked at.
  writeFileSync(file, 'two')
  await changed(1)
  expect(changes).toBe(1)
})

test('follows other files when told to, and tells what changed before', async () => {
  const certificate = join(folder, 'tls.crt')
  writeFileSync(certificate, 'one')
  start()
  writeFileSync(file, 'two')
  watch?.follow([file, certificate])
  await changed(1)
  writeFileSync(certificate, 'two, renewed')
  await changed(2)
})

test('finds out without events', async () => {
  const mount = join(folder, 'mount')
  const late = join(mount, 'late.yaml')
  // Its folder does not exist, so there is nothing to watch.
  start([late], 20)
  mkdirSync(mount)
  writeFileSync(late, 'there')
  await changed(1)
})

test('says nothing after it was closed', async () => {
  start()
  watch?.close()
  writeFileSync(file, 'two')
  let told = 0
  const other = watchFiles([file], () => (told += 1), { quiet: 30 })
  writeFileSync(file, 'three, and the other one sees it')
  await vi.waitUntil(() => told === 1, { timeout: 10_000 })
  other.close()
  expect(changes).toBe(0)
})
