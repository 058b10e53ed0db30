import type { ServerResponse } from 'node:http'
import type { RevocationKind } from '../core/services/revocations.ts'
import { type AdminRequest, type AdminSource, type Endpoint, send } from './admin-endpoint.ts'
import { type Field, fieldOf, isInForce, type Revocation } from './revocation.ts'
import { itemOf, readItem } from './revocation-item.ts'
import type { Outcome } from './revocations.ts'

/** Most bytes of a list of revocations: some ten thousand. */
const mostBody = 2 * 1024 * 1024
/** Faults of one list that are told. */
const mostFaults = 20
/** Revocations of one page. */
const page = { usual: 100, most: 1000 }

/** `/revocations`: credentials that are dead before their time. */
export const revocationEndpoints: Readonly<Record<string, Endpoint>> = {
  GET: { run: list },
  POST: { body: mostBody, run: revoke },
  DELETE: { run: restore },
}

function fail(res: ServerResponse, status: number, error: string, message: string, more: object = {}): void {
  send(res, status, { error, message, ...more })
}

async function revoke({ revocations: known }: AdminSource, res: ServerResponse, { body }: AdminRequest): Promise<void> {
  let given: unknown
  try {
    given = JSON.parse(body.toString())
  } catch {
    return fail(res, 400, 'invalid_body', 'The body must be JSON.')
  }
  const items: unknown[] = Array.isArray(given) ? given : [given]
  const { rules } = known
  const faults: string[] = []
  const wanted = new Map<Field, Revocation>()
  items.forEach((item, i) => {
    const read = readItem(item, rules)
    if (typeof read !== 'string') wanted.set(fieldOf(read.kind, read.value), read)
    else if (faults.push(`${Array.isArray(given) ? `item ${i + 1} ` : ''}${read}`) > mostFaults) faults.pop()
  })
  if (items.length === 0) faults.push('there is nothing to revoke')
  if (faults.length > 0) return fail(res, 422, 'invalid_revocation', `Nothing was revoked: ${faults[0]}.`, { faults })

  const inForce = [...wanted.values()].filter((one) => isInForce(one, rules.now))
  if (!known.hasRoomFor(inForce))
    return fail(
      res,
      507,
      'revocations_full',
      'Nothing was revoked: there are security.revocations.max_entries already.',
    )
  const outcome = await known.revoke(inForce)
  answer(res, { revoked: inForce.length, expired: wanted.size - inForce.length }, outcome, 'Revoked')
}

async function restore({ revocations: known }: AdminSource, res: ServerResponse, request: AdminRequest): Promise<void> {
  const subject = subjectOf(request.query)
  if (typeof subject === 'string') return fail(res, 422, 'invalid_query', subject)
  if (subject === null) return fail(res, 422, 'invalid_query', 'Say which: ?jti=…, or sub, token_hash, key, consumer.')
  const outcome = await known.restore(subject.kind, subject.value)
  if (outcome === null) return fail(res, 404, 'not_revoked', 'There is no such revocation.')
  answer(res, { restored: 1 }, outcome, 'Taken back')
}

/**
 * 200: done where it should be. 503: in force on the workers that answered, but not everywhere: `message` says where not. To
 * ask for the same once more is safe.
 */
function answer(res: ServerResponse, done: object, outcome: Outcome, verb: string): void {
  const { workers, silent, stored, complete, took } = outcome
  const facts = { ...done, workers, stored, took_ms: Math.round(took * 100) / 100 }
  if (complete && silent.length === 0) return send(res, 200, facts)
  const missing = [
    ...(complete ? [] : ['the store could not be written, so that no other node knows; this one tries again']),
    ...(silent.length === 0 ? [] : ['not all workers acknowledged it in time']),
  ]
  const message = `${verb} on this node only in part or not for good: ${missing.join('; ')}.`
  fail(res, 503, complete ? 'workers_silent' : 'store_unavailable', message, {
    ...facts,
    ...(silent.length === 0 ? {} : { silent_workers: silent }),
  })
}

function list({ revocations: known }: AdminSource, res: ServerResponse, { query }: AdminRequest): void {
  const subject = subjectOf(query)
  if (typeof subject === 'string') return fail(res, 422, 'invalid_query', subject)
  const limit = readCount(query.get('limit'), page.usual)
  const offset = readCount(query.get('offset'), 0)
  if (limit === null || limit > page.most || offset === null)
    return fail(res, 422, 'invalid_query', `"limit" is a number up to ${page.most}, "offset" is a number.`)

  const { now } = known.rules
  const found: Revocation[] = []
  let total = 0
  const field = subject === null ? null : fieldOf(subject.kind, subject.value)
  for (const [own, one] of known.all) {
    if (!isInForce(one, now) || (field !== null && own !== field)) continue
    if (total >= offset && found.length < limit) found.push(one)
    total++
  }
  const { stored, synced } = known
  send(res, 200, { total, offset, stored, synced, revocations: found.map(itemOf) })
}

const parameters: Readonly<Record<string, RevocationKind>> = {
  jti: 'jti',
  sub: 'sub',
  token_hash: 'token',
  key: 'key',
  consumer: 'consumer',
}

/** The one that a query names; `null` when it names none, words when it is not clear. */
function subjectOf(query: URLSearchParams): { kind: RevocationKind; value: string } | string | null {
  let subject: { kind: RevocationKind; value: string } | null = null
  for (const [name, value] of query) {
    if (name === 'limit' || name === 'offset') continue
    const kind = Object.hasOwn(parameters, name) ? parameters[name] : undefined
    if (name === 'token') return 'A token does not belong in a URL: give its SHA-256 as "token_hash".'
    if (kind === undefined) return `There is no parameter ${JSON.stringify(name.slice(0, 40))}.`
    if (subject !== null) return 'Name one only.'
    subject = { kind, value: kind === 'token' ? value.toLowerCase() : value }
  }
  return subject
}

function readCount(text: string | null, usual: number): number | null {
  if (text === null) return usual
  return /^\d{1,9}$/.test(text) ? Number(text) : null
}
