/**
 * Header fields as one flat array `[name, value, name, value, …]`, in arrival order.
 *
 * Names are lower-case. Values are as received: text decoded from UTF-8 for requests, one character per byte
 * (latin1) for responses. A flat array costs one allocation a message where a Map costs one an entry; a linear
 * scan over the ten or twenty fields of a real message beats hashing (bench/micro/headers.bench.ts).
 */
export type HeaderList = string[]

/** The first value of `name` (lower-case), or `undefined`. */
export function getHeader(list: Readonly<HeaderList>, name: string): string | undefined {
  for (let i = 0; i < list.length; i += 2) if (list[i] === name) return list[i + 1]
  return undefined
}

/** Every value of `name` joined with `, ` (RFC 9110 §5.3), or `undefined`. Not meant for `set-cookie`. */
export function getHeaderJoined(list: Readonly<HeaderList>, name: string): string | undefined {
  let joined: string | undefined
  for (let i = 0; i < list.length; i += 2) {
    if (list[i] === name) joined = joined === undefined ? list[i + 1] : `${joined}, ${list[i + 1]}`
  }
  return joined
}

export function hasHeader(list: Readonly<HeaderList>, name: string): boolean {
  for (let i = 0; i < list.length; i += 2) if (list[i] === name) return true
  return false
}

/** Replaces every value of `name` by one, in the place of the first, or adds it at the end. */
export function setHeader(list: HeaderList, name: string, value: string): void {
  for (let i = 0; i < list.length; i += 2) {
    if (list[i] !== name) continue
    list[i + 1] = value
    removeFrom(list, name, i + 2)
    return
  }
  list.push(name, value)
}

/** Adds a further field line; those already there stay. */
export function appendHeader(list: HeaderList, name: string, value: string): void {
  list.push(name, value)
}

/** Removes every value of `name`. */
export function removeHeader(list: HeaderList, name: string): void {
  removeFrom(list, name, 0)
}

function removeFrom(list: HeaderList, name: string, start: number): void {
  let kept = start
  for (let i = start; i < list.length; i += 2) {
    if (list[i] === name) continue
    list[kept] = list[i] as string
    list[kept + 1] = list[i + 1] as string
    kept += 2
  }
  list.length = kept
}

/** Fields that belong to one connection and stop at the gateway (RFC 9110 §7.6.1). */
export const hopByHopHeaders: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/**
 * Headers by which services learn who calls. Removed from what clients send, always, on every route, together
 * with every header that a configured plugin injects.
 */
export const identityHeaders: readonly string[] = [
  'x-user-id',
  'x-user-role',
  'x-user-roles',
  'x-user-scopes',
  'x-tenant-id',
  'x-consumer-id',
  'x-api-key-id',
]

const tokenPattern = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
// eslint-disable-next-line no-control-regex
const fieldValuePattern = /^[^\u0000-\u0008\u000a-\u001f\u007f]*$/

/** Whether `text` is a token (RFC 9110 §5.6.2): what a method and a field name must be. */
export function isToken(text: string): boolean {
  return tokenPattern.test(text)
}

/** Whether `text` may stand in a field value: no control characters but a tab (RFC 9110 §5.5). */
export function isFieldValue(text: string): boolean {
  return fieldValuePattern.test(text)
}
