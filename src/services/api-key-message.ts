/**
 * What the API keys of workers and of their primary say to each other. Names are those of keys in Redis, without all that
 * stands before them.
 */
export type ApiKeyNews =
  /** Whether Redis tells the primary of every change. When that begins, what was read before may be out of date. */
  | { readonly type: 'tracking'; readonly on: boolean }
  /** These have changed, been deleted or run out; `null`: all of them may have. */
  | { readonly type: 'changed'; readonly names: readonly string[] | null }

/** From a worker: whether it uses keys in Redis. */
export interface ApiKeyInterest {
  readonly watch: boolean
}

/** Stands before the names of all API keys in Redis, behind the prefix of the configuration. */
export const keyNamespace = 'api-key:'
