/** Stands wherever a secret would. */
export const hidden = '***'

const secretKey =
  /(?:^|[_-])(?:tokens?|secrets?|passwords?|password_hash|passwd|passphrase|keys?|credential|salt|hash|authorization)$/i

/** Whether a key's name says that its value is not for everybody's eyes: `token`, `client_secret`, `api-key`. */
export function isSecretKey(name: string | number): boolean {
  return typeof name === 'string' && secretKey.test(name)
}

/** Inserted text this long is hidden wherever it stands; shorter text only where it is a whole value or quoted. */
const recognisable = 4

/** `text` without any of `secrets`, the user part of URLs included. */
export function hideSecrets(text: string, secrets: Iterable<string>): string {
  let shown = text.replace(/\/\/[^/?#@\s"]*@/g, `//${hidden}@`)
  for (const secret of longestFirst(secrets)) {
    shown = shown.replaceAll(JSON.stringify(secret), `"${hidden}"`)
    if (secret.length >= recognisable) shown = replaceIgnoringCase(shown, secret)
  }
  return shown
}

/**
 * A copy of `value` that may be shown: what was filled in from outside the file, and what stands under a key such as
 * `token`, is `***`.
 */
export function redact<T>(value: T, secrets: Iterable<string>): T {
  return redacted(value, longestFirst(secrets), false) as T
}

function redacted(value: unknown, secrets: readonly string[], isSecret: boolean): unknown {
  if (value === null || value === undefined || typeof value === 'boolean') return value
  if (typeof value === 'object') {
    if (value instanceof RegExp) return value.source
    if (value instanceof Set || value instanceof Map) return redacted([...value], secrets, isSecret)
    if (Array.isArray(value)) return value.map((item) => redacted(item, secrets, isSecret))
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, redacted(item, secrets, isSecret || isSecretAt(key, item))]),
    )
  }
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  // A filled-in `4` is no secret worth hiding every other 4 of the configuration for.
  if (isSecret || ((typeof value === 'string' || text.length >= recognisable) && secrets.includes(text))) return hidden
  return typeof value === 'string' ? hideSecrets(hideField(value), secrets) : value
}

/** `Authorization: Bearer …`, as plugins take header fields, without its value. */
function hideField(text: string): string {
  const colon = text.indexOf(':')
  return colon > 0 && isSecretKey(text.slice(0, colon).trim()) ? `${text.slice(0, colon)}: ${hidden}` : text
}

/** A list of keys with ids, owners and the like (API keys, JWKs) shows all of them but what is secret of each. */
function isSecretAt(key: string, value: unknown): boolean {
  if (privateJwkMembers.has(key)) return true
  return isSecretKey(key) && !(key === 'keys' && Array.isArray(value) && value.every((item) => isRecord(item)))
}

/** RFC 7518 §6.2.2, §6.3.2, §6.4.1. */
const privateJwkMembers: ReadonlySet<string> = new Set(['k', 'd', 'p', 'q', 'dp', 'dq', 'qi', 'oth'])

function isRecord(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function longestFirst(secrets: Iterable<string>): string[] {
  return [...secrets].filter((secret) => secret !== '').sort((a, b) => b.length - a.length)
}

function replaceIgnoringCase(text: string, part: string): string {
  const lower = text.toLowerCase()
  const wanted = part.toLowerCase()
  if (lower.length !== text.length) return text.replaceAll(part, hidden)
  let shown = ''
  let start = 0
  for (let found = lower.indexOf(wanted); found !== -1; found = lower.indexOf(wanted, start)) {
    shown += text.slice(start, found) + hidden
    start = found + wanted.length
  }
  return shown + text.slice(start)
}
