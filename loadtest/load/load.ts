import { type Started, startModule } from '../bed/process.ts'
import { type FromLoad, type Job, sliceLength, type ToLoad, type Versions } from './job.ts'
import { merged, Tally, type TallyData } from './tally.ts'

/** A load, spread over one or more processes. */
export class Load {
  readonly #processes: readonly Started[]
  readonly #slices: Tally[] = []
  readonly #done: Promise<readonly (readonly TallyData[])[]>
  #lastId = 0

  private constructor(processes: readonly Started[]) {
    this.#processes = processes
    this.#done = Promise.all(processes.map((one) => this.#finished(one)))
    // Whoever waits for the end is told; nobody may wait yet.
    this.#done.catch(() => {})
  }

  /** Starts the processes. They have their connections open when this resolves, and have sent nothing. */
  static async start(job: Omit<Job, 'index'>): Promise<Load> {
    const processes = Array.from({ length: job.processes }, () => startModule('load/client.js'))
    const load = new Load(processes)
    await Promise.all(
      processes.map(async (one, index) => {
        const ready = answered(one, ({ type }) => type === 'ready')
        one.process.send({ type: 'job', job: { ...job, index } } satisfies ToLoad)
        await ready
      }),
    )
    return load
  }

  get pids(): number[] {
    return this.#processes.map(({ pid }) => pid)
  }

  /** What happened in each slice so far, from the begin. */
  get slices(): readonly Tally[] {
    return this.#slices
  }

  /** The tally of second `second` (the first is 0). */
  second(second: number): Tally {
    const perSecond = 1000 / sliceLength
    const tally = new Tally()
    for (let i = second * perSecond; i < (second + 1) * perSecond; i++) {
      const slice = this.#slices[i]
      if (slice !== undefined) tally.merge(slice.data())
    }
    return tally
  }

  /** Begins at this `Date.now()`. */
  begin(at: number): void {
    for (const { process } of this.#processes) process.send({ type: 'begin', at } satisfies ToLoad)
  }

  /** Tells which versions of the configuration answers may come from; resolves when that holds. */
  async allow(versions: Versions): Promise<void> {
    const id = ++this.#lastId
    await Promise.all(
      this.#processes.map(async (one) => {
        const heard = answered(one, (message) => message.type === 'versions' && message.id === id)
        one.process.send({ type: 'versions', id, versions } satisfies ToLoad)
        await heard
      }),
    )
  }

  /** A tally of the requests of each phase, when the last of them has ended. */
  async phases(): Promise<Tally[]> {
    const parts = await this.#done
    await this.stop()
    return (parts[0] ?? []).map((_, phase) => merged(parts.map((part) => part[phase] as TallyData)))
  }

  async stop(): Promise<void> {
    await Promise.all(this.#processes.map((one) => one.stop()))
  }

  #finished(one: Started): Promise<readonly TallyData[]> {
    return new Promise((resolve, reject) => {
      one.process.on('message', (message: FromLoad) => {
        if (message.type === 'done') resolve(message.phases)
        if (message.type !== 'slice') return
        for (let i = this.#slices.length; i <= message.index; i++) this.#slices.push(new Tally())
        this.#slices[message.index]?.merge(message.tally)
      })
      void one.ended.then((how) => reject(new Error(`a load process ended by itself (${how})\n${one.output()}`)))
    })
  }
}

/** Resolves with the first such message; rejects when the process ends before. */
function answered({ process, ended }: Started, isIt: (message: FromLoad) => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const look = (message: FromLoad): void => {
      if (!isIt(message)) return
      process.off('message', look)
      resolve()
    }
    process.on('message', look)
    void ended.then(() => reject(new Error('a load process ended by itself')))
  })
}
