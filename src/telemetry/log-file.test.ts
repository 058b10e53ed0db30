import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { LogFile } from './log-file.ts'

const built = fileURLToPath(new URL('../../dist/telemetry/log-file.js', import.meta.url))

let folder = ''
const files: LogFile[] = []
const children: ChildProcess[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-log-'))
})

afterEach(async () => {
  for (const file of files.splice(0)) await file.close(0)
  for (const child of children.splice(0)) endGroup(child)
  rmSync(folder, { recursive: true, force: true })
})

function open(name: string): { file: LogFile; path: string; messages: string[] } {
  const path = name.startsWith('/') ? name : join(folder, name)
  const messages: string[] = []
  const note = (message: string) => void messages.push(message)
  const file = LogFile.open(path, { info: note, warn: note, error: note })
  files.push(file)
  return { file, path, messages }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10))
}

/** A process that runs `code` with the built `LogFile`, started by a shell command in which `$0` stands for it. */
function start(code: string, command = 'exec "$0" "$@"'): ChildProcess {
  const script = `import { LogFile } from ${JSON.stringify(built)}; import fs from 'node:fs'; ${code}`
  const child = spawn('sh', ['-c', command, process.execPath, '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'pipe'],
    // A process group of its own, so that what the shell starts can be ended, too.
    detached: true,
  })
  children.push(child)
  return child
}

function endGroup({ pid }: ChildProcess): void {
  try {
    process.kill(-(pid as number), 'SIGKILL')
  } catch {
    // All of it has ended.
  }
}

/** Lines of different length that say who wrote them, and which it is. */
const writeMany = (path: string, count: number) => `
  const file = LogFile.open(${JSON.stringify(path)})
  for (let i = 0; i < ${count}; i++) {
    file.write(JSON.stringify({ pid: process.pid, i, pad: 'x'.repeat((i * 7919) % 700) }) + '\\n')
    if (i % 500 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await file.close(20000)
  if (file.dropped > 0) process.exit(3)`

/** Every line whole, and every writer's complete and in order. */
function check(content: string, writers: number, count: number): void {
  const next = new Map<number, number>()
  for (const line of content.split('\n').slice(0, -1)) {
    const { pid, i } = JSON.parse(line) as { pid: number; i: number }
    if ((next.get(pid) ?? 0) !== i) throw new Error(`line ${i} of ${pid} came when ${next.get(pid) ?? 0} was next`)
    next.set(pid, i + 1)
  }
  expect([...next.values()]).toEqual(Array.from({ length: writers }, () => count))
}

test('appends lines, and makes the folder', async () => {
  const { file, path } = open('logs/access.log')
  file.write('one\n')
  file.write('two\n')
  await file.flush()
  expect(readFileSync(path, 'utf8')).toBe('one\ntwo\n')
  await file.close()
  const again = open('logs/access.log')
  again.file.write('three\n')
  await again.file.close()
  expect(readFileSync(path, 'utf8')).toBe('one\ntwo\nthree\n')
})

test('writes by itself after a while', async () => {
  const { file, path } = open('access.log')
  file.write('one\n')
  await until(() => readFileSync(path, 'utf8') === 'one\n')
})

test('throws when the file can not be opened', () => {
  expect(() => LogFile.open(join(folder, 'a/b/access.log'))).toThrow(/ENOENT/)
  expect(() => LogFile.open(folder)).toThrow(/EISDIR/)
})

test('writes lines of any length, the last ones when the process exits', async () => {
  const { file, path } = open('access.log')
  const long = 'x'.repeat(200_000)
  for (const line of ['one', long, 'two']) file.write(`${line}\n`)
  file.flushSync()
  // The first chunk was on its way already: it may arrive at any moment, and in any place.
  const late = (line: string): boolean => line !== 'one'
  expect(readFileSync(path, 'utf8').split('\n').filter(late)).toEqual([long, 'two', ''])
  await until(() => readFileSync(path, 'utf8').includes('one\n'))
})

describe('a file that is taken away', () => {
  test('by a rotation is left when told so, and no line is lost', async () => {
    const { file, path } = open('access.log')
    const count = 5000
    for (let i = 0; i < count; i++) {
      file.write(`${JSON.stringify({ pid: 1, i, pad: 'x'.repeat(i % 300) })}\n`)
      if (i % 1000 !== 999) continue
      renameSync(path, `${path}.${i}`)
      file.reopen()
      await until(() => existsSync(path))
    }
    await file.close(10_000)
    const names = [999, 1999, 2999, 3999, 4999].map((i) => `${path}.${i}`)
    check([...names, path].map((name) => readFileSync(name, 'utf8')).join(''), 1, count)
  })

  test.each([
    ['moved', (path: string) => renameSync(path, `${path}.1`)],
    ['deleted', (path: string) => unlinkSync(path)],
  ])('is noticed to be %s', async (_, take) => {
    const { file, path } = open('access.log')
    file.write('one\n')
    await file.flush()
    take(path)
    await until(() => {
      file.write('two\n')
      void file.flush()
      return existsSync(path) && readFileSync(path, 'utf8') !== ''
    })
    expect(readFileSync(path, 'utf8')).toMatch(/^(two\n)+$/)
  })
})

describe('several processes', () => {
  test('append whole lines to one file', async () => {
    const path = join(folder, 'access.log')
    const writers = [0, 1].map(() => start(writeMany(path, 20_000)))
    const codes = await Promise.all(writers.map(async (child) => (await once(child, 'exit'))[0] as number))
    expect(codes).toEqual([0, 0])
    check(readFileSync(path, 'utf8'), 2, 20_000)
  })

  test('write whole lines to one pipe, which is always full', async () => {
    const child = start(writeMany('stdout', 10_000), '("$0" "$@" & "$0" "$@" & wait) | dd bs=512 status=none')
    check(await text(child.stdout as NodeJS.ReadableStream & AsyncIterable<Buffer>), 2, 10_000)
  })
})

describe('a disk or a reader that fails', () => {
  test('neither blocks nor throws; what there is no room for is counted', async () => {
    const { file, messages } = open('/dev/full')
    const line = `${'x'.repeat(1023)}\n`
    for (let i = 0; i < 20_000; i++) file.write(line)
    await file.flush()
    expect(file.dropped).toBe(20_000 - 16 * 1024)
    expect(messages).toEqual(['the access log can not be written'])
  })

  test('gets its lines when it works again', async () => {
    const path = join(folder, 'access.log')
    symlinkSync('/dev/full', path)
    const { file, messages } = open('access.log')
    file.write('one\n')
    await file.flush()
    expect(messages.length).toBe(1)
    file.write('two\n')
    unlinkSync(path)
    await until(() => existsSync(path) && readFileSync(path, 'utf8').length > 0)
    await file.close()
    expect(readFileSync(path, 'utf8')).toBe('one\ntwo\n')
    expect(messages).toEqual(['the access log can not be written', 'the access log is written again'])
  })

  test('is tried once more by who closes it', async () => {
    const path = join(folder, 'pipe')
    execFileSync('mkfifo', [path])
    const gone = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const { file, messages } = open('pipe')
    closeSync(gone)
    file.write('one\n')
    await file.flush()
    expect(messages).toEqual(['the access log can not be written'])
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    file.write('two\n')
    await file.close()
    const bytes = Buffer.alloc(100)
    expect(bytes.toString('utf8', 0, readSync(reader, bytes))).toBe('one\ntwo\n')
    closeSync(reader)
  })

  test('in the middle of a line ends that line and writes it again', async () => {
    const path = join(folder, 'access.log')
    // The limit of 20 blocks of 512 bytes falls into a line. Then somebody makes room.
    const child = start(
      `const path = ${JSON.stringify(path)}
       const file = LogFile.open(path, { info() {}, warn() {}, error() { fs.truncateSync(path, 5000) } })
       for (let i = 0; i < 110; i++) file.write(JSON.stringify({ pid: 1, i, pad: 'x'.repeat(80) }) + '\\n')
       await file.flush()
       while (fs.statSync(path).size === 5000) await new Promise((resolve) => setTimeout(resolve, 20))
       await file.close()`,
      `trap '' XFSZ; ulimit -f 20; exec "$0" "$@"`,
    )
    expect((await once(child, 'exit'))[0]).toBe(0)
    const [, whole = '', rest = ''] = /^((?:\{.*\}\n)*)\{.*[^}]\n([^]*)$/.exec(readFileSync(path, 'utf8')) ?? []
    check(whole, 1, whole.split('\n').length - 1)
    const again = rest
      .split('\n')
      .slice(0, -1)
      .map((line) => (JSON.parse(line) as { i: number }).i)
    expect(again.length).toBeGreaterThan(5)
    expect(again).toEqual(again.map((_, i) => 110 - again.length + i))
  })

  test('in the middle of a line leaves no line half behind', async () => {
    const path = join(folder, 'access.log')
    // The limit of 20 blocks of 512 bytes falls into a line. Then the file is moved, as a rotation would do it.
    const child = start(
      `const file = LogFile.open(${JSON.stringify(path)}, { info() {}, warn() {}, error() { fs.renameSync(${JSON.stringify(path)}, ${JSON.stringify(`${path}.1`)}) } })
       for (let i = 0; i < 150; i++) file.write(JSON.stringify({ pid: 1, i, pad: 'x'.repeat(80) }) + '\\n')
       await file.flush()
       while (!fs.existsSync(${JSON.stringify(path)}) || fs.statSync(${JSON.stringify(path)}).size === 0) await new Promise((resolve) => setTimeout(resolve, 20))
       await file.close()`,
      `trap '' XFSZ; ulimit -f 20; exec "$0" "$@"`,
    )
    expect((await once(child, 'exit'))[0]).toBe(0)
    const first = readFileSync(`${path}.1`, 'utf8')
    const second = readFileSync(path, 'utf8')
    expect(first.endsWith('\n')).toBe(false)
    check(first.slice(0, first.lastIndexOf('\n') + 1) + second, 1, 150)
  })

  test('does not keep the process from exiting', async () => {
    // The reader sleeps: the pipe fills up, and nobody will ever empty it.
    const child = start(
      `const file = LogFile.open('stdout')
       for (let i = 0; i < 5000; i++) file.write('x'.repeat(999) + '\\n')
       await file.close(100)
       console.error(file.path)
       process.exit(0)`,
      '("$0" "$@"; echo "code $?" >&2) | sleep 600',
    )
    let said = ''
    for await (const chunk of child.stderr as AsyncIterable<Buffer>) {
      said += chunk.toString()
      if (said.includes('code')) break
    }
    expect(said).toContain('stdout\ncode 0')
  })
})
