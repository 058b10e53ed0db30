/** A load process: gets its job from the process that started it, does it, and tells what became of every request. */
import type { Answer } from './answer.ts'
import { judgeAnswer } from './check.ts'
import { type FromLoad, type Job, type Kind, sliceLength, type ToLoad, type Versions } from './job.ts'
import { RequestText } from './request.ts'
import { interleave, Schedule } from './schedule.ts'
import { type Order, Sender } from './sender.ts'
import { type Outcome, Tally } from './tally.ts'

let versions: Versions = { oldest: 0, newest: 0 }
let client: Client | null = null

process.on('message', (message: ToLoad) => {
  if (message.type === 'job') {
    client = new Client(message.job)
    tell({ type: 'ready' })
  } else if (message.type === 'versions') {
    versions = message.versions
    tell({ type: 'versions', id: message.id })
  } else {
    client?.begin(message.at)
  }
})
process.once('disconnect', () => process.exit())

function tell(message: FromLoad): void {
  process.send?.(message)
}

class Client {
  readonly #job: Job
  readonly #schedule: Schedule
  /** By phase and by number of the request: which kind it is. */
  readonly #turns: readonly (readonly number[])[]
  readonly #senders: Readonly<Record<'gateway' | 'origin', Sender | null>>
  readonly #texts: Readonly<Record<'gateway' | 'origin', readonly RequestText[]>>
  readonly #slice = new Tally()
  readonly #phases: readonly Tally[]
  /** `performance.now()` of the begin. */
  #begun = 0
  #next: number
  #end = 0

  constructor(job: Job) {
    this.#job = job
    this.#schedule = new Schedule(job.phases)
    this.#turns = job.phases.map(({ name }) =>
      interleave(job.kinds.map(({ share, phase }) => (phase === null || phase === name ? share : 0))),
    )
    this.#phases = job.phases.map(() => new Tally())
    this.#next = job.index
    const { gateway, origin } = job.targets
    const { connections, mostConnections } = job
    const isDirect = job.phases.some(({ target }) => target === 'origin')
    this.#senders = {
      gateway: new Sender(gateway, connections, mostConnections),
      origin: origin === null || !isDirect ? null : new Sender(origin, connections, mostConnections),
    }
    this.#texts = {
      gateway: job.kinds.map((kind) => new RequestText(kind, gateway)),
      origin: origin === null ? [] : job.kinds.map((kind) => new RequestText(kind, origin)),
    }
  }

  begin(at: number): void {
    const seconds = this.#job.phases.reduce((sum, phase) => sum + phase.seconds, 0)
    this.#begun = at - performance.timeOrigin
    this.#end = this.#begun + seconds * 1000
    this.#slices(0)
    if (this.#job.mode === 'open') this.#runOpen()
    else setTimeout(() => this.#runClosed(), this.#begun - performance.now())
  }

  #runOpen(): void {
    const now = performance.now()
    for (; this.#next < this.#schedule.total; this.#next += this.#job.processes) {
      const due = this.#begun + this.#schedule.due(this.#next) * 1000
      if (due > now) break
      this.#order(this.#next, this.#schedule.stretchOf(this.#next), due, now, () => {})
    }
    if (this.#next < this.#schedule.total || now < this.#end) setTimeout(() => this.#runOpen(), 1)
    else this.#finish()
  }

  #runClosed(): void {
    const again = (): void => {
      const now = performance.now()
      if (now >= this.#end) return
      this.#order(this.#next, 0, now, now, again)
      this.#next += this.#job.processes
    }
    for (let i = 0; i < this.#job.connections; i++) again()
    setTimeout(() => this.#finish(), this.#end - performance.now())
  }

  #order(place: number, phaseIndex: number, due: number, now: number, onDone: () => void): void {
    const turns = this.#turns[phaseIndex] as readonly number[]
    const kindIndex = turns[place % turns.length] as number
    const number = this.#job.firstNumber + place
    const kind = this.#job.kinds[kindIndex] as Kind
    const phase = this.#phases[phaseIndex] as Tally
    const { target } = this.#job.phases[phaseIndex] as Job['phases'][number]
    const text = this.#texts[target][kindIndex] as RequestText
    // What goes past the gateway meets none of its rules.
    const asked = target === 'gateway' ? kind : { ...kind, expects: [], echoed: false, evenOnly: false }
    const sent = { number, oldest: versions.oldest, caller: text.callerOf(number).name }
    const done = (outcome: Outcome, word: string): void => {
      const time = kind.background ? null : performance.now() - due
      phase.add(kind.name, outcome, word, time)
      this.#slice.add(kind.name, outcome, word, time)
      onDone()
    }
    const order: Order = {
      deadline: due + this.#job.timeout,
      text() {
        sent.oldest = versions.oldest
        return text.of(number)
      },
      answered: (answer) => {
        const outcome = judgeAnswer(asked, sent, answer, versions)
        done(outcome, wordOf(outcome, answer))
      },
      broken: (why) => done('broken', why),
      lost: () => done('lost', 'no answer'),
    }
    phase.addDue(now - due)
    this.#slice.addDue(now - due)
    this.#senders[target]?.submit(order)
  }

  /** Ends each slice when it is due, so that they do not drift away from the clock. */
  #slices(index: number): void {
    const due = this.#begun + (index + 1) * sliceLength
    setTimeout(() => {
      this.#endSlice(index)
      this.#slices(Math.max(index + 1, Math.floor((performance.now() - this.#begun) / sliceLength)))
    }, due - performance.now())
  }

  #endSlice(index: number): void {
    for (const sender of Object.values(this.#senders)) sender?.sweep()
    tell({ type: 'slice', index, tally: this.#slice.data() })
    this.#slice.clear()
  }

  /** Waits for the answers that are still to come: each of them comes, or is lost at its deadline. */
  #finish(): void {
    if (Object.values(this.#senders).some((sender) => sender !== null && sender.pending > 0)) {
      setTimeout(() => this.#finish(), 10)
      return
    }
    this.#endSlice(Math.floor((performance.now() - this.#begun) / sliceLength))
    for (const sender of Object.values(this.#senders)) sender?.close()
    tell({ type: 'done', phases: this.#phases.map((phase) => phase.data()) })
  }
}

/** The status, and of what should not be what the gateway says of it. */
function wordOf(outcome: Outcome, { status, body }: Answer): string {
  if (outcome === 'wrong') return `${status} wrong`
  const code = outcome === 'failed' ? /"error":"(\w+)"/.exec(body)?.[1] : undefined
  return code === undefined ? String(status) : `${status} ${code}`
}
