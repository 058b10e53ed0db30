import type { AccessContext, Consumer } from '../core/context.ts'
import type { Rejection } from '../core/errors.ts'
import { type AccessStep, isRejection, type LocalReply, type Verdict, type Withhold } from '../core/plugin.ts'

/** How the authenticating plugins of a route work together. */
export interface AuthenticationRule {
  /** Whether one of them has to accept the request, or each. */
  readonly match: 'any' | 'all'
  /** Who a caller without any credentials is; `null`: it is refused. Bad credentials are refused in any case. */
  readonly anonymous: Consumer | null
}

/** An authenticating plugin of a group. */
export interface Authenticator {
  readonly access: AccessStep
  readonly withhold: Withhold | null
}

/**
 * Joins the access steps of a route's authenticating plugins into one. Stays synchronous until one of them waits. Where one is
 * enough, the next is asked when the one before refuses, and what is refused in the end is told in the words of the first that
 * saw credentials; without any, of all of them. Credentials of those that were not asked, or refused, stay behind.
 */
export function joinAuthentication(group: readonly Authenticator[], rule: AuthenticationRule): AccessStep {
  return (ctx) => askFrom(group, 0, ctx, { rule, missing: null, refused: null, passed: 0 })
}

/** What those asked so far have said. */
interface Answers {
  readonly rule: AuthenticationRule
  missing: Rejection[] | null
  refused: Rejection | LocalReply | null
  passed: number
}

function askFrom(
  group: readonly Authenticator[],
  start: number,
  ctx: AccessContext,
  answers: Answers,
): Verdict | Promise<Verdict> {
  for (let i = start; i < group.length; i++) {
    const verdict = (group[i] as Authenticator).access(ctx)
    if (verdict instanceof Promise) return resume(verdict, group, i, ctx, answers)
    if (isDecided(verdict, group, i, ctx, answers)) return verdict
  }
  return conclude(ctx, answers)
}

async function resume(
  pending: Promise<Verdict>,
  group: readonly Authenticator[],
  asked: number,
  ctx: AccessContext,
  answers: Answers,
): Promise<Verdict> {
  const verdict = await pending
  if (ctx.aborted || isDecided(verdict, group, asked, ctx, answers)) return verdict
  return askFrom(group, asked + 1, ctx, answers)
}

/** Takes note of an answer; true when no further one is needed. */
function isDecided(
  verdict: Verdict,
  group: readonly Authenticator[],
  asked: number,
  ctx: AccessContext,
  answers: Answers,
): boolean {
  const isAny = answers.rule.match === 'any'
  if (verdict === undefined) {
    answers.passed++
    if (!isAny || ctx.consumer === null) return false
    for (let i = 0; i < group.length; i++) if (i !== asked) (group[i] as Authenticator).withhold?.(ctx)
    return true
  }
  if (isRejection(verdict) && verdict.code === 'credentials_missing') {
    if (answers.missing === null) answers.missing = [verdict]
    else answers.missing.push(verdict)
    return false
  }
  answers.refused ??= verdict
  return !isAny
}

function conclude(ctx: AccessContext, { rule, missing, refused, passed }: Answers): Verdict {
  if (refused !== null) return refused
  if (missing === null) return undefined
  if (passed === 0 && rule.anonymous !== null) {
    ctx.consumer = rule.anonymous
    return undefined
  }
  // One that is optional let the request through without knowing who sent it.
  if (passed > 0 && rule.match === 'any') return undefined
  return joinChallenges(missing)
}

/** The refusal of the first, with the challenges of all (RFC 9110 §11.6.1). */
function joinChallenges(missing: readonly Rejection[]): Rejection {
  const [first] = missing as [Rejection]
  return missing.length === 1 ? first : { ...first, headers: missing.flatMap((rejection) => rejection.headers) }
}
