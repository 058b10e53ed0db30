import type { RejectionCode } from '../../core/errors.ts'
import { ChunkedDecoder } from './chunked.ts'
import type { HeadCache } from './head-cache.ts'
import { framing, type ParsedHead, parseHead, startsAsHttp1 } from './parsed-head.ts'
import type { ReadBuffer } from './read-buffer.ts'

/** What a read brought. */
export const step = {
  /** Nothing to tell yet. */
  more: 0,
  /** `head` is an interim response; read on from `position`. */
  interim: 1,
  /** `head` is the final one; body bytes and `complete` as with `data`. */
  head: 2,
  /** The body goes on with `bytes[bodyStart, bodyEnd)`, which may be empty, and is `complete` or not. */
  data: 3,
  /** The response is malformed: see `code` and `fault`. The parser is of no use any more. */
  failed: 4,
} as const
export type Step = (typeof step)[keyof typeof step]

const phase = { head: 0, length: 1, chunked: 2, close: 3, done: 4 } as const
type Phase = (typeof phase)[keyof typeof phase]

/** Interim responses before the final one. More is an attack or a loop. */
const mostInterims = 32

/**
 * Reads the responses of one connection, one after the other (RFC 9112). Pulls: `read` takes what a read brought and
 * says what it is, so that no callback and no object is needed per response.
 */
export class ResponseParser {
  head: ParsedHead | null = null
  bodyStart = 0
  bodyEnd = 0
  /** The response ends here. Bytes behind `position` belong to no response that was asked for. */
  complete = false
  /** Behind the last byte that was used. */
  position = 0
  code: RejectionCode = 'upstream_bad_response'
  fault = ''

  private readonly cache: HeadCache
  private readonly maxHeadSize: number
  private readonly chunked: ChunkedDecoder
  private phase: Phase = phase.head
  private bodiless = false
  private left = 0
  private interims = 0
  /** The start of a head that came in several reads; `stashed` bytes of it are filled. */
  private stash: Buffer = noBytes
  private stashed = 0

  constructor(cache: HeadCache, maxHeadSize: number) {
    this.cache = cache
    this.maxHeadSize = maxHeadSize
    this.chunked = new ChunkedDecoder(maxHeadSize)
  }

  /** Makes it ready for the response to the next request. `isHead`: its method is HEAD, the response has no body. */
  begin(isHead: boolean): void {
    this.head = null
    this.complete = false
    this.phase = phase.head
    this.bodiless = isHead
    this.interims = 0
  }

  /** The final head has come. */
  get begun(): boolean {
    return this.phase !== phase.head
  }

  /** Reads `buffer.bytes[start, end)`. */
  read(buffer: ReadBuffer, start: number, end: number): Step {
    switch (this.phase) {
      case phase.head:
        return this.readHead(buffer, start, end)
      case phase.length:
      case phase.chunked:
      case phase.close:
        return this.readBody(buffer, start, end) ? step.data : step.failed
      case phase.done:
        return step.more
    }
  }

  /** The connection has ended. True: that was the end of a response that says its end no other way. */
  finish(): boolean {
    if (this.phase !== phase.close) return false
    this.complete = true
    this.phase = phase.done
    return true
  }

  private readHead(buffer: ReadBuffer, start: number, end: number): Step {
    let at = start
    for (;;) {
      let head: ParsedHead | string | null
      if (this.stashed !== 0) {
        head = this.readSplitHead(buffer.bytes, at, end)
      } else if ((head = at === 0 ? this.cache.find(buffer, end) : this.cache.findAt(buffer.bytes, at, end)) !== null) {
        this.position = at + this.cache.hitSize
      } else {
        head = this.readWholeHead(buffer, at, end)
      }
      if (head === null) return step.more
      if (typeof head === 'string') return this.fail(head)

      at = this.position
      if (head.status >= 200) return this.accept(head, buffer, end)
      // A switch of protocol was never asked for.
      if (head.status === 101) return this.fail('unexpected 101')
      if (++this.interims > mostInterims) return this.fail('too many interim responses')
      if (head.status !== 100) {
        this.head = head
        return step.interim
      }
      if (at === end) return step.more
    }
  }

  /** A head that begins in this read; most end in it. Null: it doesn't, the bytes are put by. */
  private readWholeHead(buffer: ReadBuffer, start: number, end: number): ParsedHead | string | null {
    const { bytes } = buffer
    const headEnd = findHeadEnd(bytes, start, Math.min(end, start + this.maxHeadSize))
    if (headEnd === -1) {
      this.putBy(bytes, start, end)
      return this.unfinished(0)
    }
    const head = parseHead(bytes, start, headEnd)
    if (typeof head === 'string') return head
    if (head.cacheable) {
      if (start === 0) this.cache.store(buffer, headEnd, end, head)
      else this.cache.storeAt(bytes, start, headEnd, head)
    }
    this.position = headEnd
    return head
  }

  /** A head that began in an earlier read. */
  private readSplitHead(bytes: Buffer, start: number, end: number): ParsedHead | string | null {
    const before = this.stashed
    this.putBy(bytes, start, end)
    // The empty line may lie across the border.
    const headEnd = findHeadEnd(this.stash, Math.max(0, before - 3), this.stashed)
    if (headEnd === -1) return this.unfinished(before)
    const { stash } = this
    this.stash = noBytes
    this.stashed = 0
    this.position = start + headEnd - before
    return parseHead(stash, 0, headEnd)
  }

  /** Keeps the bytes of a head that may be unfinished, as far as one may go. */
  private putBy(bytes: Buffer, start: number, end: number): void {
    const total = Math.min(this.stashed + end - start, this.maxHeadSize)
    if (total > this.stash.length) {
      const grown = Buffer.allocUnsafeSlow(Math.min(this.maxHeadSize, Math.max(1024, total * 2)))
      this.stash.copy(grown, 0, 0, this.stashed)
      this.stash = grown
    }
    bytes.copy(this.stash, this.stashed, start, start + total - this.stashed)
    this.stashed = total
  }

  /** No empty line yet. What can't become a head any more is refused now, not when time runs out. */
  private unfinished(before: number): string | null {
    if (this.stashed === this.maxHeadSize) return tooLarge
    if (before < 7 && !startsAsHttp1(this.stash, 0, this.stashed)) return 'bad status line'
    return hasBareLf(this.stash, before, this.stashed) ? 'bare LF' : null
  }

  private accept(head: ParsedHead, buffer: ReadBuffer, end: number): Step {
    this.head = head
    this.bodyStart = this.bodyEnd = this.position
    if (this.bodiless || head.framing === framing.none) {
      this.end()
      return step.head
    }
    switch (head.framing) {
      case framing.length:
        this.left = head.contentLength
        this.phase = phase.length
        break
      case framing.chunked:
        this.chunked.reset()
        this.phase = phase.chunked
        break
      case framing.close:
        this.phase = phase.close
    }
    return this.readBody(buffer, this.position, end) ? step.head : step.failed
  }

  private readBody(buffer: ReadBuffer, start: number, end: number): boolean {
    this.bodyStart = start
    if (this.phase === phase.length) {
      const size = Math.min(this.left, end - start)
      this.left -= size
      this.bodyEnd = this.position = start + size
      if (this.left === 0) this.end()
      return true
    }
    if (this.phase === phase.close) {
      this.bodyEnd = this.position = end
      return true
    }
    const { chunked } = this
    if (!chunked.read(buffer.bytes, start, end)) {
      this.fail(chunked.fault)
      return false
    }
    this.bodyStart = chunked.dataStart
    this.bodyEnd = chunked.dataEnd
    this.position = chunked.position
    if (chunked.done) this.end()
    return true
  }

  private end(): void {
    this.complete = true
    this.phase = phase.done
  }

  private fail(fault: string): Step {
    this.fault = fault
    this.code = fault === tooLarge ? 'upstream_response_too_large' : 'upstream_bad_response'
    return step.failed
  }
}

const noBytes = Buffer.alloc(0)
const tooLarge = 'head too large'
const lf = 10
const cr = 13

/**
 * Index behind the first empty line in `bytes[start, end)`, or -1. Looks at every fourth byte where neither CR nor LF
 * is near: faster than `indexOf`, whose way into C++ costs more than a small head (bench/micro/response-parser.bench.ts).
 */
function findHeadEnd(bytes: Uint8Array, start: number, end: number): number {
  let at = start + 3
  while (at < end) {
    const byte = bytes[at]
    if (byte === cr) at++
    else if (byte !== lf) at += 4
    else if (bytes[at - 1] === cr && bytes[at - 2] === lf && bytes[at - 3] === cr) return at + 1
    else at += 2
  }
  return -1
}

function hasBareLf(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (bytes[at] === lf && (at === 0 || bytes[at - 1] !== cr)) return true
  return false
}
