import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Started, startModule } from './process.ts'

interface Place {
  readonly port: number
  readonly file: string
  started: Started
}

/** The processes behind the gateway. */
export class Origins {
  readonly #places: readonly Place[]

  private constructor(places: readonly Place[]) {
    this.#places = places
  }

  static async start(folder: string, ports: readonly number[]): Promise<Origins> {
    const places: Place[] = []
    for (const port of ports) {
      const file = join(folder, `writes-${port}`)
      places.push({ port, file, started: await startOne(port, file) })
    }
    return new Origins(places)
  }

  get ports(): number[] {
    return this.#places.map(({ port }) => port)
  }

  get pids(): number[] {
    return this.#places.map(({ started }) => started.pid)
  }

  /** Ends the last one as a crash does. */
  async killOne(): Promise<void> {
    const place = this.#places.at(-1) as Place
    place.started.signal('SIGKILL')
    await place.started.ended
  }

  /** Starts it again on its port. */
  async reviveOne(): Promise<void> {
    const place = this.#places.at(-1) as Place
    place.started = await startOne(place.port, place.file)
  }

  async stop(): Promise<void> {
    await Promise.all(this.#places.map(({ started }) => started.stop()))
  }

  /** How many writes came, and how many of them had come before. */
  writes(): { readonly count: number; readonly repeated: number } {
    const seen = new Set<number>()
    let count = 0
    for (const { file } of this.#places) {
      const notes = readFileSync(file)
      for (let at = 0; at + 8 <= notes.length; at += 8) {
        seen.add(notes.readDoubleLE(at))
        count += 1
      }
    }
    return { count, repeated: count - seen.size }
  }
}

async function startOne(port: number, file: string): Promise<Started> {
  const started = startModule('bed/origin.js', [String(port), file])
  await new Promise<void>((resolve, reject) => {
    started.process.once('message', () => resolve())
    void started.ended.then(() => reject(new Error(`the origin did not start\n${started.output()}`)))
  })
  return started
}
