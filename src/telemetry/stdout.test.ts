import { execFileSync } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Stdout } from './stdout.ts'

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-'))
})

afterEach(() => rmSync(folder, { recursive: true }))

/** Both ends of a pipe. Reading does not wait. */
function pipe(): { reader: number; writer: number } {
  const path = join(folder, 'pipe')
  execFileSync('mkfifo', [path])
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  return { reader, writer: openSync(path, constants.O_WRONLY) }
}

/** What is in the pipe now. */
function drain(reader: number): string {
  const chunk = Buffer.alloc(65_536)
  let text = ''
  try {
    for (let count = 1; count > 0; ) {
      count = readSync(reader, chunk)
      text += chunk.toString('utf8', 0, count)
    }
  } catch {
    // Empty for now.
  }
  return text
}

test('a line is there when write returns', () => {
  const file = join(folder, 'log')
  const fd = openSync(file, 'w')
  const out = new Stdout(fd)
  out.write('one\n')
  out.write('zwei, drei: ünï\n')
  expect(readFileSync(file, 'utf8')).toBe('one\nzwei, drei: ünï\n')
  closeSync(fd)
})

test('a reader that stalls holds nobody up, and gets every line in order', async () => {
  const { reader, writer } = pipe()
  const out = new Stdout(writer)
  const lines = Array.from({ length: 3000 }, (_, index) => `${index} ${'x'.repeat(90)}\n`)
  // More than the pipe takes: a write that waits would never return.
  for (const line of lines) out.write(line)
  let text = ''
  await vi.waitUntil(() => (text += drain(reader)).length === lines.join('').length, { timeout: 10_000 })
  expect(text).toBe(lines.join(''))
  out.write('last\n')
  expect(drain(reader)).toBe('last\n')
  closeSync(reader)
  closeSync(writer)
})

test('what waits is bounded', async () => {
  const { reader, writer } = pipe()
  const out = new Stdout(writer)
  const line = `${'x'.repeat(99_999)}\n`
  for (let count = 0; count < 100; count++) out.write(line)
  let size = 0
  await vi.waitUntil(() => (size += drain(reader).length) > 4_000_000, { timeout: 10_000 })
  out.write('end\n')
  await vi.waitUntil(
    () => {
      const text = drain(reader)
      size += text.length
      return text.endsWith('end\n')
    },
    { timeout: 10_000 },
  )
  expect(size).toBeLessThan(5_000_000)
  closeSync(reader)
  closeSync(writer)
})

test('a reader that is gone is no end', () => {
  const { reader, writer } = pipe()
  const out = new Stdout(writer)
  closeSync(reader)
  out.write('nobody\n')
  out.write('hears this\n')
  closeSync(writer)
})
