import { hopByHopHeaders, isToken } from '../../core/headers.ts'

/** What a field means to the parser. */
export const role = {
  plain: 0,
  dropped: 1,
  contentLength: 2,
  transferEncoding: 3,
  connection: 4,
  keepAlive: 5,
  setCookie: 6,
} as const
export type Role = (typeof role)[keyof typeof role]

export interface FieldName {
  /** Lower-case. */
  readonly name: string
  readonly role: Role
}

const roles: ReadonlyMap<string, Role> = new Map<string, Role>([
  ...[...hopByHopHeaders].map((name): [string, Role] => [name, role.dropped]),
  // The listener writes these two itself.
  ['date', role.dropped],
  ['x-request-id', role.dropped],
  ['content-length', role.contentLength],
  ['transfer-encoding', role.transferEncoding],
  ['connection', role.connection],
  ['keep-alive', role.keepAlive],
  ['set-cookie', role.setCookie],
])

/**
 * Field names as they were spelt → what they are. Upstreams spell a handful of names over and over: one look-up
 * replaces checking, lowering and classifying (bench/micro/response-parser.bench.ts). Bounded; names beyond work, slower.
 */
const knownNames = new Map<string, FieldName>()
const mostNames = 512

/** What a field is by its name as it was spelt; null: the name is no token. */
export function fieldName(raw: string): FieldName | null {
  const known = knownNames.get(raw)
  if (known !== undefined) return known
  if (!isToken(raw)) return null
  // A copy: `raw` is a slice that would keep the whole head in memory.
  const own = Buffer.from(raw, 'latin1').toString('latin1')
  const name = own.toLowerCase()
  const made = { name, role: roles.get(name) ?? role.plain }
  if (knownNames.size < mostNames && own.length <= 64) knownNames.set(own, made)
  return made
}
