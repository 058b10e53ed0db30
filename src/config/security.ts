import { resolve as absolutePath } from 'node:path'
import { z } from 'zod'
import { duration } from './units.ts'

const revocations = z.strictObject({
  file: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Without `redis`: the list itself, one JSON object a line, read again when it changes. With `redis`: a copy of the list, for a start while Redis is away.',
    ),
  token_lifetime: duration({ max: [366 * 86_400_000, '366d'] })
    .prefault('24h')
    .describe(
      'How long a revoked `jti` or token is remembered where its revocation does not say: no token lives longer.',
    ),
  max_entries: z
    .int()
    .min(1)
    .max(10_000_000)
    .default(1_000_000)
    .describe('Most revocations at once: each worker has them all in memory.'),
})

/** Settings that hold for the whole gateway. */
export const security = z.strictObject({
  require_auth: z
    .boolean()
    .default(false)
    .describe('Refuses routes that let anybody in, unless they say `public: true`.'),
  revocations: revocations.prefault({}).describe('Credentials that are dead before their time.'),
})

export interface SecurityConfig {
  readonly require_auth: boolean
  readonly revocations: RevocationSettings
}

export interface RevocationSettings {
  /** Absolute path. */
  readonly file: string | null
  /** Milliseconds. */
  readonly token_lifetime: number
  readonly max_entries: number
}

/** Relative paths start in `dir`. */
export function resolveSecurity(
  { revocations: list, ...rest }: z.output<typeof security>,
  dir: string,
): SecurityConfig {
  const file = list.file === undefined ? null : absolutePath(dir, list.file)
  return { ...rest, revocations: { ...list, file } }
}
