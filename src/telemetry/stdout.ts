import { constants, fstatSync, openSync, writeSync } from 'node:fs'

/** Bytes that may wait for a reader that has stalled; lines beyond are dropped, the process goes on. */
const mostWaiting = 4 * 1024 * 1024
/** Milliseconds between tries while nobody reads. */
const retry = 10

/**
 * Stdout for the control log. A line is written before `write` returns, so that lines keep their order and the last
 * one before an exit is not lost; when the reader of a pipe has stalled, lines wait here, and never the process.
 */
export class Stdout {
  readonly #fd: number
  #waiting: Buffer[] = []
  #size = 0
  #timer: NodeJS.Timeout | null = null

  constructor(fd = 1) {
    this.#fd = withoutWaiting(fd)
  }

  write(line: string): void {
    const bytes = Buffer.from(line)
    if (this.#size + bytes.length > mostWaiting) return
    this.#waiting.push(bytes)
    this.#size += bytes.length
    if (this.#timer === null) this.#flush()
  }

  #flush(): void {
    this.#timer = null
    try {
      while (this.#waiting[0] !== undefined) {
        const bytes = this.#waiting[0]
        const written = writeSync(this.#fd, bytes)
        this.#size -= written
        if (written < bytes.length) this.#waiting[0] = bytes.subarray(written)
        else this.#waiting.shift()
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN')
        this.#timer = setTimeout(() => this.#flush(), retry).unref()
      else this.#forget()
    }
  }

  /** Stdout is gone, and nobody is left to be told. */
  #forget(): void {
    this.#waiting = []
    this.#size = 0
  }
}

/** A pipe is opened a second time: whoever else has it still waits as before. */
function withoutWaiting(fd: number): number {
  try {
    if (fstatSync(fd).isFIFO()) return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK)
  } catch {
    // No such file system, or not ours to open: then as it is.
  }
  return fd
}
