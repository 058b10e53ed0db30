import type { ServerResponse } from 'node:http'
import type { ReloadResult } from './reload.ts'
import type { RevocationList } from './revocations.ts'

/** What the admin port tells of and acts on. */
export interface AdminSource {
  /** `ready` when every worker serves the current configuration, else why not. */
  state(): 'ready' | 'starting' | 'degraded' | 'draining'
  /** Prometheus text. */
  metrics(): Promise<string>
  status(): Promise<object>
  reload(): Promise<ReloadResult>
  readonly revocations: RevocationList
}

/** What a method of a path does. */
export interface Endpoint {
  /** Answers without a token and under any host name: for probes. */
  readonly open?: true
  /** Most bytes of the body, where one is wanted. */
  readonly body?: number
  run(source: AdminSource, res: ServerResponse, request: AdminRequest): Promise<void> | void
}

export interface AdminRequest {
  readonly query: URLSearchParams
  readonly body: Buffer
}

export function send(res: ServerResponse, status: number, body: object): void {
  res.statusCode = status
  res.setHeader('content-type', 'application/json; charset=utf-8')
  res.end(`${JSON.stringify(body)}\n`)
}

/** What was sent along may not have been read: the connection can't go on. */
export function refuse(res: ServerResponse, status: number, error: string, message: string): void {
  res.setHeader('connection', 'close')
  send(res, status, { error, message })
}
