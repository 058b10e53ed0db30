import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import type { Log } from '../telemetry/logger.ts'
import { type Field, fieldOf, isInForce, type Revocation } from './revocation.ts'
import { itemOf, readItem, unknownTime } from './revocation-item.ts'
import { type Watch, watchFiles } from './watch.ts'

/** Faults of one reading that are logged. */
const mostFaults = 5
/** Lines that say nothing any more, above which the file is written anew. */
const mostDead = 1000

/**
 * Revocations in a file: one JSON object a line, empty lines and those that begin with `#` left out. Of two lines about the
 * same the later counts.
 */
export class RevocationFile {
  readonly path: string
  readonly #log: Log
  #watch: Watch | null = null
  /** What the file was when it was read or written here last. */
  #identity = ''
  /** Lines that it has. */
  #lines = 0
  #writing: Promise<unknown> = Promise.resolve()

  constructor(path: string, log: Log) {
    this.path = path
    this.#log = log
  }

  /** Everything in it; what is wrong with it is logged. `null`: it can't be read, though it is there. */
  read(): Map<Field, Revocation> | null {
    const revocations = new Map<Field, Revocation>()
    this.#identity = this.#identify()
    let text: string
    try {
      text = readFileSync(this.path, 'utf8')
    } catch (error) {
      this.#lines = 0
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return revocations
      this.#log.error({ file: this.path, reason: (error as Error).message }, 'the file of revocations can not be read')
      return null
    }
    const lines = text.split('\n')
    this.#lines = lines.length
    let faults = 0
    lines.forEach((line, i) => {
      if (line.trim() === '' || line.startsWith('#')) return
      const read = readLine(line)
      if (typeof read !== 'string') revocations.set(fieldOf(read.kind, read.value), read)
      else if (++faults <= mostFaults)
        this.#log.error({ file: this.path, line: i + 1, reason: read }, 'a revocation can not be read')
    })
    return revocations
  }

  /** Calls when somebody else has changed it. */
  watch(onChange: () => void): void {
    this.#watch = watchFiles([this.path], () => {
      if (this.#identify() !== this.#identity) onChange()
    })
  }

  /** Adds to its end, and waits until the disk has it. False, and a line of log, when that fails. */
  append(revocations: readonly Revocation[]): Promise<boolean> {
    return this.#inTurn(async () => {
      // Changed by somebody else meanwhile: the watch has to see that it must be read.
      const isOurs = this.#identify() === this.#identity
      const file = await open(this.path, 'a+', 0o600)
      try {
        const { size } = await file.stat()
        const last =
          size === 0 ? '\n' : (await file.read({ buffer: Buffer.alloc(1), position: size - 1 })).buffer.toString()
        await file.appendFile((last === '\n' ? '' : '\n') + textOf(revocations))
        await file.datasync()
      } finally {
        await file.close()
      }
      this.#lines += revocations.length
      if (isOurs) this.#identity = this.#identify()
    })
  }

  /** Whether most of its lines say nothing any more when `count` are in force. */
  isWorn(count: number): boolean {
    return this.#lines > 2 * count + mostDead
  }

  /** Replaces all of it at once. False, and a line of log, when that fails. */
  rewrite(revocations: Iterable<Revocation>): Promise<boolean> {
    return this.#inTurn(() => {
      const now = Date.now()
      const kept = [...revocations].filter((one) => one.removed || isInForce(one, now))
      const beside = `${this.path}.${process.pid}.new`
      try {
        writeFileSync(beside, textOf(kept), { mode: 0o600, flush: true })
        renameSync(beside, this.path)
      } catch (error) {
        rmSync(beside, { force: true })
        throw error
      }
      this.#lines = kept.length
      this.#identity = this.#identify()
    })
  }

  close(): void {
    this.#watch?.close()
  }

  #inTurn(write: () => void | Promise<void>): Promise<boolean> {
    const done = this.#writing.then(write).then(
      () => true,
      (error: Error) => {
        this.#log.error({ file: this.path, reason: error.message }, 'the file of revocations can not be written')
        return false
      },
    )
    this.#writing = done
    return done
  }

  #identify(): string {
    try {
      const { ino, size, mtimeNs } = statSync(this.path, { bigint: true })
      return `${ino} ${size} ${mtimeNs}`
    } catch {
      return ''
    }
  }
}

function readLine(line: string): Revocation | string {
  let item: unknown
  try {
    item = JSON.parse(line)
  } catch {
    return 'it is not JSON'
  }
  return readItem(item, { now: unknownTime, tokenLifetime: 0, inFile: true })
}

function textOf(revocations: readonly Revocation[]): string {
  return revocations.map((one) => `${JSON.stringify(itemOf(one))}\n`).join('')
}
