import { type Rejection, reject } from '../../core/errors.ts'

const placeholder = '{retry_after}'

/** Seconds: a year. Infinite is no number that a client could wait. */
const longest = 31_536_000

/** What refusals of one limit have in common. */
export interface RefusalWords {
  readonly status: number
  readonly message: string
  /** Members of the JSON body in place of the usual one, or `null`. */
  readonly body: Readonly<Record<string, string | number | boolean>> | null
}

/**
 * Refusals of one limit, serialised but for the number of seconds: a flood of them costs no `JSON.stringify`, and those of
 * the same second are one object.
 */
export class Refusals {
  readonly #template: Rejection
  readonly #message: readonly string[]
  readonly #body: readonly string[]
  #last: Rejection | null = null
  #lastSeconds = -1

  constructor({ status, message, body }: RefusalWords) {
    this.#template = reject('rate_limit_exceeded', { status, message })
    this.#message = message.split(placeholder)
    this.#body = (body === null ? this.#template.body : openBody(body)).split(placeholder)
  }

  /** A refusal that says how long to wait: rounded up, as who waits that long must be admitted. */
  after(milliseconds: number): Rejection {
    const seconds = milliseconds > 1000 ? Math.min(Math.ceil(milliseconds / 1000), longest) : 1
    if (this.#last !== null && this.#lastSeconds === seconds) return this.#last
    const text = String(seconds)
    const { code, status, source, close, detail } = this.#template
    this.#lastSeconds = seconds
    this.#last = {
      code,
      status,
      source,
      message: filled(this.#message, text),
      headers: ['retry-after', text],
      close,
      detail,
      body: filled(this.#body, text),
    }
    return this.#last
  }
}

/** JSON that lacks the request id and its end, as the proxy adds both. */
function openBody(body: NonNullable<RefusalWords['body']>): string {
  const json = JSON.stringify(body).replaceAll(`:"${placeholder}"`, `:${placeholder}`)
  return `${json.slice(0, -1)}${json === '{}' ? '' : ','}"request_id":"`
}

function filled(pieces: readonly string[], seconds: string): string {
  let text = pieces[0] as string
  for (let i = 1; i < pieces.length; i++) text += seconds + (pieces[i] as string)
  return text
}
