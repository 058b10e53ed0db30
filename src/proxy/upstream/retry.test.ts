import { expect, test } from 'vitest'
import type { AttemptFailure } from './client.ts'
import { mayRetry, type Retry } from './retry.ts'

const unsent: AttemptFailure = {
  code: 'upstream_connection_refused',
  detail: 'ECONNREFUSED',
  unsent: true,
  stale: false,
}
const stale: AttemptFailure = { code: 'upstream_connection_closed', detail: 'ECONNRESET', unsent: false, stale: true }
const staleUnsent: AttemptFailure = { ...stale, unsent: true }
const sent: AttemptFailure = { code: 'upstream_connection_closed', detail: 'ECONNRESET', unsent: false, stale: false }

const table: [string, AttemptFailure, string, boolean, number, number, Retry][] = [
  ['unsent, another target there', unsent, 'GET', false, 1, 2, 'other'],
  ['unsent, whatever the method', unsent, 'POST', false, 1, 2, 'other'],
  ['unsent, the only target', unsent, 'GET', false, 1, 1, null],
  ['unsent, every target tried', unsent, 'GET', false, 2, 2, null],
  ['unsent, a third target', unsent, 'GET', false, 2, 5, 'other'],
  ['unsent, three targets are enough', unsent, 'GET', false, 3, 5, null],
  ['unsent, but body bytes are gone', unsent, 'PUT', true, 1, 2, null],
  ['stale, idempotent', stale, 'GET', false, 1, 1, 'same-fresh'],
  ['stale, idempotent', stale, 'HEAD', false, 1, 1, 'same-fresh'],
  ['stale, idempotent', stale, 'OPTIONS', false, 1, 1, 'same-fresh'],
  ['stale, idempotent', stale, 'TRACE', false, 1, 1, 'same-fresh'],
  ['stale, idempotent', stale, 'PUT', false, 1, 1, 'same-fresh'],
  ['stale, idempotent', stale, 'DELETE', false, 1, 1, 'same-fresh'],
  ['stale on the last target allowed', stale, 'GET', false, 3, 3, 'same-fresh'],
  ['stale, not idempotent', stale, 'POST', false, 1, 3, null],
  ['stale, not idempotent', stale, 'PATCH', false, 1, 3, null],
  ['stale, methods are case-sensitive', stale, 'get', false, 1, 3, null],
  ['stale, unknown method', stale, 'PROPFIND', false, 1, 3, null],
  ['stale, but body bytes are gone', stale, 'PUT', true, 1, 3, null],
  ['stale before a byte left', staleUnsent, 'POST', false, 1, 1, 'same-fresh'],
  ['stale before a byte left, body bytes are gone', staleUnsent, 'POST', true, 1, 2, null],
  ['sent on a fresh connection', sent, 'GET', false, 1, 3, null],
  ['sent on a fresh connection, not idempotent', sent, 'POST', false, 1, 3, null],
]

test.each(table)('%s: %o %s', (_name, failure, method, bodySent, tried, targets, expected) => {
  expect(mayRetry(failure, method, bodySent, tried, targets)).toBe(expected)
})
