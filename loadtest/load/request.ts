import type { Caller, Kind, Target } from './job.ts'

const type = 'content-type: application/json\r\n'

/** Makes requests of one kind for one target: all that can be known before is put together once. */
export class RequestText {
  readonly #kind: Kind
  readonly #path: readonly string[]
  readonly #rest: readonly (readonly string[])[]

  constructor(kind: Kind, { host, port }: Target) {
    this.#kind = kind
    this.#path = `${kind.method} ${kind.path}`.split('{n}')
    this.#rest = kind.callers.map(({ headers }) => {
      const body = kind.method === 'POST' ? `${type}content-length: ${bodyOf(0).length}\r\n` : ''
      const own = /^host:/im.test(headers) ? '' : `host: ${host}:${port}\r\n`
      return ` HTTP/1.1\r\n${own}${body}${headers}\r\n`.split('{n}')
    })
  }

  callerOf(number: number): Caller {
    return this.#kind.callers[number % this.#kind.callers.length] as Caller
  }

  of(number: number): string {
    const rest = this.#rest[number % this.#rest.length] as readonly string[]
    const text = this.#path.join(String(number)) + rest.join(number.toString(36).padStart(12, '0'))
    return this.#kind.method === 'POST' ? text + bodyOf(number) : text
  }
}

/** Always of the same length. */
function bodyOf(number: number): string {
  return `{"item":"card deck","order":"${String(number).padStart(12, '0')}","note":"please leave it with the neighbours"}`
}
