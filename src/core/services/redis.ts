/** Where Redis is and how to talk to it. All times are milliseconds. */
export interface RedisSettings {
  readonly mode: 'single' | 'cluster' | 'sentinel'
  /** The server; or the nodes to ask first for the cluster's others; or the sentinels. */
  readonly addresses: readonly RedisAddress[]
  /** What the sentinels call the master; `null` without sentinels. */
  readonly master: string | null
  readonly username: string | null
  readonly password: string | null
  readonly sentinel_username: string | null
  readonly sentinel_password: string | null
  readonly database: number
  /** `null`: not encrypted. */
  readonly tls: RedisTls | null
  /** Stands before the name of every key and channel. */
  readonly key_prefix: string
  readonly connect_timeout: number
  readonly command_timeout: number
  /** Commands that may wait for their replies, per process; one more fails at once. */
  readonly max_in_flight: number
}

export interface RedisAddress {
  readonly host: string
  readonly port: number
}

export interface RedisTls {
  readonly verify: boolean
  /** Name to ask for and to verify; `null`: the host. */
  readonly server_name: string | null
  /** Absolute paths of PEM files. */
  readonly ca: string | null
  readonly cert: string | null
  readonly key: string | null
}
