import {
  close,
  constants,
  existsSync,
  fstatSync,
  mkdirSync,
  open,
  openSync,
  type Stats,
  stat,
  write,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import type { PluginLog } from '../core/plugin.ts'

/** Bytes that are written at once. */
const chunkOfFile = 64 * 1024
/** The most that a pipe takes in one piece (PIPE_BUF): more, and lines of several workers would run into each other. */
const chunkOfPipe = 4096
/** Bytes that may wait when the disk or the reader is slow; lines beyond are dropped and counted. */
const mostWaiting = 16 * 1024 * 1024
/** Milliseconds between two looks at what waits to be written. */
const flushEvery = 200
/** Looks between two checks whether the file is still where it was. */
const checkEvery = 5
/** Milliseconds until the next try when nobody takes anything at the moment, and when writing fails. */
const retryBusy = 20
const retryFailed = 1000

const lineFeed = Buffer.from('\n')
const appending = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK

/**
 * A file, or stdout or stderr, to which lines are appended. Several processes may share it: each write is whole lines.
 *
 * It never blocks and never throws after it is open. What can't be written stays in a bounded buffer and is tried
 * again; `dropped` counts the lines for which there was no room. A file that was moved or deleted is opened anew.
 *
 * Own code, because sonic-boom measures its whole chunk anew for every line that it takes: at 64 kB that is 15 times the
 * cost of a line (bench/micro/access-log.bench.ts).
 */
export class LogFile {
  /** `stdout`, `stderr`, or an absolute path. */
  readonly path: string
  /** Lines that were lost. */
  dropped = 0

  readonly #log: PluginLog | null
  readonly #timer: NodeJS.Timeout
  #fd: number
  #chunk: number
  /** Lines that are being collected for the next chunk, and full chunks. */
  #text = ''
  readonly #chunks: string[] = []
  #waiting = 0
  /** The chunk on its way to the file, and how many of its bytes have arrived. */
  #writing: Buffer | null = null
  #written = 0
  /** The file that a write is on its way to; -1: none is. */
  #writingFd = -1
  /** The file ends in a part of a line that could not be written whole. */
  #torn = false
  #retry: NodeJS.Timeout | null = null
  /** The last write failed: it is tried again in a while. */
  #failing = false
  #complained = false
  #opening: 'no' | 'once' | 'again' = 'no'
  #closed = false
  #ticks = 0
  #idle: (() => void)[] = []

  /** Opens for appending; makes the file, and the folder that it is in, where they are missing. Throws when that is not possible. */
  static open(path: string, log: PluginLog | null = null): LogFile {
    return new LogFile(path, log)
  }

  private constructor(path: string, log: PluginLog | null) {
    this.path = path
    this.#log = log
    this.#fd = openPath(path)
    this.#chunk = chunkFor(this.#fd)
    this.#timer = setInterval(() => this.#tick(), flushEvery).unref()
  }

  /** Appends a line: ASCII only, with its line feed. */
  write(line: string): void {
    if (this.#waiting + line.length > mostWaiting || this.#closed) {
      this.dropped++
      return
    }
    this.#waiting += line.length
    if (this.#text.length + line.length > this.#chunk) this.#startChunk()
    this.#text += line
  }

  /** Resolves when everything up to now is written, or can't be written at present. */
  flush(): Promise<void> {
    this.#startChunk()
    const isTrying = this.#writingFd !== -1
    if (this.#writing === null || (this.#failing && !isTrying)) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }

  /** Writes what waits without leaving it to the event loop: for a process about to exit. */
  flushSync(): void {
    this.#startChunk()
    try {
      if (this.#writing !== null && this.#writingFd === -1) writeSync(this.#fd, this.#writing, this.#written)
      for (const chunk of this.#chunks) {
        writeSync(this.#fd, chunk, null, 'latin1')
        this.#waiting -= chunk.length
      }
    } catch {
      // There is nobody left to tell.
    }
    this.#chunks.length = 0
  }

  /** Goes on in the file that has the name now: after a rotation. */
  reopen(): void {
    if (isStream(this.path) || this.#closed) return
    // The file that is being opened may have been moved already.
    if (this.#opening !== 'no') {
      this.#opening = 'again'
      return
    }
    this.#opening = 'once'
    open(this.path, appending, 0o640, (error, fd) => {
      const again = this.#opening === 'again'
      this.#opening = 'no'
      if (error === null) this.#change(fd)
      else this.#complain(error)
      if (again) this.reopen()
    })
  }

  #change(fd: number): void {
    if (this.#closed) return close(fd, () => {})
    const old = this.#fd
    this.#fd = fd
    this.#chunk = chunkFor(fd)
    this.#torn = false
    // A write that is on its way closes the old file when it is done.
    if (old !== this.#writingFd) close(old, () => {})
    if (this.#retry !== null) this.#tryAgain()
  }

  /** Writes what waits, for at most `timeout` milliseconds, and closes the file. What has failed is tried once more. */
  async close(timeout = 1000): Promise<void> {
    if (this.#closed) return
    clearInterval(this.#timer)
    if (this.#retry !== null) this.#tryAgain()
    let timer: NodeJS.Timeout | undefined
    await Promise.race([this.flush(), new Promise((resolve) => (timer = setTimeout(resolve, timeout)))])
    clearTimeout(timer)
    this.#closed = true
    if (this.#fd !== this.#writingFd) closeOwn(this.#fd)
    if (this.#retry !== null) clearTimeout(this.#retry)
  }

  #tick(): void {
    this.#startChunk()
    if (isStream(this.path) || ++this.#ticks % checkEvery !== 0) return
    stat(this.path, (error, there) => {
      if (this.#closed) return
      if (error !== null ? error.code === 'ENOENT' : !isSame(there, fstatSync(this.#fd))) this.reopen()
    })
  }

  #startChunk(): void {
    if (this.#text !== '') {
      this.#chunks.push(this.#text)
      this.#text = ''
    }
    if (this.#writing === null) this.#next()
  }

  #next(): void {
    const chunk = this.#chunks.shift()
    if (chunk === undefined) {
      const idle = this.#idle
      this.#idle = []
      for (const resolve of idle) resolve()
      return
    }
    this.#writing = Buffer.from(chunk, 'latin1')
    this.#written = 0
    this.#write()
  }

  #write(): void {
    const fd = this.#fd
    const rest = (this.#writing as Buffer).subarray(this.#written)
    const buffer = this.#torn ? Buffer.concat([lineFeed, rest]) : rest
    this.#writingFd = fd
    write(fd, buffer, 0, buffer.length, null, (error, count) => {
      this.#writingFd = -1
      const isSameFile = fd === this.#fd
      if (!isSameFile || this.#closed) closeOwn(fd)
      if (this.#closed) return
      if (error !== null) return this.#fail(error, isSameFile)
      this.#recovered()
      const written = Math.max(count - (buffer.length - rest.length), 0)
      this.#torn = this.#torn && count === 0
      this.#written += written
      this.#waiting -= written
      if (count < buffer.length) {
        if (!isSameFile) this.#rewind(false)
        return this.#write()
      }
      this.#writing = null
      this.#next()
    })
  }

  #fail(error: NodeJS.ErrnoException, isSameFile: boolean): void {
    const isBusy = error.code === 'EAGAIN' || error.code === 'EBUSY'
    if (!isBusy) {
      this.#complain(error)
      this.#failing = true
      this.#rewind(isSameFile)
      for (const resolve of this.#idle.splice(0)) resolve()
    }
    this.#retry = setTimeout(() => this.#tryAgain(), isBusy ? retryBusy : retryFailed).unref()
  }

  /** Once per failure, not once per try. */
  #complain(error: NodeJS.ErrnoException): void {
    if (!this.#complained)
      this.#log?.error('the access log can not be written', { path: this.path, error: error.message })
    this.#complained = true
  }

  #recovered(): void {
    this.#failing = false
    if (!this.#complained) return
    this.#complained = false
    this.#log?.info('the access log is written again', { path: this.path, dropped: this.dropped })
  }

  #tryAgain(): void {
    if (this.#retry !== null) clearTimeout(this.#retry)
    this.#retry = null
    this.#write()
  }

  /**
   * The disk was full in the middle of a line, or the file was changed there, and others may write before we go on: the
   * line is written again as a whole. `isSameFile`: behind a line feed, which ends what is there of it.
   */
  #rewind(isSameFile: boolean): void {
    const buffer = this.#writing
    if (buffer === null || this.#written === 0) return
    const start = buffer.lastIndexOf(0x0a, this.#written - 1) + 1
    this.#torn = isSameFile && start < this.#written
    this.#waiting += this.#written - start
    this.#writing = buffer.subarray(start)
    this.#written = 0
  }
}

function isStream(path: string): boolean {
  return path === 'stdout' || path === 'stderr'
}

function openPath(path: string): number {
  if (isStream(path)) return openStream(path === 'stdout' ? 1 : 2)
  if (!existsSync(dirname(path))) mkdirSync(dirname(path))
  return openSync(path, appending, 0o640)
}

/**
 * A pipe is opened a second time, so that it does not block here and stays as it is for everybody else: a write that
 * waits for a reader would hold a thread, and the process could not exit before it returns.
 */
function openStream(fd: number): number {
  try {
    if (fstatSync(fd).isFIFO()) return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK)
  } catch {
    // No such file system, or not ours to open: then as it is.
  }
  return fd
}

/** Closes what was opened here, and never stdout and stderr. */
function closeOwn(fd: number): void {
  if (fd > 2) close(fd, () => {})
}

function chunkFor(fd: number): number {
  try {
    const stats = fstatSync(fd)
    return stats.isFIFO() || stats.isSocket() ? chunkOfPipe : chunkOfFile
  } catch {
    return chunkOfPipe // stdout is closed: writing will fail, and that is dealt with
  }
}

function isSame(a: Stats, b: Stats): boolean {
  return a.ino === b.ino && a.dev === b.dev
}
