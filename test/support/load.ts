import { connect, type Socket } from 'node:net'

export interface LoadOptions {
  readonly port: number
  readonly path?: string
  /** Connections, each with one request at a time. */
  readonly connections?: number
  /** Called with each complete answer. */
  readonly onAnswer?: (answer: LoadAnswer) => void
}

export interface LoadAnswer {
  readonly status: number
  /** Status line and fields in lower case. */
  readonly head: string
  /** Milliseconds, by `performance.now()`. */
  readonly sentAt: number
  readonly endedAt: number
}

/** What became of every request that a load has sent. */
export interface LoadResult {
  /** Complete answers by status. */
  readonly statuses: Readonly<Record<number, number>>
  /** Complete answers by body, as far as bodies are short. */
  readonly bodies: Readonly<Record<string, number>>
  /** Connections that could not be opened: nobody listened. */
  readonly refused: number
  /** A connection that had served requests ended without a byte of the answer. */
  readonly reset: number
  /** The same on the first request of a connection: it may never have been accepted. */
  readonly unaccepted: number
  /** Answers that broke off in the middle. */
  readonly incomplete: number
  /** Answers that said that the connection closes. */
  readonly lastAnswers: number
}

export interface Load {
  /** Complete answers so far. */
  readonly answered: number
  /** Resolves when `count` more answers are complete. */
  more(count: number): Promise<void>
  /** Finishes the requests under way and ends. */
  stop(): Promise<LoadResult>
}

interface Tally {
  statuses: Record<number, number>
  bodies: Record<string, number>
  refused: number
  reset: number
  unaccepted: number
  incomplete: number
  lastAnswers: number
}

/** Requests as fast as the answers come, over keep-alive connections that are opened anew whenever one ends. */
export function startLoad({ port, path = '/', connections = 16, onAnswer }: LoadOptions): Load {
  const tally: Tally = { statuses: {}, bodies: {}, refused: 0, reset: 0, unaccepted: 0, incomplete: 0, lastAnswers: 0 }
  const request = Buffer.from(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`)
  let stopping = false
  let answered = 0
  let waiting: { at: number; resolve: () => void }[] = []

  const count = ({ status, head, body }: Answer, sentAt: number): void => {
    answered += 1
    onAnswer?.({ status, head, sentAt, endedAt: performance.now() })
    tally.statuses[status] = (tally.statuses[status] ?? 0) + 1
    if (body.length < 100) tally.bodies[body] = (tally.bodies[body] ?? 0) + 1
    const due = waiting.filter(({ at }) => answered >= at)
    waiting = waiting.filter(({ at }) => answered < at)
    for (const { resolve } of due) resolve()
  }

  const runOne = async (): Promise<void> => {
    while (!stopping) {
      const socket = await open(port)
      if (socket !== null) {
        await converse(socket, request, tally, count, () => stopping)
        continue
      }
      tally.refused += 1
      // Nobody listens: ask again, but leave the machine some time.
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  const running = Promise.all(Array.from({ length: connections }, runOne))

  return {
    get answered() {
      return answered
    },
    more(more) {
      return new Promise((resolve) => waiting.push({ at: answered + more, resolve }))
    },
    async stop() {
      stopping = true
      await running
      return tally
    },
  }
}

function open(port: number): Promise<Socket | null> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    socket.once('connect', () => resolve(socket))
    socket.once('error', () => resolve(null))
  })
}

/** Sends requests one after the other until the connection ends or the load does. */
function converse(
  socket: Socket,
  request: Buffer,
  tally: Tally,
  count: (answer: Answer, sentAt: number) => void,
  isStopping: () => boolean,
): Promise<void> {
  return new Promise((resolve) => {
    let buffer = ''
    let served = 0
    let waits = true
    let sentAt = performance.now()
    socket.write(request)
    socket.on('data', (chunk) => {
      buffer += chunk.toString('latin1')
      const answer = parse(buffer)
      if (answer === null) return
      buffer = ''
      served += 1
      waits = false
      count(answer, sentAt)
      if (answer.closes) tally.lastAnswers += 1
      if (answer.closes || isStopping()) return socket.end()
      waits = true
      sentAt = performance.now()
      socket.write(request)
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      if (waits && buffer !== '') tally.incomplete += 1
      else if (waits && served > 0) tally.reset += 1
      else if (waits) tally.unaccepted += 1
      resolve()
    })
  })
}

interface Answer {
  readonly status: number
  readonly head: string
  readonly body: string
  readonly closes: boolean
}

/** The answer, or null while it is not complete. */
function parse(text: string): Answer | null {
  const end = text.indexOf('\r\n\r\n')
  if (end === -1) return null
  const head = text.slice(0, end).toLowerCase()
  const rest = text.slice(end + 4)
  const status = Number(head.slice(9, 12))
  const closes = /\r\nconnection: *close/.test(head)
  const length = /\r\ncontent-length: *(\d+)/.exec(head)?.[1]
  if (length !== undefined) return rest.length < Number(length) ? null : { status, head, body: rest, closes }
  if (!/\r\ntransfer-encoding: *chunked/.test(head)) return { status, head, body: '', closes }
  if (!rest.endsWith('0\r\n\r\n')) return null
  return { status, head, body: rest.replace(/(^|\r\n)[0-9a-f]+\r\n|\r\n$/g, ''), closes }
}
