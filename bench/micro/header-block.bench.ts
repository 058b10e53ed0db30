import type { HeaderList } from '../../src/core/headers.ts'
import type { SharedFields } from '../../src/proxy/upstream/client.ts'
import { SendBuffer } from '../../src/proxy/upstream/send-buffer.ts'

/** Fields as a browser sends them and the gateway adds them. */
const fields: HeaderList = [
  ['accept', '*/*'],
  ['user-agent', 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)'],
  ['accept-encoding', 'gzip, deflate, br'],
  ['accept-language', 'en-US,en;q=0.9'],
  ['x-forwarded-for', '192.0.2.17'],
  ['x-forwarded-proto', 'http'],
  ['x-forwarded-host', 'api.example.com'],
  ['x-forwarded-port', '8080'],
  ['via', '1.1 sluice'],
  ['traceparent', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'],
  ['x-request-id', '018f2c5e-7b9a-7000-8000-0123456789ab'],
].flat()

/** Strings of their own for each request, as the listener makes them: flat, not interned, in turns. */
const variants = 64
const lists = Array.from({ length: variants }, (_, index) =>
  fields.map((text) => Buffer.from(text.replace('89ab', String(1000 + index))).toString('latin1')),
)

let turn = 0
function nextList(): HeaderList {
  turn = (turn + 1) % variants
  return lists[turn] as HeaderList
}

function joined(list: HeaderList): string {
  let text = 'GET /api/users/123?x=1 HTTP/1.1\r\nhost: api.example.com'
  for (let i = 0; i < list.length; i += 2) text += `\r\n${list[i]}: ${list[i + 1]}`
  return `${text}\r\n\r\n`
}

/** Those that the gateway adds and that are the same for most requests: `x-forwarded-proto` to `via`. */
const sharedHeaders = fields.slice(10, 18)
const shared: SharedFields = {
  headers: sharedHeaders,
  block: Buffer.from(sharedHeaders.map((text, i) => (i % 2 === 0 ? `\r\n${text}: ` : text)).join('')).toString(
    'latin1',
  ),
}
const ownLists = lists.map((list) => [...list.slice(0, 10), ...list.slice(18)])

function nextOwnList(): HeaderList {
  turn = (turn + 1) % variants
  return ownLists[turn] as HeaderList
}

function requestWith(list: HeaderList, more: SharedFields | null = null): Parameters<SendBuffer['head']>[0] {
  return {
    method: 'GET',
    target: '/api/users/123?x=1',
    host: 'api.example.com',
    headers: list,
    shared: more,
    bodyLength: 0,
    connectTimeout: 0,
  }
}

const buffer = new SendBuffer()
const memory = Buffer.allocUnsafeSlow(65_536)
const encoder = new TextEncoder()
const unsafe = /[\0\r\n]/

function count(text: string, character: string): number {
  let found = 0
  let at = -1
  while ((at = text.indexOf(character, at + 1)) !== -1) found++
  return found
}

function encodeByHand(list: HeaderList): number {
  let at = 0
  for (let i = 0; i < list.length; i++) {
    const text = list[i] as string
    for (let j = 0; j < text.length; j++) memory[at++] = text.charCodeAt(j)
    memory[at++] = i % 2 === 0 ? 58 : 13
    memory[at++] = i % 2 === 0 ? 32 : 10
  }
  return at
}

/** Puts a request's head together, encoded and checked for what must not be in it, and what that was compared with. */
export const suite = {
  name: 'header-block',
  cases: {
    'head: joined, encoded, checked': () => {
      if (!buffer.head(requestWith(nextList()))) throw new Error('refused')
    },
    'the same, fields that requests share made before': () => {
      if (!buffer.head(requestWith(nextOwnList(), shared))) throw new Error('refused')
    },
    'joined only': () => {
      if (joined(nextList()).length < 100) throw new Error('too short')
    },
    'joined, encoded as UTF-8': () => {
      if (memory.write(joined(nextList())) < 100) throw new Error('too short')
    },
    'joined, encoded as latin1': () => {
      if (memory.write(joined(nextList()), 0, 'latin1') < 100) throw new Error('too short')
    },
    'joined, encoded by TextEncoder': () => {
      if (encoder.encodeInto(joined(nextList()), memory).written < 100) throw new Error('too short')
    },
    'compared: encoded by hand, without checks': () => {
      if (encodeByHand(nextList()) < 100) throw new Error('too short')
    },
    'compared: check by regex per string': () => {
      const list = nextList()
      for (let i = 0; i < list.length; i++) if (unsafe.test(list[i] as string)) throw new Error('unsafe')
    },
    'compared: check by three indexOf per value': () => {
      const list = nextList()
      for (let i = 1; i < list.length; i += 2) {
        const text = list[i] as string
        if (text.includes('\n') || text.includes('\r') || text.includes('\0')) throw new Error('unsafe')
      }
    },
    'compared: joined, checked by counting in the text': () => {
      const text = joined(nextList())
      if (count(text, '\n') !== count(text, '\r') || text.includes('\0')) throw new Error('unsafe')
    },
  } satisfies Record<string, () => void>,
}
