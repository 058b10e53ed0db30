/** An HTTP/1.1 answer, as far as the load looks at it. */
export interface Answer {
  readonly status: number
  /** One character per byte; what is beyond the first 64 kB is left out. */
  readonly body: string
  /** Value of X-Config: which version of the configuration it went through; 0: not said. */
  readonly version: number
  /** Whether the connection carries no further request. */
  readonly closes: boolean
}

const mostBody = 64 * 1024
const mostHead = 64 * 1024

type Framing = 'length' | 'chunked' | 'close'

/** Reads one answer after the other from the bytes of a connection. */
export class AnswerReader {
  #head = ''
  #inBody = false
  #status = 0
  #version = 0
  #closes = false
  #framing: Framing = 'length'
  /** Bytes that are still to come of a body of known length. */
  #left = 0
  #body = ''

  /** The answer when these bytes complete it; `null` when more must come; in words what is wrong with them. */
  read(bytes: Buffer): Answer | string | null {
    let text = bytes.toString('latin1')
    if (!this.#inBody) {
      this.#head += text
      const end = this.#head.indexOf('\r\n\r\n')
      if (end === -1) return this.#head.length > mostHead ? 'endless head' : null
      text = this.#head.slice(end + 4)
      const fault = this.#readHead(this.#head.slice(0, end))
      if (fault !== null) return fault
      // 100 Continue and its like: the answer itself follows.
      if (this.#status < 200) {
        this.#head = ''
        return text === '' ? null : this.read(Buffer.from(text, 'latin1'))
      }
      this.#inBody = true
    }
    return this.#readBody(text)
  }

  /** The answer that the end of the connection completes, if there is one. */
  end(): Answer | null {
    return this.#inBody && this.#framing === 'close' ? this.#complete() : null
  }

  #readHead(head: string): string | null {
    if (!/^HTTP\/1\.1 \d{3}/.test(head)) return 'no HTTP/1.1 answer'
    this.#status = Number(head.slice(9, 12))
    this.#version = Number(/\r\nx-config: *(\d+)/i.exec(head)?.[1] ?? 0)
    this.#closes = /\r\nconnection: *close/i.test(head)
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
    if (/\r\ntransfer-encoding: *chunked/i.test(head)) this.#framing = 'chunked'
    else if (length !== undefined || this.#status === 204 || this.#status === 304) this.#framing = 'length'
    else this.#framing = 'close'
    this.#left = this.#status === 204 || this.#status === 304 ? 0 : Number(length ?? 0)
    return null
  }

  #readBody(text: string): Answer | string | null {
    if (this.#body.length < mostBody) this.#body += text
    switch (this.#framing) {
      case 'close':
        return null
      case 'length':
        this.#left -= text.length
        if (this.#left > 0) return null
        return this.#left < 0 ? 'more bytes than the answer has' : this.#complete()
      case 'chunked':
        // Of a body beyond the bound the end is what counts.
        if (this.#body.length >= mostBody) this.#body = this.#body.slice(0, 8) + text.slice(-16)
        if (!this.#body.endsWith('0\r\n\r\n')) return null
        this.#body = this.#body.replace(/(^|\r\n)[0-9a-f]+\r\n|\r\n$/gi, '')
        return this.#complete()
    }
  }

  #complete(): Answer {
    const answer = {
      status: this.#status,
      body: this.#body,
      version: this.#version,
      closes: this.#closes || this.#framing === 'close',
    }
    this.#head = ''
    this.#body = ''
    this.#inBody = false
    return answer
  }
}
