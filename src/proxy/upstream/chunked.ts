const state = {
  size: 0,
  extension: 1,
  sizeEnd: 2,
  data: 3,
  dataEnd: 4,
  dataEndLf: 5,
  line: 6,
  name: 7,
  value: 8,
  lineEnd: 9,
  bodyEnd: 10,
  done: 11,
} as const
type State = (typeof state)[keyof typeof state]

const tab = 9
const lf = 10
const cr = 13
const space = 32
const colon = 58
const semicolon = 59
const del = 127

/** Digits of a chunk size: 48 bits, far from where numbers lose precision. Leading zeros count. */
const mostSizeDigits = 12

/** Value of a hexadecimal digit by its byte; 255: none. */
const hexValues = new Uint8Array(256).fill(255)
for (let i = 0; i < 16; i++) {
  hexValues[i.toString(16).charCodeAt(0)] = i
  hexValues[i.toString(16).toUpperCase().charCodeAt(0)] = i
}

const tokenBytes = new Uint8Array(256)
for (const character of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
  tokenBytes[character.charCodeAt(0)] = 1
}

/**
 * Takes a chunked body apart (RFC 9112 §7.1), however it is split over reads.
 *
 * Works in place: the data of all chunks of one read is moved together, so that it is handed on as one piece. Chunk
 * extensions and trailers are checked and dropped; together they may have as many bytes as a head.
 */
export class ChunkedDecoder {
  /** Data of the last `read`: from here … */
  dataStart = 0
  /** … to here. */
  dataEnd = 0
  /** Behind the last byte that was used. */
  position = 0
  /** The word for the log when `read` returned false. */
  fault = ''

  private readonly mostExtraBytes: number
  private state: State = state.size
  private left = 0
  private sizeDigits = 0
  /** A space after the size: only `;` may follow (RFC 9112 §7.1.1). */
  private blankSeen = false
  private extraBytes = 0

  constructor(mostExtraBytes: number) {
    this.mostExtraBytes = mostExtraBytes
  }

  /** Makes it ready for the next body. */
  reset(): void {
    this.state = state.size
    this.left = 0
    this.sizeDigits = 0
    this.blankSeen = false
    this.extraBytes = 0
  }

  /** The body is complete, trailers included. */
  get done(): boolean {
    return this.state === state.done
  }

  /** Reads `bytes[start, end)`. False: the body is malformed. */
  read(bytes: Uint8Array, start: number, end: number): boolean {
    this.dataStart = start
    this.dataEnd = start
    let at = start
    while (at < end && this.state !== state.done) {
      if (this.state === state.data) {
        at = this.takeData(bytes, at, end)
      } else {
        if (!this.take(bytes[at] as number)) return false
        at++
      }
    }
    this.position = at
    return true
  }

  private takeData(bytes: Uint8Array, at: number, end: number): number {
    const next = Math.min(at + this.left, end)
    if (this.dataStart === this.dataEnd) {
      this.dataStart = at
      this.dataEnd = next
    } else {
      bytes.copyWithin(this.dataEnd, at, next)
      this.dataEnd += next - at
    }
    this.left -= next - at
    if (this.left === 0) this.state = state.dataEnd
    return next
  }

  /** One byte of what is not data. */
  private take(byte: number): boolean {
    switch (this.state) {
      case state.size:
        return this.takeSize(byte)
      case state.extension:
        if (byte === cr) this.state = state.sizeEnd
        else if (isControl(byte) || ++this.extraBytes > this.mostExtraBytes) return this.fail('bad chunk extension')
        return true
      case state.sizeEnd:
        if (byte !== lf) return this.fail('bad chunk size')
        this.sizeDigits = 0
        this.blankSeen = false
        this.state = this.left === 0 ? state.line : state.data
        return true
      case state.dataEnd:
        this.state = state.dataEndLf
        return byte === cr || this.fail('bad chunk end')
      case state.dataEndLf:
        this.state = state.size
        return byte === lf || this.fail('bad chunk end')
      case state.data:
      case state.done:
        return false
      case state.line:
      case state.name:
      case state.value:
      case state.lineEnd:
      case state.bodyEnd:
        return ++this.extraBytes > this.mostExtraBytes ? this.fail('trailers too large') : this.takeTrailer(byte)
    }
  }

  private takeSize(byte: number): boolean {
    const value = hexValues[byte] as number
    if (value !== 255) {
      if (this.blankSeen || ++this.sizeDigits > mostSizeDigits) return this.fail('bad chunk size')
      this.left = this.left * 16 + value
      return true
    }
    if (this.sizeDigits === 0) return this.fail('bad chunk size')
    if (byte === cr && !this.blankSeen) this.state = state.sizeEnd
    else if (byte === semicolon) this.state = state.extension
    else if (byte === space || byte === tab) this.blankSeen = true
    else return this.fail('bad chunk size')
    return byte === cr || ++this.extraBytes <= this.mostExtraBytes || this.fail('bad chunk extension')
  }

  /** Trailer fields up to the empty line: `line` stands before a name, `bodyEnd` before the very last byte. */
  private takeTrailer(byte: number): boolean {
    if (this.state === state.line) {
      if (byte === cr) this.state = state.bodyEnd
      else if (tokenBytes[byte] === 1) this.state = state.name
      else return this.fail('bad trailer')
    } else if (this.state === state.name) {
      if (byte === colon) this.state = state.value
      else if (tokenBytes[byte] !== 1) return this.fail('bad trailer')
    } else if (this.state === state.value) {
      if (byte === cr) this.state = state.lineEnd
      else if (isControl(byte)) return this.fail('bad trailer')
    } else {
      this.state = this.state === state.lineEnd ? state.line : state.done
      if (byte !== lf) return this.fail('bad trailer')
    }
    return true
  }

  private fail(fault: string): false {
    this.fault = fault
    return false
  }
}

/** A control character other than a tab. */
function isControl(byte: number): boolean {
  return (byte < space && byte !== tab) || byte === del
}
